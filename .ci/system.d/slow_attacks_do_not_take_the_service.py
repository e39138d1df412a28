"""The suite of slow attacks that stands beside the repository, if it does."""

import os
import pathlib
import shutil
import subprocess
import threading

from harness.case import REPOSITORY, SITE, Case, main
from harness.server import example, serve

SUITE = pathlib.Path(os.environ.get("LAKH_SUITES", REPOSITORY.parent / "shared" / "suites")) / "slow-attacks"
SECONDS = 20
LIMIT = 220


class SlowAttacks(Case):
    def setUp(self):
        if not SUITE.exists():
            self.skipTest(f"there is no {os.path.relpath(SUITE, REPOSITORY)}")
        if os.geteuid() != 0 and not shutil.which("slowhttptest"):
            self.skipTest("slowhttptest is not there, and installing it needs root")

    def test_slow_heads_bodies_readers_and_ranges(self):
        site, mirror = self.start(serve(SITE, "--log", "off")), self.start(example("mirror"))
        results = {}
        attacks = {
            "files": (site, "X,R", "--big", "/data/primes.txt"),
            "mirror": (mirror, "H,B", "--post", "/"),
        }
        threads = [
            threading.Thread(target=lambda name=name: results.update({name: self.run_suite(*attacks[name])}))
            for name in attacks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, (status, output) in results.items():
            with self.subTest(name):
                self.assertEqual(status, 0, output)

    def run_suite(self, server, kinds, *more):
        command = [SUITE, "127.0.0.1", str(server.port), "--seconds", str(SECONDS), "--only", kinds, *more]
        environment = {**os.environ, "LAKH_SUITES_DIR": str(self.folder())}
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=LIMIT, text=True, errors="replace",
            )
        except subprocess.TimeoutExpired as expired:
            return -1, f"not over after {LIMIT} s: {expired.stdout}"
        return done.returncode, done.stdout


if __name__ == "__main__":
    main()

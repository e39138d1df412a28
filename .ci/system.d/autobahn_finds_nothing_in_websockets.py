"""Autobahn's fuzzing client, whose suite stands beside the repository, against both styles of WebSocket handlers."""

import os
import pathlib
import shutil
import subprocess

from harness.case import REPOSITORY, Case, main
from harness.server import example

SUITE = pathlib.Path(os.environ.get("LAKH_SUITES", REPOSITORY.parent / "shared" / "suites")) / "autobahn"
PYTHON = pathlib.Path.home() / ".pyenv" / "versions" / "2.7.18" / "bin" / "python"
LIMIT = 400
# Its packages are installed once, wherever they are not yet.
FOLDER = os.environ.get("LAKH_SUITES_DIR", "/tmp/lakh-suites")


class Autobahn(Case):
    def setUp(self):
        if not SUITE.exists():
            self.skipTest(f"there is no {os.path.relpath(SUITE, REPOSITORY)}")
        if not PYTHON.exists() and not shutil.which("python2.7"):
            self.skipTest("there is no Python 2.7")

    def test_callbacks_keep_to_the_protocol(self):
        self.expect_all("callback")

    def test_async_handlers_keep_to_the_protocol(self):
        self.expect_all("async")

    def expect_all(self, style):
        server = self.start(example("ws_echo", "--style", style))
        for group, cases in {"core": 247, "limits": 54, "deflate": 216}.items():
            with self.subTest(group):
                status, output = self.run_suite(server, "--only", group, "--strict")
                self.assertEqual(status, 0, output)
                self.assertRegex(output, rf"(?m)^autobahn: passed {cases} failed 0 skipped 0$")

    def run_suite(self, server, *more):
        command = [SUITE, "127.0.0.1", str(server.port), *more]
        environment = {**os.environ, "LAKH_SUITES_DIR": FOLDER}
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

"""What the ecosystem of tokio and tower does on lakh: sqlx on PostgreSQL, reqwest, axum, tower-http."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import unittest

from harness.case import REPOSITORY, SOON, Case, main

PACKAGE = REPOSITORY / "bridges-test"
PASSED = re.compile(r"test result: ok\. (\d+) passed")
# As long as nobody else has taken the port in the meantime.
ATTEMPTS = 5


class Bridges(Case):
    def run_tests(self, *arguments, **environment):
        """Runs some of the package's tests; how many have passed."""
        command = ["cargo", "test", "--locked", "-j2", *arguments]
        done = subprocess.run(
            command, cwd=PACKAGE, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-8000:])
        return sum(int(count) for count in PASSED.findall(done.stdout))

    def test_a_router_of_axum_and_layers_of_tower_http_work(self):
        self.assertGreater(self.run_tests("--test", "axum"), 5)

    def test_handlers_fetch_by_reqwest(self):
        self.assertGreater(self.run_tests("--test", "reqwest"), 3)

    def test_the_guides_examples_compile(self):
        self.assertGreater(self.run_tests("--doc"), 3)

    def test_handlers_query_postgresql_by_sqlx(self):
        postgres = Postgres(self)
        passed = self.run_tests("--test", "sqlx", "--", "--ignored", DATABASE_URL=postgres.url())
        self.assertGreater(passed, 2)


class Postgres:
    """A server with a new data directory, run by a user who is not root, until the test ends."""

    def __init__(self, case):
        self.case = case
        self.programs = programs()
        if self.programs is None:
            raise unittest.SkipTest("PostgreSQL is not installed")
        self.folder = case.folder()
        self.data = self.folder / "data"
        user = unprivileged()
        self.user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.run("initdb", "--auth=trust", "--username=lakh", "--no-sync", f"--pgdata={self.data}")
        for _ in range(ATTEMPTS):
            if self.start():
                return
        case.fail(f"PostgreSQL does not start: {self.log()}")

    def url(self):
        return f"postgres://lakh@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        done = subprocess.run(
            [self.programs / program, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **self.user,
        )
        self.case.assertEqual(done.returncode, 0, done.stdout)

    def start(self):
        """Whether it has the port that was free a moment ago."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        command = [
            self.programs / "postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1",
            "-k", self.folder, "-c", "fsync=off", "-c", "max_connections=40",
        ]
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user
            )
        self.case.addCleanup(self.stop, process)
        self.case.poll("PostgreSQL is up or has ended", lambda: process.poll() is not None or self.is_up())
        return process.poll() is None

    def is_up(self):
        """The file says so on its last line, and the port is ours."""
        file = self.data / "postmaster.pid"
        return file.exists() and file.read_text(encoding="ascii").rstrip().endswith("ready")

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, process):
        process.send_signal(signal.SIGINT)  # sessions are ended, not waited for
        try:
            process.wait(SOON)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def programs():
    """Debian keeps them in a folder of each version."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    return pathlib.Path(on_path).resolve().parent if on_path else None


def unprivileged():
    """PostgreSQL refuses to run as root; Debian's package has made a user for it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise unittest.SkipTest("there is no user but root")


if __name__ == "__main__":
    main()

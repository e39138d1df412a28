"""Test cases: unittest's, with one line for each outcome that run.py can read."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

REPOSITORY = pathlib.Path(os.environ["LAKH_REPOSITORY"])
BINARIES = pathlib.Path(os.environ["LAKH_TARGET"]) / "release"
SITE = REPOSITORY / "examples" / "site"

# How long anything may take that should take no time; the machine may be busy.
SOON = 15.0


class Case(unittest.TestCase):
    maxDiff = 2000

    def folder(self):
        """A new folder, removed at the end."""
        path = pathlib.Path(tempfile.mkdtemp(dir=os.environ["LAKH_SCRATCH"]))
        path.chmod(0o755)
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def start(self, server):
        """The server, running until the test ends, when nothing may be left of what its clients did.

        It is asked after all clients are gone that were made later.
        """
        self.addCleanup(server.kill)
        server.wait_until_up()
        self.addCleanup(self.expect_nothing_left, server, server.open_files())
        return server

    def expect_nothing_left(self, server, before):
        """Descriptors are as many as before; and requests in flight, which a drain counts, are none."""
        if server.process.poll() is not None:
            return
        left = lambda: server.open_files() - before
        self.poll("all descriptors are back", lambda: not left() or server.process.poll() is not None, tell=left)
        server.signal()
        self.poll("no work is left in the server", lambda: server.process.poll() is not None, tell=server.err.text)
        self.assertEqual(server.wait(), 0, server.err.text())
        self.assertNotRegex(server.err.text(), r"\bcut\b")

    def poll(self, what, condition, limit=SOON, tell=lambda: ""):
        """Waits until the condition holds; its value. `tell` is what else to say if it does not."""
        deadline = time.monotonic() + limit
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                self.fail(f"not within {limit:.0f} s: {what} {tell()}")
            time.sleep(0.01)


class Outcomes(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        self.problems = []

    def addError(self, test, err):
        super().addError(test, err)
        self.problem(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.problem(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.problem(subtest, err)

    def problem(self, test, err):
        if not hasattr(self, "problems"):  # before the first test: a class that cannot be set up
            self.problems = []
        text = self._exc_info_to_string(err, test)
        self.problems.append(text)
        if not isinstance(test, unittest.TestCase):
            self.tell("failed", test, text)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell("skipped", test, reason)
        self.problems = None

    def stopTest(self, test):
        super().stopTest(test)
        if self.problems:
            self.tell("failed", test, "\n".join(self.problems))
        elif self.problems is not None:
            self.tell("passed", test)

    def tell(self, kind, test, text=""):
        name = test.id().rpartition(".")[2].removeprefix("test_").replace("_", " ")
        took = time.monotonic() - getattr(self, "begun", time.monotonic())
        outcome = {"kind": kind, "name": name, "text": text, "took": took}
        print("\x1e" + json.dumps(outcome), flush=True)


def main():
    """Runs the tests of the file that calls it."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = suite.run(Outcomes())
    sys.exit(0 if result.wasSuccessful() else 1)

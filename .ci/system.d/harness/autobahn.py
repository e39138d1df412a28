"""Autobahn|Testsuite (PyPI's autobahntestsuite) as a fuzzing client; it needs Python 2.7."""

import functools
import json
import os
import pathlib
import shutil
import subprocess

from .case import BINARIES

# Kept beside what cargo builds, for the next time.
PACKAGES = BINARIES.parent / "autobahn"
# The last versions for Python 2.7 that fit together.
PINS = (
    "setuptools==44.0.0 txaio==2.1.0 incremental==16.10.1 Twisted==19.10.0 zope.interface==4.6.0 jinja2==2.11.3 "
    "markupsafe==1.1.1 Werkzeug==1.0.1 klein==17.10.0 six==1.16.0 autobahn==0.10.9 cryptography==3.3.2 "
    "pyOpenSSL==19.1.0 service_identity==18.1.0 unittest2==1.1.0 wsaccel==0.6.2"
).split()
SUITE = "autobahntestsuite==25.10.1"

GROUPS = {"core": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], "limits": ["9.*"], "deflate": ["12.*", "13.*"]}
# The suite's own entry point. Its compression cases send 1000 messages each, which takes tens of minutes.
DRIVER = """
import sys
count = int(sys.argv.pop(1))
import autobahntestsuite.wstest
import autobahntestsuite.case.case12_x_x as cases
for case in cases.Case12_X_X + cases.Case13_X_X:
    case.COUNT = min(case.COUNT, count)
autobahntestsuite.wstest.run()
"""
MESSAGES = 30


@functools.cache
def python():
    """A Python 2.7 with pip; `None` if there is none."""
    found = sorted(map(str, pathlib.Path.home().glob(".pyenv/versions/2.7.*/bin/python")), reverse=True)
    return next(filter(has_pip, [*found, *filter(None, [shutil.which("python2.7")])]), None)


def has_pip(interpreter):
    command = [interpreter, "-m", "pip", "--version"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def install():
    """Installs what is missing; quick if nothing is."""
    done = PACKAGES / "installed"
    wanted = " ".join([*PINS, SUITE])
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    PACKAGES.mkdir(parents=True)
    pip = [python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", PACKAGES]
    for packages in (PINS, ["--no-deps", SUITE]):
        subprocess.run([*pip, *packages], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    (PACKAGES / "zope" / "__init__.py").touch()  # a namespace, which --target does not make
    done.write_text(wanted)


class Run:
    """A group's cases against a server, under way."""

    def __init__(self, group, server, folder):
        self.folder = folder
        spec = folder / "spec.json"
        target = {"agent": "server", "url": f"ws://127.0.0.1:{server.port}/"}
        spec.write_text(json.dumps({
            "outdir": str(folder), "servers": [target], "cases": GROUPS[group], "exclude-cases": [],
            "exclude-agent-cases": {},
        }))
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [python(), "-c", DRIVER, str(MESSAGES), "-m", "fuzzingclient", "-s", spec]
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )

    def results(self, limit):
        """Each case with its behavior, and that of its end."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            pass  # what is missing is seen by its number
        self.stop()
        reports = [json.loads(path.read_text()) for path in self.folder.glob("server_case_*.json")]
        return {report["id"]: (report["behavior"], report["behaviorClose"]) for report in reports}

    def stop(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]

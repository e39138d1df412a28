"""Runs the files beside this one, some at a time, and sums up.

Each file is a process group of its own with a time limit. Whatever a file leaves behind (processes, mounts,
folders) is removed, and counts as a failure.
"""

import argparse
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).parent
AT_ONCE = 3
FILE_LIMIT = 240
TOTAL_LIMIT = 540
PR_SET_CHILD_SUBREAPER = 36


def main():
    options = arguments()
    # What loses its parent becomes ours, so that it can be found.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = tempfile.mkdtemp(prefix="lakh-system-")
    os.chmod(scratch, 0o755)
    run = Run(options, scratch)
    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for file in files(options.words):
                threads.submit(run.file, file)
    finally:
        run.stop()
        run.clean()
    sys.exit(run.sum_up())


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("words", nargs="*")
    return parser.parse_args()


def files(words):
    """The longest first: the others run beside it."""
    found = sorted(HERE.glob("*.py"), key=lambda file: (not file.stem.startswith(("slow", "autobahn")), file.stem))
    return [file for file in found if file.name != "run.py" and (not words or any(w in file.stem for w in words))]


class Run:
    def __init__(self, options, scratch):
        self.environment = {
            **{name: value for name, value in os.environ.items() if is_passed_on(name)},
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAKH_REPOSITORY": options.repository,
            "LAKH_TARGET": options.target,
            "LAKH_SCRATCH": scratch,
        }
        self.scratch = scratch
        self.deadline = time.monotonic() + TOTAL_LIMIT
        self.lock = threading.Lock()
        self.children = []
        self.stopping = False
        self.passed, self.failed, self.skipped = 0, [], 0

    def file(self, file):
        try:
            self.outcomes(file, *self.output(file))
        except Exception as error:  # whatever it is, it must not be lost with the thread
            with self.lock:
                self.fail(f"{file.stem}: {error!r}")

    def output(self, file):
        """What the file printed, and what is wrong with how it ended."""
        limit = min(FILE_LIMIT, self.deadline - time.monotonic())
        if self.stopping or limit <= 0:
            return "", "not started: the time for all is over"
        with self.lock:
            child = subprocess.Popen(
                [sys.executable, "-B", str(file)], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )
            self.children.append(child)
        killer = threading.Timer(limit, end_group, [child])
        killer.start()
        try:
            output = child.stdout.read()
            status = child.wait()
        finally:
            killer.cancel()
            end_group(child)
        if status < 0:
            return output, f"ended by signal {-status}, after {limit:.0f} s if that was its limit"
        return output, "" if status in (0, 1) else f"ended with status {status}"

    def outcomes(self, file, output, wrong):
        lines = output.split("\n")
        known = [json.loads(line[1:]) for line in lines if line.startswith("\x1e")]
        rest = "\n".join(line for line in lines if not line.startswith("\x1e"))
        with self.lock:
            for outcome in known:
                name = f"{file.stem}: {outcome['name']}"
                if outcome["kind"] == "passed":
                    self.passed += 1
                    print(f"  ok    {name} ({outcome['took']:.1f} s)")
                elif outcome["kind"] == "skipped":
                    self.skipped += 1
                    print(f"  skip  {name}: {outcome['text']}")
                else:
                    self.fail(name, outcome["text"])
            if wrong:
                self.fail(f"{file.stem}: {wrong}")
            elif not known:
                self.fail(f"{file.stem}: no test has run")
            if rest.strip():
                print(indent(rest))
            sys.stdout.flush()

    def fail(self, name, text=""):
        self.failed.append(name)
        print(f"  FAIL  {name}")
        if text:
            print(indent(text))

    def stop(self):
        self.stopping = True
        with self.lock:
            for child in self.children:
                end_group(child)

    def clean(self):
        for mount in mounts_below(self.scratch):
            self.fail(f"left behind: a mount at {mount}")
            unmount(mount)
        for process in orphans():
            self.fail(f"left behind: process {process}: {command(process)}")
            end(process)
        subprocess.run(["rm", "-rf", "--one-file-system", self.scratch], check=False)

    def sum_up(self):
        for name in self.failed:
            print(f"system: failed: {name}")
        print(f"system: passed {self.passed} failed {len(self.failed)} skipped {self.skipped}", flush=True)
        return 1 if self.failed or self.passed == 0 else 0


def is_passed_on(variable):
    """Settings for whoever starts the tests by hand are none for the servers under test."""
    return variable == "LAKH_SUITES" or not variable.startswith("LAKH_")


def indent(text):
    return "\n".join(f"        {line}" for line in text.rstrip().splitlines())


def end_group(child):
    """Its group has the child's own id, which is not reused before it is waited for."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def mounts_below(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        points = [line.split()[4] for line in table]
    return sorted((point for point in points if point.startswith(folder + "/")), reverse=True)


def unmount(point):
    # By force first: whoever waits for the filesystem is let go.
    subprocess.run(["umount", "-f", point], check=False, stderr=subprocess.DEVNULL, timeout=10)
    subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL, timeout=10)


def orphans():
    """Processes whose parent we have become; those that end by themselves at once are none."""
    deadline = time.monotonic() + 5
    while True:
        reap()
        found = [pid for pid in processes() if parent(pid) == os.getpid()]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return line.read().replace(b"\0", b" ").decode(errors="replace")[:200]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


main()

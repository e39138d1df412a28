"""Programs that print their address and serve until they are told to stop."""

import collections
import os
import re
import signal
import subprocess
import threading
import time

from .case import BINARIES, SOON


ADDRESS = re.compile(r"(?:http|ws)://127\.0\.0\.1:(\d+)\s")


class Output:
    """Collects what a program prints, so that it never waits for us, even for the end of a line.

    A reader that "stops" or "hangs up" does so after the address.
    """

    def __init__(self, stream, reader="goes on"):
        self.stream, self.reader = stream, reader
        self.bytes = b""
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        while data := os.read(self.stream.fileno(), 65536):
            with self.changed:
                self.bytes += data
                self.changed.notify_all()
            if self.reader != "goes on" and ADDRESS.search(self.text()):
                break
        if self.reader == "hangs up":
            self.stream.close()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, pattern, limit=SOON):
        """The first match of the pattern; fails if there is none in time."""
        found = lambda: re.search(pattern, self.text())
        with self.changed:
            self.changed.wait_for(lambda: self.ended or found(), limit)
            if not found():
                raise AssertionError(f"nothing like {pattern!r} in {self.text()!r}")
            return found()

    def text(self):
        return self.bytes.decode(errors="replace")


class Server:
    """A process; `before` is a command that starts the program, such as prlimit with its options."""

    def __init__(self, program, *arguments, before=(), reader="goes on"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKH_")}
        self.process = subprocess.Popen(
            [*before, str(program), *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.out, self.err = Output(self.process.stdout, reader), Output(self.process.stderr)
        self.port = None

    def wait_until_up(self):
        try:
            self.port = int(self.out.wait_for(ADDRESS)[1])
        except AssertionError as error:
            raise AssertionError(f"{error}; stderr: {self.err.text()}") from None
        return self

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, limit=SOON):
        """Its exit status."""
        status = self.process.wait(limit)
        self.out.thread.join(limit)
        self.err.thread.join(limit)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        try:
            self.process.wait(SOON)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"process {self.pid} cannot be killed") from None
        for output in (self.out, self.err):
            output.thread.join(SOON)
            output.stream.close()

    # What the kernel says about it.

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def open_files(self):
        """What its descriptors lead to, and how many to each; sockets and pipes by their kind alone."""
        files = collections.Counter()
        for descriptor in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{descriptor}")
            except FileNotFoundError:
                continue  # closed meanwhile
            files[re.sub(r"^(socket|pipe):.*", r"\1", target)] += 1
        return files

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def is_asleep(self):
        """Whether no thread of it runs or wants to."""
        return all(self.state_of(thread) == "S" for thread in os.listdir(f"/proc/{self.pid}/task"))

    def state_of(self, thread):
        try:
            with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="utf-8") as stat:
                return stat.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "S"  # it has ended

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def busy_share(self, seconds=1.0):
        """The part of one CPU that it uses from now on."""
        used, begun = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - used) / (time.monotonic() - begun)


def serve(*arguments, program=BINARIES / "lakh", **how):
    """`lakh serve` on a free port."""
    return Server(program, "serve", "--port", 0, *arguments, **how)


def example(name, *arguments, shards=2, **how):
    """An example of the repository on a free port."""
    listen = ("--listen", "127.0.0.1:0", "--shards", shards)
    return Server(BINARIES / "examples" / name, *listen, *arguments, **how)

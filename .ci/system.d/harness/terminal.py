"""A pseudo-terminal with a program in it, and what a person would see on its screen."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte

from .case import SOON

# What stands on the screen before the program begins.
PROMPT = "$ a command"


class Terminal:
    """Begins a program as the foreground of a terminal with so many columns and rows."""

    def __init__(self, *command, columns=80, rows=24, **environment):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.stream.feed(f"{PROMPT}\r\n".encode())
        self.bytes = b""
        self.changed = threading.Condition()
        self.master, self.slave = pty.openpty()
        self.set_size(columns, rows)
        self.settings = termios.tcgetattr(self.slave)
        # The one that a test is run in says nothing about ours.
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR" and not name.startswith("LAKH_")}
        self.process = subprocess.Popen(
            [*map(str, command)], env={**clean, "TERM": "xterm-256color", **environment}, start_new_session=True,
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:  # nobody has the other end any more
                return
            with self.changed:
                self.bytes += data
                self.stream.feed(data)
                self.changed.notify_all()

    def set_size(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        with self.changed:
            self.screen.resize(rows, columns)
            self.set_size(columns, rows)

    def type(self, text):
        os.write(self.master, text.encode())

    def lines(self):
        """What is on the screen, without blanks behind it."""
        with self.changed:
            lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self):
        return "\n".join(self.lines())

    def wait_until(self, what, condition, limit=SOON):
        """Waits until the condition holds for the lines on the screen; the lines."""
        deadline = time.monotonic() + limit
        while not condition(lines := self.lines()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {limit:.0f} s: {what}; the screen:\n" + "\n".join(lines))
            with self.changed:
                self.changed.wait(0.1)
        return lines

    def wait(self, limit=SOON):
        """The exit status; the program may not have changed the terminal's settings."""
        status = self.process.wait(limit)
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        self.reader.join(limit)
        os.close(self.master)
        self.master = None
        if after != self.settings:
            raise AssertionError(f"other settings than before: {after} {self.settings}")
        return status

    def kill(self):
        """Ends what has not ended."""
        if self.master is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SOON)
        os.close(self.slave)
        self.reader.join(SOON)
        os.close(self.master)
        self.master = None

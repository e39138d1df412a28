"""`lakh hash-password` on a terminal: it shows nothing of what is typed, and leaves the terminal as it was."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import termios
import time

from harness.case import BINARIES, SOON, Case, main
from harness.server import serve
from harness.wire import Peer

CHEAP = ("--memory", "64", "--passes", "1")
LOCAL_MODES = 3


class Typing:
    """The command, with a terminal of its own that it controls, and whoever sits before it."""

    def __init__(self, *arguments):
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        self.seen = b""
        self.process = subprocess.Popen(
            [BINARIES / "lakh", "hash-password", *arguments],
            stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        # The terminal stays when the command is gone, so that it can be looked at.
        self.theirs = theirs

    def wait_for(self, text):
        """Reads the screen until the text has come since the last call; what came up to its end."""
        deadline = time.monotonic() + SOON
        while text not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise AssertionError(f"not on the screen: {text!r}, but {self.seen!r}")
            self.seen += os.read(self.ours, 4096)
        shown, _, self.seen = self.seen.partition(text)
        return shown + text

    def type(self, text):
        os.write(self.ours, text)

    def echoes(self):
        return bool(termios.tcgetattr(self.theirs)[LOCAL_MODES] & termios.ECHO)

    def is_as_before(self):
        return termios.tcgetattr(self.theirs) == self.before

    def state(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0]

    def end(self):
        """What it printed, and how it ended."""
        out, _ = self.process.communicate(timeout=SOON)
        return out.decode(), self.process.returncode

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        os.close(self.ours)
        os.close(self.theirs)


class HashPassword(Case):
    def typing(self, *arguments):
        typing = Typing(*arguments)
        self.addCleanup(typing.close)
        return typing

    def asked(self, *arguments):
        """One that has asked, and does not echo."""
        typing = self.typing(*CHEAP, *arguments)
        typing.wait_for(b"Password: ")
        self.assertFalse(typing.echoes())
        return typing

    def test_it_asks_twice_and_shows_neither(self):
        typing = self.asked("--user", "ada")
        typing.type(b"correct horse\n")
        self.assertEqual(typing.wait_for(b"Once more: "), b"\r\nOnce more: ")
        self.assertFalse(typing.echoes())
        typing.type(b"correct horse\n")
        self.assertEqual(typing.wait_for(b"\r\n"), b"\r\n")
        line, status = typing.end()
        self.assertEqual(status, 0)
        self.assertTrue(typing.is_as_before())
        self.assertRegex(line, r"\Aada:\$argon2id\$v=19\$m=64,t=1,p=1\$\S+\n\Z")

        folder = self.folder()
        (folder / "index.html").write_text("hello")
        server = self.start(serve(folder, "--auth", line.strip()))
        for password, status in (("YWRhOmNvcnJlY3QgaG9yc2U=", 200), ("YWRhOmNvcnJlY3QgaG91c2U=", 401)):
            with Peer(server.address) as peer:
                peer.send(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {password}\r\n\r\n".encode())
                self.assertEqual(peer.answer().status, status)

    def test_two_different_passwords_are_refused(self):
        typing = self.asked()
        typing.type(b"correct horse\n")
        typing.wait_for(b"Once more: ")
        typing.type(b"correct house\n")
        typing.wait_for(b"lakh: these are two different passwords")
        self.assertEqual(typing.end(), ("", 1))
        self.assertTrue(typing.is_as_before())

    def test_the_end_of_the_input_is_no_password(self):
        typing = self.asked()
        typing.type(b"\x04")
        typing.wait_for(b"lakh: cannot read the password: nothing was typed")
        self.assertEqual(typing.end(), ("", 1))
        self.assertTrue(typing.is_as_before())

    def test_ctrl_c_restores_the_terminal_and_ends_it_as_the_signal_does(self):
        for once_more in (False, True):
            with self.subTest(once_more=once_more):
                typing = self.asked()
                if once_more:
                    typing.type(b"correct horse\n")
                    typing.wait_for(b"Once more: ")
                typing.type(b"half of it")
                typing.type(b"\x03")
                self.assertEqual(typing.end(), ("", -signal.SIGINT))
                self.assertTrue(typing.is_as_before())
                self.assertNotIn(b"half", typing.seen)

    def test_other_signals_restore_it_too(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number.name):
                typing = self.asked()
                typing.process.send_signal(number)
                self.assertEqual(typing.end(), ("", -number))
                self.assertTrue(typing.is_as_before())

    def test_stopped_it_restores_the_terminal_and_asks_again_when_it_goes_on(self):
        typing = self.asked()
        typing.type(b"forgotten")
        typing.process.send_signal(signal.SIGTSTP)
        self.poll("it is stopped", lambda: typing.state() == "T")
        self.assertTrue(typing.is_as_before())
        typing.process.send_signal(signal.SIGCONT)
        typing.wait_for(b"Password: ")
        self.assertFalse(typing.echoes())
        for prompt in (b"Once more: ", b"\r\n"):
            typing.type(b"correct horse\n")
            typing.wait_for(prompt)
        out, status = typing.end()
        self.assertEqual((out[:10], status), ("$argon2id$", 0))
        self.assertTrue(typing.is_as_before())


if __name__ == "__main__":
    main()

"""`lakh top` in a terminal: what a running server is at, and what is left of it on the screen."""

import json
import re
import socket
import subprocess
import unittest

from harness.case import BINARIES, SITE, SOON, Case, main
from harness.server import serve
from harness.wire import fetch

try:
    from harness.terminal import PROMPT, Terminal
except ModuleNotFoundError:
    PROMPT = Terminal = None

KEYS = "  q ends   first: b busy  l lag  r requests  c connections  n number"
# What hides the cursor, takes another screen, asks for the mouse or for keys.
PRIVATE_MODE = re.compile(rb"\x1b\[\?")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
METRICS = r"http://127\.0\.0\.1:(\d+)  \(what goes on inside\)"


@unittest.skipUnless(Terminal, "this Python has no pyte (python3-pyte), which is the terminal")
class ServerInATerminal(Case):
    def setUp(self):
        self.server = self.start(serve(SITE, "--metrics=0", "--shards", 3, "--log", "off"))
        self.metrics = self.server.out.wait_for(METRICS)[1]

    def top(self, *options, **how):
        terminal = Terminal(BINARIES / "lakh", "top", self.metrics, *options, **how)
        self.addCleanup(terminal.kill)
        return terminal

    def view(self, terminal):
        """Waits for a whole view with rates; its lines, without what is above it."""
        whole = lambda lines: lines and lines[-1] == KEYS and re.search(r"requests/s \d", terminal.text())
        lines = terminal.wait_until("a view", whole)
        return lines[max(at for at, line in enumerate(lines) if line.startswith("  lakh ")):]

    def numbers(self, lines):
        """Of the table of shards: the number of each, from above."""
        begin = next(at for at, line in enumerate(lines) if line.startswith("  shard "))
        return [int(line.split()[0]) for line in lines[begin + 1:begin + 4]]

    def test_it_is_drawn_in_place_and_ends_with_q(self):
        terminal = self.top()
        lines = self.view(terminal)
        self.assertEqual(terminal.lines()[0], PROMPT)
        self.assertRegex(lines[0], rf"^  lakh \S+   process {self.server.pid}   up \d+s +127\.0\.0\.1:{self.metrics}$")
        self.assertRegex(lines[2], r"^  CPU \S+   memory [\d.]+ MB   descriptors [\d,]+ of [\d,]+   threads \d+$")
        self.assertEqual(sorted(self.numbers(lines)), [0, 1, 2])
        self.assertTrue(any(line.startswith("  file ") for line in lines), lines)
        def counted(lines):
            fetch(self.server.address, "/")
            return any(re.match(r"  requests/s (?!0 )\d", line) for line in lines)
        terminal.wait_until("requests", counted)
        terminal.type("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.text().count("requests/s "), 2, "one view is left, with a line and a head of a table")
        self.assertFalse(terminal.screen.cursor.hidden)
        self.assertEqual(terminal.screen.cursor.x, 0)
        self.assertNotRegex(terminal.bytes, PRIVATE_MODE)
        self.assertRegex(terminal.bytes, COLOUR)

    def test_ctrl_c_ends_it_and_the_settings_are_as_before(self):
        for key in ("\x03", "Q"):
            terminal = self.top(columns=120, rows=40)
            self.view(terminal)
            terminal.type(key)
            self.assertEqual(terminal.wait(), 0)

    def test_keys_sort_the_shards(self):
        terminal = self.top("--interval", "200ms", columns=120, rows=40)
        self.view(terminal)
        terminal.type("n")
        terminal.wait_until("the order of numbers", lambda lines: self.numbers(lines) == [0, 1, 2])
        terminal.type("xq")
        self.assertEqual(terminal.wait(), 0)

    def test_it_takes_the_size_that_the_terminal_gets(self):
        terminal = self.top(columns=120, rows=40, NO_COLOR="1")
        self.view(terminal)
        for columns, rows in ((60, 14), (132, 40)):
            terminal.resize(columns, rows)
            fits = lambda lines: lines[-1:] == [KEYS[:columns - 1].rstrip()] and terminal.text().count("process ") == 1
            terminal.wait_until(f"{columns} columns", fits)
        terminal.type("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertNotRegex(terminal.bytes, COLOUR)

    def test_a_server_that_ends_is_told_and_the_view_stays(self):
        terminal = self.top("--interval", "200ms", columns=120, rows=40)
        self.view(terminal)
        self.server.signal()
        self.assertEqual(self.server.wait(), 0)
        terminal.wait_until("why", lambda lines: any("nothing listens on" in line for line in lines))
        terminal.type("q")
        self.assertEqual(terminal.wait(), 0)

    def test_a_server_that_hangs_takes_no_keys_away(self):
        """Its numbers come from a server, which does not answer any more when it is asked for the third time."""
        numbers = self.run_top(self.metrics, "--once", "--json").stdout.encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(numbers), numbers)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SOON)
            self.metrics = listener.getsockname()[1]
            terminal = self.top("--interval", "100ms", columns=120, rows=40)
            for _ in range(2):
                with listener.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall(answer)
            with listener.accept()[0] as connection:
                connection.recv(4096)
                terminal.resize(60, 14)
                terminal.wait_until("it is drawn anew", lambda lines: lines[-1:] == [KEYS[:59].rstrip()])
                connection.setblocking(False)
                with self.assertRaises(BlockingIOError, msg="it waits for the answer all the same"):
                    connection.recv(1)
                terminal.type("q")
                self.assertEqual(terminal.wait(), 0)

    def run_top(self, *arguments):
        command = [BINARIES / "lakh", "top", *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30)

    def test_pipes_get_a_table_or_json(self):
        done = self.run_top(self.metrics, "--once")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("\x1b", done.stdout)
        self.assertEqual(self.numbers(done.stdout.splitlines()), [0, 1, 2])
        done = self.run_top(self.metrics, "--once", "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        snapshot = json.loads(done.stdout)
        self.assertEqual((snapshot["process"]["id"], len(snapshot["shards"])), (self.server.pid, 3))

    def test_a_wrong_address_is_named_with_what_to_do(self):
        done = self.run_top(str(self.server.port), "--once")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, rf"^lakh: 127\.0\.0\.1:{self.server.port} answers, but shows no metrics .*404.*--metrics")
        done = self.run_top("127.0.0.1:1")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("nothing listens on 127.0.0.1:1; ", done.stderr)
        done = self.run_top("example.org:1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("names are not resolved", done.stderr)


if __name__ == "__main__":
    main()

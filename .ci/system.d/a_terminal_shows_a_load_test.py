"""`lakh load` in a terminal: the view while it lasts, and what it leaves on the screen."""

import re
import unittest

from harness.case import BINARIES, Case, main
from harness.server import example

try:
    from harness.terminal import PROMPT, Terminal
except ModuleNotFoundError:
    PROMPT = Terminal = None

LAST_LINE = "  Ctrl-C ends the run and shows the report so far"
ROWS = ("connections", "requests/s", "p50", "p99", "errors", "in all")
# What hides the cursor, takes another screen, asks for the mouse or for keys.
PRIVATE_MODE = re.compile(rb"\x1b\[\?")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


@unittest.skipUnless(Terminal, "this Python has no pyte (python3-pyte), which is the terminal")
class LoadInATerminal(Case):
    def setUp(self):
        self.server = self.start(example("hello"))

    def load(self, *options, url=None, **how):
        terminal = Terminal(BINARIES / "lakh", "load", url or self.server.url("/plaintext"), *options, **how)
        self.addCleanup(terminal.kill)
        return terminal

    def view(self, terminal, what=r"\d"):
        """Waits for a whole view whose rate is a number; its lines, without what is above it."""
        def shows(lines):
            rates = [line for line in lines if line.startswith("  requests/s ")]
            return rates and re.match(rf"  requests/s +{what}", rates[-1]) and lines[-1] == LAST_LINE
        lines = terminal.wait_until("a view", shows)
        begin = max(at for at, line in enumerate(lines) if line.startswith("  http://"))
        return lines[begin:]

    def expect_view(self, lines, columns):
        """That these lines are a view, in itself without contradiction."""
        head = re.fullmatch(r"  http://127\.0\.0\.1:\d+/plaintext +(\d+)s of (\d+)s", lines[0])
        self.assertTrue(head, lines)
        bar = re.fullmatch("  (━*)(─*) +([0-9]+)%", lines[1])
        self.assertTrue(bar, lines)
        seconds, limit = map(int, head.groups())
        self.assertEqual(int(bar[3]), 100 * seconds // limit, lines)
        self.assertAlmostEqual(len(bar[1]) / len(bar[1] + bar[2]), seconds / limit, delta=0.05)
        # As wide as there is room, to a hundred columns.
        width = min(columns, 100) - 1
        self.assertEqual([len(lines[0]), len(lines[1])], [width, width], lines)
        names = [line[2:14].strip() for line in lines[3:9]]
        self.assertEqual(names, list(ROWS), lines)
        self.assertEqual(lines[3].split()[1], "64", lines)
        self.assertEqual(lines[-1], LAST_LINE)
        self.assertEqual(len(lines), 11, lines)

    def expect_report(self, terminal, status=0):
        """The end: where the view was, stands the report, and nothing else."""
        self.assertEqual(terminal.wait(), status)
        lines = terminal.lines()
        self.assertEqual(lines[0], PROMPT)
        self.assertRegex(lines[1], r"^[\d.]+m?s  64/64 connections  ")
        self.assertNotIn("Ctrl-C", terminal.text())
        self.assertNotIn("━", terminal.text())
        self.assertFalse(terminal.screen.cursor.hidden)
        self.assertEqual(terminal.screen.cursor.x, 0)
        self.assertNotRegex(terminal.bytes, PRIVATE_MODE)
        return lines

    def test_the_view_is_drawn_in_place_and_the_report_follows(self):
        terminal = self.load("-d", "4s")
        first = self.view(terminal)
        self.expect_view(first, 80)
        self.assertEqual(terminal.lines()[0], PROMPT)
        self.assertEqual(terminal.screen.cursor.y, 12)
        again = lambda lines: lines[1:12] != first and "2s of 4s" in lines[1]
        self.expect_view(terminal.wait_until("the next second", again)[1:], 80)
        self.assertRegex(terminal.bytes, COLOUR)
        self.expect_report(terminal)

    def test_it_takes_the_size_that_the_terminal_gets(self):
        terminal = self.load("-d", "30s", columns=200, rows=50)
        self.expect_view(self.view(terminal), 200)
        for columns, rows in ((60, 20), (132, 40), (80, 24)):
            terminal.resize(columns, rows)
            width = min(columns, 100) - 1
            terminal.wait_until(f"{columns} columns", lambda lines: any(len(line) == width for line in lines))
            self.expect_view(self.view(terminal), columns)
            self.assertEqual(terminal.text().count("Ctrl-C"), 1, terminal.text())
        # Too small for a view: a line.
        terminal.resize(40, 10)
        shortest = lambda lines: re.fullmatch(r"\d+s of 30s  [\d,.]+/s  errors 0", lines[-1] if lines else "")
        terminal.wait_until("a line", shortest)
        terminal.type("\x03")
        self.assertEqual(terminal.wait(), 0)

    def test_ctrl_c_leaves_the_terminal_as_it_was(self):
        terminal = self.load("-d", "60s")
        self.view(terminal)
        terminal.type("\x03")
        lines = self.expect_report(terminal)
        self.assertIn("interrupted", lines[2])

    def test_without_colours_there_is_a_view_and_no_colour(self):
        terminal = self.load("-d", "3s", NO_COLOR="1")
        self.expect_view(self.view(terminal), 80)
        self.expect_report(terminal)
        self.assertNotRegex(terminal.bytes, COLOUR)

    def test_a_terminal_without_control_sequences_gets_lines(self):
        for terminal in (self.load("-d", "3s", TERM="dumb"), self.load("-d", "3s", "--no-tui", NO_COLOR="1")):
            self.assertEqual(terminal.wait(), 0)
            self.assertNotIn(b"\x1b", terminal.bytes)
            lines = terminal.lines()
            self.assertRegex(lines[1], r"^    1s  64 of 64 connections  [\d,.]+/s  errors 0  p50 ")
            self.assertRegex(terminal.text(), r"\n3s  64/64 connections  ")

    def test_each_phase_says_what_it_is(self):
        terminal = self.load("-d", "2s", "--hold", "2s", "--warmup", "2s")
        # In this order.
        for name, value in (("holding", "-"), ("warm-up", "-")):
            shows = lambda lines, name=name: any(line.endswith(f"  {name}  1s of 2s") for line in lines)
            terminal.wait_until(name, shows)
            self.assertEqual(self.view(terminal, value)[4].split()[1], value)
        self.expect_view(self.view(terminal), 80)
        lines = self.expect_report(terminal)
        self.assertTrue(any(re.match(r"  held +2s   lost 0   client ", line) for line in lines), lines)


if __name__ == "__main__":
    main()

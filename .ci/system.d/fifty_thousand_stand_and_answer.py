"""Fifty thousand WebSockets, and five thousand HTTP connections and UDP peers, by the script that makes a million."""

import os
import pathlib
import re
import signal
import subprocess

from harness.case import Case, main

SCRIPT = pathlib.Path(__file__).parents[2] / "loadtest" / "million.sh"
COUNT = 50_000
FEW = COUNT // 10
# The budgets of a million are 256 and 320; with fewer connections, what a thread has weighs more.
SERVER_BYTES = 400
CLIENT_BYTES = 500


class FiftyThousand(Case):
    def test_all_stand_answer_in_turn_and_get_the_broadcast(self):
        process = self.script(str(COUNT))
        table, said = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, table + said)
        rows = {row[:36].strip(): row[36:].split() for row in table.splitlines()}
        everyone = [str(COUNT), str(FEW), str(FEW)]
        for name in ("established", "answered, each in its turn"):
            self.assertEqual(rows[name], everyone, table)
        for name in ("lost in all", "errors"):
            self.assertEqual(rows[name], ["0", "0", "0"], table)
        self.assertEqual(rows["broadcast received by"], [str(COUNT), "-", "-"], table)
        self.assertLess(int(rows["server, user bytes a connection"][0]), SERVER_BYTES, table)
        self.assertLess(int(rows["client, user bytes a connection"][0]), CLIENT_BYTES, table)

    def test_a_signal_ends_it_with_its_children(self):
        process = self.script("1000", HOLD="60")
        for line in process.stderr:
            if re.search(r"\d+ s", line) or line.startswith("WebSocket"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 143)
        with self.assertRaises(ProcessLookupError):
            os.killpg(process.pid, 0)

    def test_what_the_machine_has_no_room_for_is_refused(self):
        process = self.script("100000000")
        self.assertEqual((process.wait(timeout=60), process.stdout.read()), (2, ""))

    def script(self, count, **variables):
        environment = {"HOLD": "5", **os.environ, **variables}
        process = subprocess.Popen(
            [SCRIPT, count],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        process.stdout.close()
        process.stderr.close()


if __name__ == "__main__":
    main()

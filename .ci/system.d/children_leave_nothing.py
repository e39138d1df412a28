"""10,000 child processes one after another, as many dropped ones, and 200 at once: no zombie, no descriptor left."""

import os
import re
import subprocess

from harness.case import REPOSITORY, Case, main

CHILDREN = "10000"
# With what is built; the children take less than a minute of CPU.
LIMIT = 220.0


class Children(Case):
    def test_ten_thousand_children_leave_nothing(self):
        command = ["cargo", "test", "--locked", "-j2", "-p", "lakh-core", "--test", "process_many"]
        done = subprocess.run(
            command, cwd=REPOSITORY, env={**os.environ, "LAKH_TEST_CHILDREN": CHILDREN}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=LIMIT, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-8000:])
        self.assertRegex(done.stdout, re.compile(r"test result: ok\. 1 passed"))


if __name__ == "__main__":
    main()

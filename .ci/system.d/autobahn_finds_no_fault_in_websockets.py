"""Autobahn's fuzzing client against the echoes of both styles of WebSocket handlers: nothing failed, nothing skipped."""

from harness import autobahn
from harness.case import Case, main
from harness.server import example

CASES = {"core": 247, "limits": 54, "deflate": 216}
# Seconds for a group.
LIMIT = 120
FINE = {"OK", "INFORMATIONAL"}


class Autobahn(Case):
    @classmethod
    def setUpClass(cls):
        if autobahn.python():
            autobahn.install()

    def setUp(self):
        if not autobahn.python():
            self.skipTest("there is no Python 2.7, which Autobahn's test suite needs")

    def test_callbacks_and_async_handlers_keep_to_the_protocol(self):
        servers = {style: self.start(example("ws_echo", "--style", style)) for style in ("callback", "async")}
        for group, cases in CASES.items():
            runs = {style: autobahn.Run(group, server, self.folder()) for style, server in servers.items()}
            for style, run in runs.items():
                self.addCleanup(run.stop)
                with self.subTest(group=group, style=style):
                    results = run.results(LIMIT)
                    wrong = {case: result for case, result in results.items() if not set(result) <= FINE}
                    self.assertEqual(wrong, {})
                    self.assertEqual(len(results), cases, run.log())


if __name__ == "__main__":
    main()

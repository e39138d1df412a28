"""The page that `lakh load --html` writes, in a browser, from the disk."""

import re
import subprocess

from harness.browser import Browser
from harness.case import BINARIES, Case, main
from harness.server import example

# What is drawn: of each plot its title, its lines, and how many points each of these has.
PLOTS = """
    [...document.querySelectorAll('figure')].map((figure) => ({
        title: figure.querySelector('figcaption').firstChild.textContent,
        box: (({width, height}) => [width, height])(figure.querySelector('svg').getBoundingClientRect()),
        points: [...figure.querySelectorAll('.line')].map((line) => line.getTotalLength() > 0 ? line.getBBox().width : 0),
        labels: [...figure.querySelectorAll('.x span, .y span')].map((label) => label.textContent),
    }))
"""
# Elements that are wider than the page, or that lie outside of it.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
TILES = """
    Object.fromEntries([...document.querySelectorAll('.tiles div')].map((tile) =>
        [tile.querySelector('span').textContent, tile.querySelector('b').textContent]))
"""


class LoadPage(Case):
    def load(self, url, *options, status=0):
        """Runs it; the page, and the report as text."""
        page = self.folder() / "a report.html"
        command = [BINARIES / "lakh", "load", url, "--html", page, *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return page, done.stdout

    def browse(self, page, width=1400, scheme="light"):
        browser = Browser(self.folder())
        self.addCleanup(browser.close)
        browser.start()
        browser.command("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1,
                        mobile=False)
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.go(page.as_uri())
        return browser

    def expect_only_the_file(self, browser, page):
        self.assertEqual(browser.errors, [])
        self.assertEqual(list(browser.urls.values()), [page.as_uri()])
        self.assertEqual(browser.evaluate("document.scripts.length"), 0)
        self.assertEqual(browser.evaluate("performance.getEntriesByType('resource').length"), 0)

    def expect_plots(self, browser, *titles):
        plots = browser.evaluate(PLOTS)
        self.assertEqual([plot["title"] for plot in plots], list(titles))
        for plot in plots:
            width, height = plot["box"]
            self.assertTrue(width > 200 and height > 100, plot)
            self.assertTrue(plot["points"] and all(width > 0 for width in plot["points"]), plot)
            self.assertTrue(all(plot["labels"]) and len(plot["labels"]) > 3, plot)

    def test_the_page_of_a_run_needs_nothing_else(self):
        server = self.start(example("hello"))
        page, text = self.load(server.url("/plaintext?<script>&a='b'"), "-d", "4s", "-R", "2k", "-c", "8",
                               "--pid", server.pid, "--fail-if", "p99>10s")
        browser = self.browse(page)
        self.expect_only_the_file(browser, page)
        self.expect_plots(browser, "Requests/s", "Connections", "Latency over time", "Latency by percentile")
        # The same figures as those of the text.
        tiles = browser.evaluate(TILES)
        found = re.search(r"requests +([\d,]+) +([\d,]+)/s +errors 0", text)
        self.assertEqual([tiles["requests/s"], tiles["errors"], tiles["lost"], tiles["connections"]],
                         [found[2], "0", "0", "8"], text)
        heading = browser.evaluate("document.querySelector('h1').textContent")
        self.assertEqual(heading, server.url("/plaintext?<script>&a='b'"))
        self.assertEqual(browser.evaluate("document.querySelector('.verdicts .good').textContent")[:8], "PASS p99")
        # What it can be asked of one second.
        hints = browser.evaluate("[...document.querySelectorAll('figure title')].map((hint) => hint.textContent)")
        self.assertTrue(any(re.fullmatch(r"1s: [\d,.]+ requests/s", hint) for hint in hints), hints[:5])

    def test_it_fits_a_phone_and_is_dark_where_that_is_wanted(self):
        server = self.start(example("hello"))
        page, _ = self.load(server.url("/plaintext"), "-d", "3s", "-R", "1k", "-c", "8")
        brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        for width, scheme in ((390, "dark"), (1400, "light")):
            browser = self.browse(page, width, scheme)
            self.assertLessEqual(browser.evaluate(OVERFLOW), 0, width)
            self.assertEqual(max(browser.evaluate(brightness)) < 128, scheme == "dark")
            self.expect_only_the_file(browser, page)
            browser.close()

    def test_a_broadcast_and_a_server_that_is_not_there_have_pages_too(self):
        server = self.start(example("ws_echo", "--style", "callback"))
        page, _ = self.load(f"ws://127.0.0.1:{server.port}/topic/all", "--ws", "broadcast", "-c", "20", "-d", "3s",
                            "--msg-rate", "20", "--hold", "1s")
        browser = self.browse(page)
        self.expect_only_the_file(browser, page)
        self.expect_plots(browser, "Messages/s", "Connections", "Delay of broadcasts by percentile")
        self.assertEqual(browser.evaluate(TILES)["received"], "1,200")
        browser.close()

        page, _ = self.load("http://127.0.0.1:1/", "-c", "4", "-T", "1s", status=3)
        browser = self.browse(page)
        self.expect_only_the_file(browser, page)
        self.assertEqual(browser.evaluate(TILES)["connections"], "0")
        self.assertIn("connection refused", browser.evaluate("document.body.innerText"))


if __name__ == "__main__":
    main()

"""The page of `lakh serve --metrics` in a browser, beside a server that has something to do."""

import base64
import os
import pathlib
import threading

from harness.browser import Browser
from harness.case import SITE, Case, main
from harness.server import serve
from harness.wire import Peer, fetch

METRICS = r"http://127\.0\.0\.1:(\d+)  \(what goes on inside\)"
# What is drawn: of each plot its lines, with how many points each has.
PLOTS = """
    Object.fromEntries([...document.querySelectorAll('figure')].map((figure) => [figure.dataset.plot,
        [...figure.querySelectorAll('polyline')].map((line) => line.points.numberOfItems)]))
"""
TILES = """
    Object.fromEntries([...document.querySelectorAll('.tiles div')].map((tile) =>
        [tile.querySelector('span').textContent, tile.querySelector('b').textContent]))
"""
ROWS = """
    [...document.querySelectorAll('#handles tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))
"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class ServerPage(Case):
    def setUp(self):
        self.server = self.start(serve(SITE, "--metrics=0", "--log", "off"))
        self.metrics = ("127.0.0.1", int(self.server.out.wait_for(METRICS)[1]))
        self.page = f"http://127.0.0.1:{self.metrics[1]}/"

    def browse(self, width=1400, scheme="light"):
        browser = Browser(self.folder())
        self.addCleanup(browser.close)
        browser.start()
        browser.command("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1,
                        mobile=False)
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.go(self.page)
        return browser

    def work(self):
        """Asks for a page again and again until the test ends."""
        enough = threading.Event()
        def ask():
            while not enough.is_set():
                fetch(self.server.address, "/")
        worker = threading.Thread(target=ask)
        worker.start()
        self.addCleanup(worker.join)
        self.addCleanup(enough.set)

    def picture(self, browser, name):
        """Kept if LAKH_PICTURES says where."""
        folder = os.environ.get("LAKH_PICTURES")
        if folder:
            shot = browser.command("Page.captureScreenshot", captureBeyondViewport=True)
            (pathlib.Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def test_the_plots_move_and_nobody_else_is_asked(self):
        self.work()
        with Peer(self.server.address) as peer:
            peer.get("/").answer()
            browser = self.browse()
            drawn = lambda: min(map(min, browser.evaluate(PLOTS).values())) >= 4 if browser.evaluate(PLOTS) else False
            whole = "document.querySelectorAll('polyline').length > 0"
            self.poll("the first lines", lambda: browser.evaluate(whole))
            self.poll("four seconds", drawn)
            plots = browser.evaluate(PLOTS)
            shards = browser.evaluate("document.querySelectorAll('#shards tbody tr').length")
            self.assertEqual(list(plots), ["Requests/s", "Connections", "Busy, by shard", "Lag p99, by shard",
                                           "Pool wait p99, by lane", "Memory"])
            self.assertEqual([len(plots["Requests/s"]), len(plots["Busy, by shard"])], [1, shards])
            legend = browser.evaluate("[...document.querySelectorAll('[data-plot^=Busy] .legend span')].map((one) => one.textContent)")
            self.assertEqual([entry.split()[0] for entry in legend], [str(shard) for shard in range(shards)])
            tiles = browser.evaluate(TILES)
            self.assertGreater(float(tiles["requests/s"].replace(",", "")), 0, tiles)
            self.assertEqual(tiles["stalls"], "0")
            # The connection that stands, with both of its addresses.
            local, remote = ("%s:%d" % peer.socket.getsockname(), "%s:%d" % peer.socket.getpeername())
            shown = lambda shard: (browser.evaluate(
                f"document.querySelector('#shard').value = {shard}, "
                "document.querySelector('form').dispatchEvent(new Event('change')), inspect()"), browser.evaluate(ROWS))[1]
            rows = [row for shard in range(shards) for row in shown(shard)]
            self.assertTrue(any(row[0] == "tcp connection" and row[2:4] == [remote, local] for row in rows), rows)
            self.assertTrue(any(row[0] == "tcp listener" and row[1] == "accepting connections" for row in rows), rows)
            self.picture(browser, "inside")
        self.assertEqual(browser.errors, [])
        self.assertEqual({url.split("?")[0] for url in browser.urls.values()} - {"data:,"},
                         {self.page, f"{self.page}snapshot", f"{self.page}inspect"})

    def test_it_fits_a_phone_and_is_dark_where_that_is_wanted(self):
        brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        for width, scheme in ((390, "dark"), (1400, "light")):
            browser = self.browse(width, scheme)
            self.poll("the lines", lambda: browser.evaluate("document.querySelectorAll('polyline').length > 6"))
            self.assertLessEqual(browser.evaluate(OVERFLOW), 0, width)
            self.assertEqual(max(browser.evaluate(brightness)) < 128, scheme == "dark")
            self.picture(browser, f"inside-{scheme}")
            self.assertEqual(browser.errors, [])
            browser.close()

    def test_a_server_that_is_gone_is_told(self):
        browser = self.browse()
        self.poll("the lines", lambda: browser.evaluate("document.querySelectorAll('polyline').length > 6"))
        self.server.signal()
        self.assertEqual(self.server.wait(), 0)
        self.poll("why", lambda: "no answer" in browser.evaluate("document.querySelector('#state').textContent"))


if __name__ == "__main__":
    main()

"""A browser, which asks in its own ways and forgives nothing in headers."""

import http.client
import urllib.parse

from harness.browser import Browser
from harness.case import SITE, Case, main
from harness.server import serve

PAGES = ("/", "/primes/", "/server/")


class Site(Case):
    def setUp(self):
        self.server = self.start(serve(SITE))
        self.browser = Browser(self.folder())
        self.addCleanup(self.browser.close)
        self.browser.start()

    def show(self, path):
        self.browser.go(self.server.url(path))

    def text(self, selector):
        return self.browser.evaluate(f"document.querySelector('{selector}').textContent")

    def shows(self, selector, part):
        self.poll(f"{selector} shows {part!r}", lambda: part in self.text(selector), 30)

    def assert_nothing_failed(self):
        self.assertEqual(self.browser.errors, [])
        failed = [(url, status) for url, status in self.browser.answers if status not in (200, 206, 304)]
        self.assertEqual(failed, [])

    def test_the_first_page_draws_a_hundred_thousand_dots(self):
        self.show("/")
        self.assertEqual(self.browser.evaluate("document.title"), "One hundred thousand connections")
        colours = """(() => {
            const canvas = document.getElementById('dots');
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Map();
            for (let at = 0; at < data.length; at += 4) {
                const key = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
                seen.set(key, (seen.get(key) || 0) + 1);
            }
            return [...seen.values()].sort((a, b) => b - a);
        })()"""
        counts = self.browser.evaluate(colours)
        self.assertGreater(len(counts), 1)
        self.assertGreaterEqual(sum(counts[:2]), 100_000)
        move = "const rate = document.getElementById('rate'); rate.value = 100; rate.dispatchEvent(new Event('input'))"
        self.browser.evaluate(move)
        self.assertEqual(self.text("#rate-now"), "50,000")
        self.assert_nothing_failed()
        asked = {urllib.parse.urlsplit(url).path for url, _ in self.browser.answers}
        self.assertLessEqual({"/", "/style.css", "/app.js", "/logo.svg"}, asked)

    def test_the_primes_are_fetched_and_counted(self):
        self.show("/primes/")
        self.shows("#gaps-now", "150,000 primes, the last 2,015,177.")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#gaps rect').length"), 30)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#gaps-table tr').length"), 30)
        self.browser.evaluate("document.getElementById('tail').click()")
        self.shows("#tail-answer", "206")
        size = (SITE / "data" / "primes.txt").stat().st_size
        self.shows("#tail-answer", f"Content-Range: bytes {size - 40}-{size - 1}/{size}")
        self.assert_nothing_failed()

    def test_the_server_says_what_it_knows_about_a_file(self):
        self.show("/server/")
        ask = "document.getElementById('ask').requestSubmit()"
        self.browser.evaluate(ask)
        for part in ("HEAD /", "200", "content-type: ", "content-length: ", "etag: ", "If-None-Match: ", "304"):
            self.shows("#ask-answer", part)
        self.assertEqual(self.browser.errors, [])

    def test_pictures_are_shown(self):
        for page in ("/primes/", "/server/"):
            self.show(page)
            loaded = """Promise.all([...document.images].map((image) => {
                image.loading = 'eager';
                return image.decode().then(() => image.naturalWidth > 0, () => image.src);
            }))"""
            self.assertEqual(set(self.browser.evaluate(loaded)), {True}, page)
        self.assert_nothing_failed()

    def test_a_reload_asks_whether_the_page_has_changed(self):
        self.show("/")
        self.browser.statuses.clear()
        self.browser.reload()
        self.assertIn((self.server.url("/"), 304), self.browser.answers)
        self.server.out.wait_for(r"GET / +304 ")
        self.browser.reload(ignore_cache=True)
        self.assertIn((self.server.url("/"), 200), self.browser.answers)
        self.assert_nothing_failed()

    def test_what_is_asked_for_by_the_pages_is_there(self):
        for page in PAGES:
            self.show(page)
        self.shows("footer", "lakh serve")
        self.server.out.wait_for(r"GET /server/ +200 ")
        lines = [line.split() for line in self.server.out.text().splitlines() if " GET " in line]
        missing = [line for line in lines if line[3] not in ("200", "206", "304")]
        self.assertEqual([line for line in missing if line[2] != "/favicon.ico"], [])
        self.assertGreaterEqual(len(lines), len(PAGES) + 3)

    def test_every_link_leads_somewhere(self):
        links = set()
        for page in PAGES:
            self.show(page)
            links.update(self.browser.evaluate("[...document.querySelectorAll('a[href]')].map((a) => a.href)"))
        ours = {urllib.parse.urlsplit(link).path for link in links if link.startswith(self.server.url(""))}
        self.assertEqual({link for link in links if not link.startswith(self.server.url(""))}, set())
        self.assertLessEqual(set(PAGES), ours)
        # One is there to show the page for what does not exist, one to show the redirect.
        expected = {"/no-such-page": 404, "/primes": None}
        client = http.client.HTTPConnection(*self.server.address, timeout=15)
        self.addCleanup(client.close)
        for path in ours:
            client.request("GET", path)
            answer = client.getresponse()
            body = answer.read()
            if path == "/primes":
                self.assertTrue(300 <= answer.status < 400 and answer.getheader("Location").endswith("/primes/"), path)
            else:
                self.assertEqual(answer.status, expected.get(path, 200), path)
                self.assertTrue(body, path)


if __name__ == "__main__":
    main()

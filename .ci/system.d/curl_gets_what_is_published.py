"""curl, the client that everybody has, against `lakh serve` and the mirror."""

import hashlib
import subprocess

from harness.case import SITE, Case, main
from harness.server import example, serve

PRIMES = SITE / "data" / "primes.txt"


def curl(*arguments, status=0, data=None):
    """What curl prints, and what it tells on its way with -v."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=90)
    if done.returncode != status:
        raise AssertionError(f"{command}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout, done.stderr.decode(errors="replace")


def head_of(*arguments):
    """The status and the fields, in lower case, of the answer that curl gets."""
    out, _ = curl("--include", *arguments)
    lines = out.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields


class Static(Case):
    def setUp(self):
        self.server = self.start(serve(SITE))

    def url(self, path="/"):
        return self.server.url(path)

    def test_a_page_arrives_as_it_is(self):
        out, _ = curl("--fail", self.url())
        self.assertEqual(out, (SITE / "index.html").read_bytes())

    def test_pages_scripts_and_pictures_have_their_types(self):
        types = {
            "/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css", "/logo.svg": "image/svg+xml",
            "/pictures/hills.jpg": "image/jpeg", "/pictures/hills.webp": "image/webp",
            "/pictures/spiral.png": "image/png", "/data/primes.txt": "text/plain",
        }
        for path, expected in types.items():
            with self.subTest(path):
                status, fields = head_of(self.url(path))
                self.assertEqual(status, 200)
                self.assertEqual(fields["content-type"].split(";")[0], expected)

    def test_a_name_with_a_space_and_an_accent_is_found(self):
        out, _ = curl("--fail", self.url("/data/na%C3%AFve%20question.txt"))
        self.assertEqual(out, (SITE / "data" / "naïve question.txt").read_bytes())

    def test_a_range_is_these_bytes_and_no_others(self):
        whole = PRIMES.read_bytes()
        ranges = {
            "0-99": whole[:100], "-40": whole[-40:], "1110000-": whole[1110000:],
            "500000-599999": whole[500000:600000],
        }
        for asked, expected in ranges.items():
            with self.subTest(asked):
                status, fields = head_of("--range", asked, self.url("/data/primes.txt"))
                out, _ = curl("--range", asked, self.url("/data/primes.txt"))
                self.assertEqual((status, out), (206, expected))
                start = whole.index(expected)
                self.assertEqual(fields["content-range"], f"bytes {start}-{start + len(expected) - 1}/{len(whole)}")

    def test_a_range_beyond_the_end_is_416(self):
        status, fields = head_of("--range", "2000000-", self.url("/data/primes.txt"))
        self.assertEqual((status, fields["content-range"]), (416, f"bytes */{PRIMES.stat().st_size}"))

    def test_a_download_goes_on_where_it_was_cut(self):
        part = self.folder() / "primes.txt"
        part.write_bytes(PRIMES.read_bytes()[:300_000])
        curl("--fail", "--continue-at", "-", "--output", part, self.url("/data/primes.txt"))
        self.assertEqual(part.read_bytes(), PRIMES.read_bytes())

    def test_what_is_not_there_is_404(self):
        self.assertEqual(head_of(self.url("/nothing.html"))[0], 404)
        self.assertEqual(head_of("--path-as-is", self.url("/../../../../etc/passwd"))[0], 404)

    def test_a_folder_without_its_slash_leads_to_the_page(self):
        out, _ = curl("--fail", "--location", self.url("/primes"))
        self.assertEqual(out, (SITE / "primes" / "index.html").read_bytes())

    def test_head_tells_what_get_would_without_the_bytes(self):
        out, _ = curl("--head", self.url("/data/primes.txt"))
        _, fields = head_of(self.url("/data/primes.txt"))
        head, _, body = out.partition(b"\r\n\r\n")
        self.assertEqual(body, b"")
        for name in ("content-length", "content-type", "etag", "last-modified"):
            self.assertIn(f"{name}: {fields[name]}", head.decode().lower())

    def test_a_page_that_is_known_is_304(self):
        for path in ("/", "/data/primes.txt"):
            with self.subTest(path):
                out, _ = curl("--include", self.url(path))
                fields = dict(
                    line.split(": ", 1) for line in out.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
                )
                fields = {name.lower(): value for name, value in fields.items()}
                by_tag, _ = curl("--include", "-H", f"If-None-Match: {fields['etag']}", self.url(path))
                self.assertTrue(by_tag.startswith(b"HTTP/1.1 304"), by_tag[:200])
                self.assertEqual(by_tag.partition(b"\r\n\r\n")[2], b"")
                self.assertIn(f"etag: {fields['etag']}".lower(), by_tag.decode().lower())
                by_date, _ = curl("--include", "-H", f"If-Modified-Since: {fields['last-modified']}", self.url(path))
                self.assertTrue(by_date.startswith(b"HTTP/1.1 304"), by_date[:200])
                other, _ = curl("--include", "-H", 'If-None-Match: "another"', self.url(path))
                self.assertTrue(other.startswith(b"HTTP/1.1 200"), other[:200])

    def test_http_1_0_gets_the_page_and_a_close(self):
        out, told = curl("--http1.0", "--verbose", self.url(), self.url())
        self.assertEqual(out, (SITE / "index.html").read_bytes() * 2)
        self.assertNotIn("Re-using existing connection", told)

    def test_a_second_request_reuses_the_connection(self):
        out, told = curl("--verbose", self.url("/style.css"), self.url("/data/primes.txt"), self.url("/app.js"))
        expected = [(SITE / name).read_bytes() for name in ("style.css", "data/primes.txt", "app.js")]
        self.assertEqual(hashlib.sha256(out).digest(), hashlib.sha256(b"".join(expected)).digest())
        self.assertEqual(told.count("Re-using existing connection"), 2, told)

    def test_files_take_no_uploads(self):
        for method in (["--upload-file", "-"], ["--data-binary", "@-"], ["--request", "DELETE"]):
            with self.subTest(method[0]):
                out, _ = curl("--include", *method, self.url("/app.js"), data=b"x" * 300_000)
                head = out.decode("latin-1").lower().replace("http/1.1 100 continue\r\n\r\n", "")
                self.assertTrue(head.startswith("http/1.1 405"), head[:100])
                allowed = next(line for line in head.split("\r\n") if line.startswith("allow:"))
                self.assertIn("get", allowed)
                self.assertIn("head", allowed)

    def test_many_downloads_at_once_are_all_whole(self):
        folder = self.folder()
        downloads = []
        for number in range(40):
            downloads += ["--output", folder / str(number), self.url("/data/primes.txt")]
        curl("--parallel", "--parallel-max", "20", "--fail", *downloads)
        expected = hashlib.sha256(PRIMES.read_bytes()).hexdigest()
        for number in range(40):
            got = hashlib.sha256((folder / str(number)).read_bytes()).hexdigest()
            self.assertEqual(got, expected, f"download {number}")

    def test_each_request_is_a_line_of_the_log(self):
        curl(self.url("/robots.txt"), self.url("/nothing-here"))
        self.server.out.wait_for(r"GET /robots\.txt +200 ")
        self.server.out.wait_for(r"GET /nothing-here +404 ")


class OneFile(Case):
    def test_a_single_file_is_served_at_the_root(self):
        server = self.start(serve(PRIMES))
        out, _ = curl("--fail", server.url())
        self.assertEqual(out, PRIMES.read_bytes())
        out, _ = curl("--fail", "--range", "0-4", server.url())
        self.assertEqual(out, PRIMES.read_bytes()[:5])

    def test_its_neighbours_are_not_served(self):
        server = self.start(serve(PRIMES))
        self.assertEqual(head_of(server.url("/na%C3%AFve%20question.txt"))[0], 404)


class Mirror(Case):
    def setUp(self):
        self.server = self.start(example("mirror"))
        self.body = PRIMES.read_bytes()

    def test_an_upload_comes_back_whole(self):
        out, _ = curl("--fail", "--data-binary", "@-", self.server.url(), data=self.body)
        self.assertEqual(hashlib.sha256(out).digest(), hashlib.sha256(self.body).digest())

    def test_a_chunked_upload_comes_back_whole(self):
        chunked = ("-H", "Transfer-Encoding: chunked")
        out, _ = curl("--fail", *chunked, "--data-binary", "@-", self.server.url(), data=self.body)
        self.assertEqual(hashlib.sha256(out).digest(), hashlib.sha256(self.body).digest())

    def test_whoever_asks_is_told_to_continue(self):
        asking = ("--verbose", "-H", "Expect: 100-continue", "--expect100-timeout", "50")
        out, told = curl("--fail", *asking, "--data-binary", "@-", self.server.url(), data=b"little")
        self.assertEqual(out, b"little")
        self.assertIn("< HTTP/1.1 100 Continue", told)

    def test_an_expectation_that_is_unknown_is_417(self):
        status, _ = head_of("-H", "Expect: the-unexpected", "--data", "x", self.server.url())
        self.assertEqual(status, 417)


if __name__ == "__main__":
    main()

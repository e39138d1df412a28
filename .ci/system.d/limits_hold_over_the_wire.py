"""What no well-behaved client sends: refused with the right status, and nothing behind it is read."""

from harness.case import SITE, Case, main
from harness.server import example, serve
from harness.wire import Peer, exchange, fetch, statuses

HOST = b"Host: localhost\r\n"
# If it is ever answered, bytes behind a malformed message were taken for a request.
NEXT = b"GET /plaintext HTTP/1.1\r\n" + HOST + b"\r\n"

MALFORMED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a host that is none": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that is no token": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a fragment": b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with user info": b"GET http://me@localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
    "a name that is no token": b"GET / HTTP/1.1\r\n" + HOST + b"A(b: c\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
    "a control byte": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\n" + b"Host: localhost\n\n",
    "bare CR": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rc\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a list of lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na",
    "a signed length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
    "a length that overflows": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a length and chunks":
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding at the end": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "xchunked": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
MALFORMED_BODIES = {
    "a chunk size that is none": b"xyz\r\n",
    "a chunk size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk size that overflows": b"fffffffffffffffff\r\n",
    "a chunk longer than it says": b"2\r\nabc\r\n0\r\n\r\n",
    "a chunk that ends with LF": b"2\r\nab\n0\r\n\r\n",
}


class Limits(Case):
    def setUp(self):
        self.hello = self.start(example("hello"))

    def assert_refused(self, address, data, *allowed):
        """One answer, with one of these statuses, and the connection ends."""
        received = exchange(address, data + NEXT * 3)
        self.assertIn(statuses(received), [[status] for status in allowed], received[:300])
        self.assertIn(b"connection: close", received.lower())

    def test_malformed_heads_are_400_and_a_close(self):
        for name, data in MALFORMED.items():
            with self.subTest(name):
                self.assert_refused(self.hello.address, data, 400)

    def test_malformed_bodies_are_400_and_a_close(self):
        mirror = self.start(example("mirror"))
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        for name, body in MALFORMED_BODIES.items():
            with self.subTest(name):
                self.assert_refused(mirror.address, head + body, 400)

    def test_a_body_over_the_limit_is_413_before_it_is_sent(self):
        mirror = self.start(example("mirror"))
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (1 << 40)
        self.assertEqual(statuses(exchange(mirror.address, head)), [413])

    def test_a_target_over_the_limit_is_414(self):
        for server in (self.hello, self.start(serve(SITE))):
            data = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
            self.assertEqual(statuses(exchange(server.address, data)), [414])

    def test_a_head_over_the_limit_is_431(self):
        large = b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 200_000 + b"\r\n\r\n"
        many = b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 5000 + b"\r\n"
        for data in (large, many):
            self.assertEqual(statuses(exchange(self.hello.address, data)), [431])

    def test_versions_and_methods_that_are_unknown_are_said_so(self):
        request = b"%s / HTTP/%s\r\n" + HOST + b"\r\n"
        for version in (b"2.0", b"3.0", b"1.2", b"0.9"):
            with self.subTest(version):
                received = exchange(self.hello.address, request % (b"GET", version) + NEXT)
                # A later 1.x may be taken for the 1.1 that it is compatible with.
                expected = [[505], [404, 200]] if version == b"1.2" else [[505]]
                self.assertIn(statuses(received), expected)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self.assertIn(statuses(exchange(self.hello.address, preface)), ([505], [400]))
        connect = b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nConnection: close\r\n\r\n"
        self.assertIn(statuses(exchange(self.hello.address, connect)), ([405], [501]))

    def test_a_refusal_can_be_read_by_whoever_goes_on_sending(self):
        mirror = self.start(example("mirror"))
        with Peer(mirror.address) as peer:
            peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (1 << 40))
            try:
                for _ in range(8):
                    peer.send(b"x" * 65536)
            except ConnectionError as error:
                self.fail(f"reset before the answer could be read: {error}")
            self.assertEqual(peer.head().status, 413)

    def test_requests_sent_together_are_answered_in_order(self):
        server = self.start(serve(SITE))
        names = ["robots.txt", "style.css", "app.js", "logo.svg"] * 25
        with Peer(server.address) as peer:
            for name in names[:-1]:
                peer.get(f"/{name}")
            peer.get(f"/{names[-1]}", "Connection: close")
            received = peer.rest()
        for name in names:
            _, _, received = received.partition(b"\r\n\r\n")
            expected = (SITE / name).read_bytes()
            self.assertTrue(received.startswith(expected), name)
            received = received[len(expected):]
        self.assertEqual(received, b"")

    def tearDown(self):
        self.assertEqual(fetch(self.hello.address, "/plaintext").status, 200)


if __name__ == "__main__":
    main()

"""SIGTERM and SIGINT: requests in flight are finished, and the process ends as it should."""

import hashlib
import os
import signal

from harness.case import SITE, Case, main
from harness.server import example, serve
from harness.wire import Peer, fetch, refuses_connections

LONG = 32 << 20
# More than this fits in no pair of socket buffers.
SMALL_WINDOW = 4096


class Signals(Case):
    def long_file(self):
        folder = self.folder()
        data = os.urandom(1 << 16) * (LONG >> 16)
        (folder / "long").write_bytes(data)
        return folder, hashlib.sha256(data).hexdigest()

    def slow_download(self, server):
        """A download that has begun and stands still."""
        peer = Peer(server.address, receive_buffer=SMALL_WINDOW)
        self.addCleanup(peer.close)
        answer = peer.get("/long").head()
        self.assertEqual((answer.status, answer.length), (200, LONG))
        # A shard publishes the number of requests in flight before it sleeps.
        self.poll("the server sleeps", server.is_asleep)
        return peer, answer, answer.read(1000)

    def test_sigterm_finishes_a_slow_download_and_exits_0(self):
        folder, expected = self.long_file()
        server = self.start(serve(folder, "--grace", "60s"))
        _, answer, start = self.slow_download(server)
        server.signal()
        server.err.wait_for("draining 1 connection…")
        self.poll("new connections are refused", lambda: refuses_connections(server.address))
        self.assertIsNone(server.process.poll(), "it waits")
        digest = hashlib.sha256(start)
        while part := answer.read(100_000):
            digest.update(part)
        self.assertEqual(digest.hexdigest(), expected)
        self.assertEqual(server.wait(), 0)
        self.assertIn("done", server.err.text())

    def test_at_most_one_more_answer_comes_and_it_says_that_it_is_the_last(self):
        folder, _ = self.long_file()
        (folder / "short").write_bytes(b"short")
        server = self.start(serve(folder, "--grace", "60s"))
        peer, answer, _ = self.slow_download(server)
        server.signal()
        server.err.wait_for("draining")
        peer.get("/short").get("/short")
        answer.read()
        rest = peer.rest().lower()
        self.assertLessEqual(rest.count(b"http/1.1 200"), 1)
        self.assertEqual(rest.count(b"connection: close"), rest.count(b"http/1.1 200"))
        self.assertEqual(server.wait(), 0)

    def test_an_upload_in_flight_is_finished(self):
        server = self.start(example("mirror"))
        with Peer(server.address) as peer:
            peer.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234")
            self.poll("the upload is read", lambda: unread(peer, server) == 0)
            server.signal()
            self.poll("new connections are refused", lambda: refuses_connections(server.address))
            answer = peer.send(b"56789").answer()
            self.assertEqual((answer.status, answer.content), (200, b"0123456789"))
            self.assertEqual(answer.getheader("Connection"), "close")
        self.assertEqual(server.wait(), 0)

    def test_the_end_of_the_grace_cuts_what_is_left_and_says_so(self):
        folder, _ = self.long_file()
        server = self.start(serve(folder, "--grace", "1s"))
        peers = [self.slow_download(server)[0] for _ in range(3)]
        server.signal()
        self.assertEqual(server.wait(), 0)
        self.assertIn("draining 3 connections… 3 cut after 1s", server.err.text())
        for peer in peers:
            self.assertLess(len(peer.rest()), LONG - 1000)

    def test_a_second_sigint_ends_it_at_once_with_130(self):
        folder, _ = self.long_file()
        server = self.start(serve(folder, "--grace", "300s"))
        self.slow_download(server)
        server.signal(signal.SIGINT)
        server.err.wait_for("draining 1 connection…")
        self.assertIsNone(server.process.poll())
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 130)

    def test_whoever_is_idle_is_not_waited_for(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                server = self.start(serve(SITE, "--grace", "300s"))
                idle = [Peer(server.address) for _ in range(50)]
                for peer in idle:
                    self.addCleanup(peer.close)
                for peer in idle[10:]:
                    self.assertEqual(peer.get("/robots.txt").answer().status, 200)
                server.signal(number)
                self.assertEqual(server.wait(), 0)
                for peer in idle:
                    self.assertEqual(peer.rest(), b"")

    def test_it_ends_at_once_right_after_it_has_said_that_it_is_up(self):
        for _ in range(20):
            server = self.start(serve(SITE))
            server.signal()
            self.assertEqual(server.wait(), 0, server.err.text())

    def test_it_serves_on_when_nobody_reads_its_log(self):
        server = self.start(serve(SITE, reader="hangs up"))
        server.out.thread.join()
        for _ in range(100):
            self.assertEqual(fetch(server.address, "/").status, 200)
        server.signal()
        self.assertEqual(server.wait(), 0)

    def test_it_serves_on_when_whoever_reads_its_log_is_stuck(self):
        server = self.start(serve(SITE, reader="stops"))
        wanted = "/" + "x" * 1500
        with Peer(server.address) as peer:
            for _ in range(300):
                self.assertEqual(peer.get(wanted).answer().status, 404)
        server.signal()
        self.assertEqual(server.wait(), 0)
        self.assertIn("the end of the log is lost", server.err.text())

    def test_the_examples_drain_too(self):
        for name in ("hello", "mirror"):
            with self.subTest(name):
                server = self.start(example(name))
                with Peer(server.address) as idle:
                    self.assertEqual(idle.get("/plaintext").answer().status, 200)
                    server.signal()
                    self.assertEqual(server.wait(), 0)


def unread(peer, server):
    """Bytes that the kernel holds for the server on this connection."""
    port = peer.socket.getsockname()[1]
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    ends = (f"0100007F:{server.port:04X}", f"0100007F:{port:04X}")
    return next(int(row[4].partition(":")[2], 16) for row in rows if (row[1], row[2]) == ends)


if __name__ == "__main__":
    main()

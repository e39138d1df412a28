"""Clients that take their time: cut by the deadlines of a server with its defaults, all waited for at once."""

import threading
import time

from harness.case import SITE, Case, main
from harness.server import example, serve
from harness.wire import Peer, fetch, statuses

# Longer than the longest deadline that is waited for here.
LIMIT = 75.0
HOST = b"Host: localhost\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\n" + HOST + b"X-Slow: "
HALF_BODY = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc"


class SlowClients(Case):
    def test_they_are_cut_and_others_are_not(self):
        mirror, site = self.start(example("mirror")), self.start(serve(SITE))
        waits = {
            "nothing sent": (mirror, b"", b"", ([], [408])),
            "half a head": (mirror, HALF_HEAD, b"", ([408],)),
            "a head that trickles": (mirror, HALF_HEAD, b"x", ([408],)),
            "half a head for a file": (site, HALF_HEAD, b"", ([408],)),
            "half a body": (mirror, HALF_BODY, b"", ([408],)),
            "a body that trickles": (mirror, HALF_BODY, b"x", ([408],)),
        }
        results = {}

        def wait(name):
            server, first, more, _ = waits[name]
            try:
                results[name] = self.received(server, first, more)
            except Exception as error:  # shown below
                results[name] = repr(error)

        threads = [threading.Thread(target=wait, args=(name,)) for name in waits]
        threads.append(threading.Thread(target=lambda: results.update(reader=self.stuck_reader(mirror))))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for server in (mirror, site):
                self.assertEqual(fetch(server.address, "/").status, 200)
            time.sleep(0.2)
        self.assertEqual(results.pop("reader"), "cut")
        for name, received in results.items():
            with self.subTest(name):
                self.assertIsInstance(received, bytes, received)
                self.assertIn(statuses(received), waits[name][3], received[:200])
        for server in (mirror, site):
            self.assertEqual(fetch(server.address, "/").status, 200)

    def received(self, server, first, more):
        """All that the server sends until it closes, while `more` is sent once in a while."""
        with Peer(server.address, 0.5) as peer:
            peer.send(first)
            received, deadline = b"", time.monotonic() + LIMIT
            while time.monotonic() < deadline:
                try:
                    data = peer.socket.recv(4096)
                    if not data:
                        return received
                    received += data
                except TimeoutError:
                    if more and not received:
                        peer.send(more)
                except ConnectionError:
                    return received
            raise AssertionError(f"still open after {LIMIT:.0f} s")

    def stuck_reader(self, server):
        """Sends what comes back, but never reads it."""
        with Peer(server.address, LIMIT, receive_buffer=4096) as peer:
            peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 500000000\r\n\r\n")
            deadline = time.monotonic() + LIMIT
            try:
                while time.monotonic() < deadline:
                    peer.send(b"x" * 65536)
            except TimeoutError:
                return f"still open after {LIMIT:.0f} s"
            except ConnectionError:
                return "cut"
            return "all was taken"


if __name__ == "__main__":
    main()

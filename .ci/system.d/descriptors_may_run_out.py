"""More connections than descriptors: whoever is connected is served, and once there is room, all are."""

from harness.case import SITE, Case, main
from harness.server import example, serve
from harness.wire import Peer, fetch

DESCRIPTORS = 64
CONNECTIONS = 200


class Descriptors(Case):
    def crowd(self, server, path, *statuses):
        """Whoever comes when nothing is left is closed at once; whoever was there is served."""
        with Peer(server.address) as first:
            self.assertEqual(first.get(path).answer().status, 200)
            others = [Peer(server.address) for _ in range(CONNECTIONS)]
            for other in others:
                self.addCleanup(other.close)
                try:
                    other.get(path)
                except ConnectionError:
                    pass  # shed
            for _ in range(50):
                self.assertEqual(first.get(path).answer().status, 200)
            self.assertLessEqual(server.descriptors(), DESCRIPTORS)
            self.assertLess(server.busy_share(), 0.5, "a server without descriptors waits")
            self.poll("nobody waits unanswered", lambda: all(other.has_answer() for other in others))
            answered = sum(self.is_answered(other, *statuses) for other in others)
            self.assertGreater(answered, DESCRIPTORS // 4)
            for other in others:
                other.close()
            self.poll("new connections are served again", lambda: self.serves(server, path))
        for _ in range(50):
            self.assertEqual(fetch(server.address, path).status, 200)
        self.poll("descriptors are back", lambda: server.descriptors() < DESCRIPTORS // 2)
        server.signal()
        self.assertEqual(server.wait(), 0)

    def is_answered(self, peer, *statuses):
        """False: it was shed."""
        try:
            answer = peer.answer()
        except ConnectionError:
            return False
        self.assertIn(answer.status, statuses)
        if answer.status == 503:
            self.assertGreaterEqual(int(answer.getheader("Retry-After")), 1)
        return True

    def serves(self, server, path):
        try:
            return fetch(server.address, path, limit=2.0).status == 200
        except OSError:
            return False

    def limited(self):
        return ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", "--")

    def test_hello_goes_on_and_recovers(self):
        for shards in (1, 2):
            with self.subTest(shards=shards):
                self.crowd(self.start(example("hello", shards=shards, before=self.limited())), "/plaintext", 200)

    def test_files_go_on_and_recover(self):
        for shards in (1, 2):
            with self.subTest(shards=shards):
                server = self.start(serve(SITE, "--shards", shards, before=self.limited()))
                # A shard that has not read the file yet cannot open it now.
                self.crowd(server, "/robots.txt", 200, 503)

    def test_a_file_that_cannot_be_opened_now_is_503_and_later_served(self):
        server = self.start(serve(SITE, "--shards", 1, before=self.limited()))
        with Peer(server.address) as first:
            self.assertEqual(first.get("/robots.txt").answer().status, 200)
            others = [Peer(server.address) for _ in range(CONNECTIONS)]
            for other in others:
                self.addCleanup(other.close)
            self.poll("descriptors are used up", lambda: server.descriptors() >= DESCRIPTORS - 2)
            answer = first.get("/data/primes.txt").answer()
            if answer.status == 503:
                self.assertGreaterEqual(int(answer.getheader("Retry-After")), 1)
            else:
                self.assertEqual(answer.status, 200)
            for other in others:
                other.close()
            self.poll("it can be opened", lambda: first.get("/data/primes.txt").answer().status == 200)


if __name__ == "__main__":
    main()

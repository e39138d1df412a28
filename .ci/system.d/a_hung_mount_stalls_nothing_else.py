"""The proof that files cannot stall a loop.

A filesystem in user space is mounted inside the served folder and hangs in lookup, open or read on more
requests than there are file workers. All else goes on: cached files, files read for the first time, another
mount, another server of the machine. Once it is let go, every request is answered and nothing is leaked. The same
for a service that reads by `lakh::fs`, with hashing beside it that has no end.
"""

import resource
import subprocess
import unittest

from harness.case import SOON, Case, main
from harness.fuse import HangingFilesystem, unavailable
from harness.server import example, serve
from harness.wire import Peer, fetch

WORKERS = 4
REQUESTS = 32
OVER_ANY_QUEUE = 2600
SMALL, LARGE = 3_000, 600_000


def content(name, length):
    line = f"{name} of a filesystem that may hang\n".encode()
    return (line * (length // len(line) + 1))[:length]


def hung_files(names):
    """Every other one is too long to be read at once."""
    return {name: content(name, LARGE if at % 2 and at < REQUESTS else SMALL) for at, name in enumerate(names)}


class Mounts(Case):
    def mount(self, name, files):
        point = self.root / name
        point.mkdir()
        filesystem = HangingFilesystem(point, files)
        self.addCleanup(filesystem.unmount)
        return filesystem.mount()


@unittest.skipIf(unavailable(), unavailable())
class HungMount(Mounts):
    @classmethod
    def setUpClass(cls):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def setUp(self):
        self.root = self.folder()
        (self.root / "cached.txt").write_bytes(content("cached", SMALL))
        for number in range(200):
            (self.root / f"plain{number}").write_bytes(content(f"plain{number}", SMALL))
        (self.root / "large").write_bytes(content("large", 4_000_000))
        self.hung_names = [f"hung{number}" for number in range(REQUESTS)]
        self.hung = self.mount("hung", hung_files(self.hung_names))
        self.well = self.mount("well", {f"well{number}": content(f"well{number}", SMALL) for number in range(200)})
        self.memory = self.mount_memory()
        self.server = self.start(serve(self.root, "--shards", 1, "--pool-threads", WORKERS))
        # Cleanups run in reverse: the filesystem is let go first, or the server could not even be killed.
        self.addCleanup(self.hung.unmount)
        self.unread = iter(range(200))

    def mount_memory(self):
        point = self.root / "memory"
        point.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "lakh-test", point], check=True, timeout=SOON)
        self.addCleanup(subprocess.run, ["umount", "-l", point], timeout=SOON)
        for number in range(200):
            (point / f"memory{number}").write_bytes(content(f"memory{number}", SMALL))

    def get(self, path):
        answer = fetch(self.server.address, path)
        self.assertEqual(answer.status, 200, path)
        return answer.content

    def assert_all_else_goes_on(self):
        with Peer(self.server.address) as kept:
            for _ in range(20):
                self.assertEqual(kept.get("/cached.txt").answer().content, content("cached", SMALL))
                self.assertEqual(self.get("/cached.txt"), content("cached", SMALL))
                number = next(self.unread)
                self.assertEqual(self.get(f"/plain{number}"), content(f"plain{number}", SMALL), "read anew")
                self.assertEqual(self.get(f"/memory/memory{number}"), content(f"memory{number}", SMALL))
                self.assertEqual(self.get(f"/well/well{number}"), content(f"well{number}", SMALL))
                self.assertEqual(fetch(self.server.address, "/nothing").status, 404)
        self.assertEqual(self.get("/large"), content("large", 4_000_000))

    def requests_that_hang(self, names):
        peers = [Peer(self.server.address, 60) for _ in names]
        for peer, name in zip(peers, names):
            self.addCleanup(peer.close)
            peer.get(f"/hung/{name}", "Connection: close")
        return peers

    def round_of(self, operation):
        """Hangs, shows that all else goes on, lets go, and checks what comes."""
        self.hung.hang(operation, self.hung_names)
        peers = self.requests_that_hang(self.hung_names)
        self.hung.wait_for_held(1)
        self.assert_all_else_goes_on()
        held = self.hung.held_count()
        self.assertTrue(1 <= held < WORKERS, f"{held} requests of one mount hang in {WORKERS} workers")
        self.assertLess(self.server.busy_share(), 0.5, "a loop that only waits does not work")
        self.hung.release()
        for peer, name in zip(peers, self.hung_names):
            self.answer_of(peer, name)

    def answer_of(self, peer, name):
        """Its status: the file, or a refusal that says when to come again."""
        with peer:
            answer = peer.answer()
        if answer.status == 503:
            self.assertGreaterEqual(int(answer.getheader("Retry-After")), 1)
        else:
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.content, self.hung.files[name])
        return answer.status

    def hangs_and_leaks_nothing(self, operation):
        self.assert_all_else_goes_on()
        self.round_of(operation)
        self.poll("the hung mount's files are closed", lambda: self.hung.open_files <= REQUESTS)
        before = self.poll("the server is at rest", self.at_rest)
        # New names for the same number of files: nothing that is cached helps.
        self.forget([f"again{number}" for number in range(REQUESTS)])
        self.round_of(operation)
        self.poll("descriptors are back", lambda: self.server.descriptors() <= before[0])
        # Workers that the first round did not need may have been started since.
        self.assertLessEqual(self.server.threads(), before[1] + WORKERS)

    def at_rest(self):
        """Descriptors and threads, once no connection is open."""
        counts = self.server.descriptors(), self.server.threads()
        return counts if not connections(self.server.port) else None

    def forget(self, names):
        """Another filesystem in the place of the one that hangs."""
        self.hung.unmount()
        self.hung_names = names
        self.hung = HangingFilesystem(self.root / "hung", hung_files(names))
        self.addCleanup(self.hung.unmount)
        self.hung.mount()

    def test_in_lookup(self):
        self.hangs_and_leaks_nothing("lookup")

    def test_in_open(self):
        self.hangs_and_leaks_nothing("open")

    def test_in_read(self):
        self.hangs_and_leaks_nothing("read")

    def test_more_than_the_queue_holds_is_refused_at_once_with_a_time_to_retry(self):
        self.forget([f"many{number}" for number in range(OVER_ANY_QUEUE)])
        self.hung.hang("lookup", self.hung_names)
        peers = self.requests_that_hang(self.hung_names)
        self.hung.wait_for_held(1)
        refused = self.poll("one is refused", lambda: [peer for peer in peers if peer.has_answer()], 20)
        self.assert_all_else_goes_on()
        self.hung.release()
        statuses = [self.answer_of(peer, name) for peer, name in zip(peers, self.hung_names)]
        self.assertLess(statuses.count(200), OVER_ANY_QUEUE, f"{len(refused)} had an answer while it hung")
        self.assertGreater(statuses.count(200), WORKERS)
        self.assert_all_else_goes_on()

    def test_whoever_gives_up_waiting_leaves_nothing(self):
        self.assert_all_else_goes_on()
        before = self.poll("the server is at rest", self.at_rest)
        self.hung.hang("open", self.hung_names)
        for peer in self.requests_that_hang(self.hung_names):
            peer.close()
        self.assert_all_else_goes_on()
        self.hung.release()
        self.poll(
            f"descriptors are back at {before[0]}",
            lambda: self.server.descriptors() <= before[0] + REQUESTS and not connections(self.server.port),
        )
        self.assertEqual(self.get(f"/hung/{self.hung_names[0]}"), self.hung.files[self.hung_names[0]])

    def test_the_server_ends_within_its_grace_all_the_same(self):
        self.server.kill()
        self.server = self.start(serve(self.root, "--pool-threads", WORKERS, "--grace", "1s"))
        self.addCleanup(self.hung.unmount)
        self.hung.hang("read", self.hung_names)
        self.requests_that_hang(self.hung_names)
        self.hung.wait_for_held(1)
        self.server.signal()
        # A thread in the kernel may keep the process from its end, but not its listener and its last words.
        self.server.err.wait_for(rf"{REQUESTS} cut after 1s")
        self.hung.release()
        self.assertEqual(self.server.wait(), 0)


@unittest.skipIf(unavailable(), unavailable())
class HungMountOfAService(Mounts):
    """Each file that others read is new to the kernel, and so asked of its filesystem."""

    def setUp(self):
        self.root = self.folder()
        self.hung_names = [f"hung{number}" for number in range(REQUESTS)]
        self.hung = self.mount("hung", hung_files(self.hung_names))
        self.well = self.mount("well", {f"well{number}": content(f"well{number}", SMALL) for number in range(200)})
        for number in range(200):
            (self.root / f"plain{number}").write_bytes(content(f"plain{number}", SMALL))
        self.server = self.start(example("lanes", "--files", self.root, "--hashing", 8, shards=1))
        # Cleanups run in reverse: the filesystem is let go first, or the server could not even be killed.
        self.addCleanup(self.hung.unmount)
        self.unread = iter(range(200))

    def assert_all_else_goes_on(self):
        for _ in range(20):
            number = next(self.unread)
            for folder, name in (("", f"plain{number}"), ("well/", f"well{number}")):
                answer = fetch(self.server.address, f"/files/{folder}{name}")
                self.assertEqual((answer.status, answer.content), (200, content(name, SMALL)))
            self.assertEqual(fetch(self.server.address, "/").content, b"Hello, World!")
        hashed = fetch(self.server.address, "/hash", "Content-Length: 0", method="POST")
        self.assertEqual((hashed.status, hashed.content), (200, b"hashed"))

    def hangs(self, operation):
        self.assert_all_else_goes_on()
        self.hung.hang(operation, self.hung_names)
        peers = [Peer(self.server.address, 60) for _ in self.hung_names]
        for peer, name in zip(peers, self.hung_names):
            self.addCleanup(peer.close)
            peer.get(f"/files/hung/{name}", "Connection: close")
        self.hung.wait_for_held(1)
        self.assert_all_else_goes_on()
        self.assertGreaterEqual(self.hung.held_count(), 1)
        self.assertFalse([peer for peer in peers if peer.has_answer()])
        self.hung.release()
        for peer, name in zip(peers, self.hung_names):
            answer = peer.answer()
            self.assertEqual((answer.status, answer.content), (200, self.hung.files[name]))
        self.poll("all files are closed", lambda: self.hung.open_files == 0)

    def test_in_lookup(self):
        self.hangs("lookup")

    def test_in_open(self):
        self.hangs("open")

    def test_in_read(self):
        self.hangs("read")


def connections(port):
    local = f"0100007F:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[1] == local and row[3] not in ("0A", "06") for row in rows)


if __name__ == "__main__":
    main()

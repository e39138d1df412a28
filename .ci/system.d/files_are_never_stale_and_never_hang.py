"""Files that change while they are served, and things in the folder that are no files."""

import hashlib
import os
import shutil
import socket
import subprocess
import time
import unittest

from harness.case import BINARIES, Case, main
from harness.server import serve
from harness.wire import Peer, fetch

# How long an answer may be stale, and what a busy machine may add.
STALE, MARGIN = 1.0, 1.0
SIZES = {"small": 2_000, "middle": 40_000, "large": 2_000_000}
LONG = 32 << 20
IS_ROOT = os.geteuid() == 0


def text(word, length):
    return (word.encode() * (length // len(word) + 1))[:length]


class Changing(Case):
    def setUp(self):
        self.root = self.folder()
        for name, size in SIZES.items():
            (self.root / name).write_bytes(text("old", size))
        self.server = self.start(serve(self.root))
        self.see(lambda name: text("old", SIZES[name]))

    def see(self, expected):
        """Warms the caches of all shards, as far as connections spread."""
        for _ in range(10):
            for name in SIZES:
                self.assertEqual(self.get(name), expected(name))

    def get(self, name):
        answer = fetch(self.server.address, f"/{name}")
        return answer.content if answer.status == 200 else answer.status

    def fresh_after(self, change, expected):
        """Changes all files; what is asked for a moment later is new, and what comes before is old or new."""
        allowed = {name: [self.get(name), expected(name)] for name in SIZES}
        for name in SIZES:
            change(self.root / name)
        changed = time.monotonic()
        while time.monotonic() < changed + STALE + MARGIN:
            for name in SIZES:
                self.assertIn(self.get(name), allowed[name], f"{name}: neither old nor new")
        self.see(expected)

    def test_a_file_replaced_by_a_rename(self):
        def replace(path):
            other = path.with_suffix(".new")
            other.write_bytes(text("new", SIZES[path.name] + 1))
            other.rename(path)

        self.fresh_after(replace, lambda name: text("new", SIZES[name] + 1))

    def test_a_file_replaced_by_one_of_the_same_length_and_time(self):
        def replace(path):
            other = path.with_suffix(".new")
            other.write_bytes(text("new", SIZES[path.name]))
            shutil.copystat(path, other)
            other.rename(path)

        self.fresh_after(replace, lambda name: text("new", SIZES[name]))

    def test_a_file_rewritten_in_place_with_the_same_length(self):
        def rewrite(path):
            with open(path, "r+b") as file:
                file.write(text("new", SIZES[path.name]))

        # While it is written, an answer may have bytes of both.
        for name in SIZES:
            rewrite(self.root / name)
        changed = time.monotonic()
        self.poll("the time is over", lambda: time.monotonic() > changed + STALE + MARGIN)
        self.see(lambda name: text("new", SIZES[name]))

    def test_a_file_that_is_deleted_and_comes_back(self):
        self.fresh_after(lambda path: path.unlink(), lambda name: 404)
        for name in SIZES:
            (self.root / name).write_bytes(text("new", SIZES[name]))
        changed = time.monotonic()
        self.poll("the time is over", lambda: time.monotonic() > changed + STALE + MARGIN)
        self.see(lambda name: text("new", SIZES[name]))

    def test_a_changed_file_has_another_tag(self):
        tag = fetch(self.server.address, "/small").getheader("ETag")
        (self.root / "small").write_bytes(text("new", SIZES["small"]))
        changed = time.monotonic()
        self.poll("the time is over", lambda: time.monotonic() > changed + STALE + MARGIN)
        answer = fetch(self.server.address, "/small", f"If-None-Match: {tag}")
        self.assertEqual((answer.status, answer.content), (200, text("new", SIZES["small"])))


class WhileSending(Case):
    def setUp(self):
        self.root = self.folder()
        self.data = os.urandom(1 << 16) * (LONG >> 16)
        self.path = self.root / "long"
        self.path.write_bytes(self.data)
        self.server = self.start(serve(self.root))
        self.peer = Peer(self.server.address, receive_buffer=4096)
        self.addCleanup(self.peer.close)
        self.answer = self.peer.get("/long").head()
        self.start_of_it = self.answer.read(1000)

    def assert_whole(self):
        digest = hashlib.sha256(self.start_of_it)
        while part := self.answer.read(100_000):
            digest.update(part)
        self.assertEqual(digest.hexdigest(), hashlib.sha256(self.data).hexdigest())

    def assert_still_up(self):
        (self.root / "other").write_bytes(b"other")
        self.assertEqual(fetch(self.server.address, "/other").content, b"other")

    def test_a_file_replaced_under_a_download_arrives_as_it_was(self):
        other = self.root / "new"
        other.write_bytes(b"new")
        other.rename(self.path)
        self.assert_whole()
        self.assertEqual(self.peer.get("/long").answer().content[:3], b"new")

    def test_a_file_deleted_under_a_download_arrives_whole(self):
        self.path.unlink()
        self.assert_whole()

    def test_a_file_that_grows_ends_where_it_was_announced(self):
        with open(self.path, "ab") as file:
            file.write(b"more" * 1000)
        self.assert_whole()
        self.assertEqual(self.peer.get("/long", "Range: bytes=-4").answer().status, 206)

    def test_a_file_that_shrinks_ends_the_connection(self):
        os.truncate(self.path, 1 << 20)
        with self.assertRaises(Exception) as raised:
            received = self.answer.read()
            self.assertLess(len(received), LONG - 1000)
        self.assertIn(type(raised.exception).__name__, ("IncompleteRead", "ConnectionResetError"))
        self.assert_still_up()


class NoFiles(Case):
    def setUp(self):
        self.root = self.folder()
        (self.root / "file").write_bytes(b"a file")
        self.server = self.start(serve(self.root, "--shards", 1, "--pool-threads", 2))

    def refused(self, name, statuses=(403, 404)):
        """More often than there are workers: none of them may wait."""
        for _ in range(5):
            answer = fetch(self.server.address, f"/{name}")
            self.assertIn(answer.status, statuses, name)
            self.assertNotIn(b"root:", answer.content)
        self.assertEqual(fetch(self.server.address, "/file").content, b"a file")

    def test_a_fifo_does_not_hang(self):
        os.mkfifo(self.root / "fifo")
        self.refused("fifo")

    def test_a_fifo_with_a_writer_is_not_read(self):
        os.mkfifo(self.root / "fifo")
        both = os.open(self.root / "fifo", os.O_RDWR)
        self.addCleanup(os.close, both)
        os.write(both, b"secret")
        self.refused("fifo")
        self.assertEqual(os.read(both, 100), b"secret")

    def test_a_socket_does_not_hang(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.root / "socket"))
            listener.listen()
            self.refused("socket")

    @unittest.skipUnless(IS_ROOT, "making devices needs root")
    def test_devices_are_not_read(self):
        for name, minor in (("null", 3), ("zero", 5), ("random", 8)):
            try:
                os.mknod(self.root / name, 0o20666, os.makedev(1, minor))
            except PermissionError:
                self.skipTest("devices cannot be made in this container")
            self.refused(name)

    def test_links_lead_nowhere_outside(self):
        (self.root / "absolute").symlink_to("/etc/passwd")
        (self.root / "relative").symlink_to("../" * 20 + "etc/passwd")
        (self.root / "folder").symlink_to("/etc")
        (self.root / "loop").symlink_to("loop")
        (self.root / "inside").symlink_to("file")
        for name in ("absolute", "relative", "folder/passwd", "loop"):
            self.refused(name)
        self.assertEqual(fetch(self.server.address, "/inside").content, b"a file")

    def test_a_folder_that_is_moved_away_under_the_server_is_404(self):
        deep = self.root / "a" / "b"
        deep.mkdir(parents=True)
        (deep / "file").write_bytes(b"deep")
        self.assertEqual(fetch(self.server.address, "/a/b/file").content, b"deep")
        (self.root / "a").rename(self.root.with_name(self.root.name + "-moved"))
        self.addCleanup(shutil.rmtree, self.root.with_name(self.root.name + "-moved"))
        self.poll("it is gone", lambda: fetch(self.server.address, "/a/b/file").status == 404, STALE + MARGIN)


class Permissions(Case):
    def test_what_the_user_may_not_read_is_refused_and_the_rest_served(self):
        root = self.folder()
        (root / "public").write_bytes(b"public")
        (root / "private").write_bytes(b"private")
        (root / "private").chmod(0o000)
        (root / "closed").mkdir()
        (root / "closed" / "file").write_bytes(b"private")
        (root / "closed").chmod(0o000)
        self.addCleanup((root / "closed").chmod, 0o755)
        server = self.start(self.as_nobody(root))
        for _ in range(2):
            for path in ("/private", "/closed/file", "/closed/"):
                answer = fetch(server.address, path)
                self.assertIn(answer.status, (403, 404), path)
                self.assertNotEqual(answer.content, b"private", path)
            self.assertEqual(fetch(server.address, "/public").content, b"public")
        (root / "private").chmod(0o644)
        self.poll("it may be read now", lambda: fetch(server.address, "/private").content == b"private")

    def as_nobody(self, root):
        """Root may read everything, so somebody else has to serve, with a program that they can reach."""
        if not IS_ROOT:
            return serve(root)
        folder = self.folder()
        shutil.copy(BINARIES / "lakh", folder / "lakh")
        nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
        return serve(root, before=nobody, program=folder / "lakh")

    def test_a_folder_that_cannot_be_served_is_said_so_at_once(self):
        command = [BINARIES / "lakh", "serve", "-p", "0", self.folder() / "nothing"]
        done = subprocess.run(command, capture_output=True, timeout=15, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nothing", done.stderr)


if __name__ == "__main__":
    main()

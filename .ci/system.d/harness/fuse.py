"""A filesystem that hangs when told to, spoken over /dev/fuse by one thread of ours.

Requests that are to hang are kept and answered later, so the thread itself never waits for anything but the
kernel, and any number of requests can hang at once. Nothing but the kernel and root is needed.
"""

import ctypes
import os
import select
import stat
import struct
import threading
import time

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 38, 42
NO_ANSWER = (FORGET, BATCH_FORGET, INTERRUPT, DESTROY)
HANGING = {"lookup": LOOKUP, "open": OPEN, "read": READ}

ENOENT, ENOSYS = 2, 38
CAP_SYS_ADMIN = 21
MS_NOSUID, MS_NODEV = 2, 4
MNT_FORCE, MNT_DETACH = 1, 2
IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
ROOT = 1
LARGEST_REQUEST = 1 << 20
HELD_FOR = 3600  # seconds that the kernel may keep what it has been told

libc = ctypes.CDLL(None, use_errno=True)


def unavailable():
    """Why this machine cannot mount such a filesystem, if it cannot."""
    if not may_mount():
        return "mounting a filesystem needs root"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return None


def may_mount():
    """Root in a container is not always allowed to."""
    with open("/proc/self/status", encoding="ascii") as status:
        capabilities = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(capabilities.split()[1], 16) >> CAP_SYS_ADMIN & 1)


class HangingFilesystem:
    """Files by name; `hang("open", names)` makes opening those wait for `release()`."""

    def __init__(self, point, files):
        self.point = os.fspath(point)
        self.files = files
        self.names = [None, None, *files]  # by inode; 0 is none, 1 the root
        self.inodes = {name: inode for inode, name in enumerate(self.names) if name}
        self.lock = threading.Condition()
        self.hanging, self.held = {}, []
        self.open_files = 0
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self.stopped, self.stop = os.pipe()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.mounted = False

    def mount(self):
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        arguments = (b"hanging", self.point.encode(), b"fuse", MS_NOSUID | MS_NODEV, options.encode())
        if libc.mount(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot mount a filesystem: {os.strerror(number)}")
        self.mounted = True
        self.thread.start()
        return self

    def unmount(self):
        """Lets go whoever waits for the filesystem, and ends it; may be called again."""
        if not self.mounted:
            return
        self.mounted = False
        libc.umount2(self.point.encode(), MNT_FORCE)  # aborts what is waiting, even if it is then busy
        libc.umount2(self.point.encode(), MNT_DETACH)
        os.write(self.stop, b"x")
        self.thread.join(10)
        for descriptor in (self.device, self.stopped, self.stop):
            os.close(descriptor)

    # What tests say and ask.

    def hang(self, operation, names):
        with self.lock:
            self.hanging[HANGING[operation]] = frozenset(names)

    def release(self):
        with self.lock:
            self.hanging, held, self.held = {}, self.held, []
        for request in held:
            self.answer(*request)

    def held_count(self):
        with self.lock:
            return len(self.held)

    def wait_for_held(self, count, limit=15.0):
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.held) >= count, limit):
                raise AssertionError(f"only {len(self.held)} requests hang, not {count}")

    # What the kernel asks.

    def work(self):
        poller = select.poll()
        poller.register(self.device, select.POLLIN)
        poller.register(self.stopped, select.POLLIN)
        while not any(descriptor == self.stopped for descriptor, _ in poller.poll()):
            try:
                request = os.read(self.device, LARGEST_REQUEST)
            except BlockingIOError:
                continue
            except OSError:
                return  # unmounted
            self.take(request)

    def take(self, request):
        _, operation, unique, inode, *_ = IN_HEADER.unpack_from(request)
        body = request[IN_HEADER.size:]
        with self.lock:
            if operation == RELEASE:
                self.open_files -= 1
            if self.name_of(operation, inode, body) in self.hanging.get(operation, ()):
                self.held.append((operation, unique, inode, body))
                self.lock.notify_all()
                return
        self.answer(operation, unique, inode, body)

    def name_of(self, operation, inode, body):
        return body.rstrip(b"\0").decode() if operation == LOOKUP else self.names[inode] if inode else None

    def answer(self, operation, unique, inode, body):
        if operation in NO_ANSWER:
            return
        error, data = self.reply(operation, inode, body)
        if operation == OPEN and not error:
            with self.lock:
                self.open_files += 1
        try:
            os.write(self.device, OUT_HEADER.pack(OUT_HEADER.size + len(data), -error, unique) + data)
        except OSError:
            pass  # whoever has asked is gone

    def reply(self, operation, inode, body):
        if operation == INIT:
            return 0, struct.pack("<IIIIHHII", 7, 31, 65536, 0, 64, 48, 65536, 1) + bytes(36)
        if operation == LOOKUP:
            inode = self.inodes.get(self.name_of(LOOKUP, inode, body))
            if inode is None:
                return ENOENT, b""
            return 0, struct.pack("<QQQQII", inode, 0, HELD_FOR, HELD_FOR, 0, 0) + self.attributes(inode)
        if operation == GETATTR:
            return 0, struct.pack("<QII", HELD_FOR, 0, 0) + self.attributes(inode)
        if operation in (OPEN, OPENDIR):
            return 0, struct.pack("<QII", 0, 0, 0)
        if operation == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return 0, self.files[self.names[inode]][offset:offset + size]
        if operation == STATFS:
            return 0, struct.pack("<QQQQQIIII", 1000, 0, 0, 1000, 0, 4096, 255, 4096, 0) + bytes(24)
        if operation in (READDIR, RELEASE, RELEASEDIR, FLUSH):
            return 0, b""
        return ENOSYS, b""

    def attributes(self, inode):
        name = self.names[inode]
        size = len(self.files[name]) if name else 0
        mode = stat.S_IFREG | 0o644 if name else stat.S_IFDIR | 0o755
        changed = int(time.time()) - 3600
        blocks = (size + 511) // 512
        return struct.pack(
            "<QQQQQQIIIIIIIIII", inode, size, blocks, changed, changed, changed, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )

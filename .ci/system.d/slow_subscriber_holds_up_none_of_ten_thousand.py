"""Ten thousand WebSockets that are subscribed to one topic, of which one never reads."""

import os
import resource
import select
import socket

from harness.case import Case, main
from harness.server import example

SUBSCRIBERS = 10_000
MESSAGES = 60
PAYLOAD = b"x" * 120
HANDSHAKE = (
    b"GET /topic/news HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# What one message is to whoever gets it.
FRAME = bytes([0x81, len(PAYLOAD)]) + PAYLOAD
MASK = bytes(4)


class SlowSubscriber(Case):
    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < SUBSCRIBERS + 1000:
            self.skipTest(f"a process may open {hard} files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_others_get_everything_and_memory_stays_bounded(self):
        server = self.start(example("ws_echo", "--style", "callback"))
        slow = self.subscribe(server)
        self.fill(slow)
        readers = [self.subscribe(server) for _ in range(SUBSCRIBERS - 1)]
        # What the first message needs once is not counted.
        self.publish(readers[0], 1)
        self.read(readers, 1)
        before = resident(server)
        for _ in range(MESSAGES // 10):
            self.publish(readers[0], 10)
            self.read(readers, 10)
        self.assertLess(resident(server) - before, 16 << 20)

    def subscribe(self, server):
        client = socket.create_connection(server.address, 30)
        self.addCleanup(client.close)
        client.sendall(HANDSHAKE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(4096)
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "), answer)
        return client

    def fill(self, client):
        """Sends bytes, which come back to the sender alone, until the server reads no more."""
        payload = bytes(16_000)
        message = bytes([0x82, 0xFE]) + len(payload).to_bytes(2, "big") + MASK + payload
        client.setblocking(False)
        quiet, rest = 0, message
        while quiet < 5:
            try:
                rest = rest[client.send(rest):] or message
                quiet = 0
            except BlockingIOError:
                quiet += not select.select([], [client], [], 0.2)[1]

    def publish(self, client, count):
        client.sendall((bytes([0x81, 0x80 | len(PAYLOAD)]) + MASK + PAYLOAD) * count)

    def read(self, readers, count):
        """Each of them gets so many messages, and nothing else."""
        whole = FRAME * count
        got = {reader.fileno(): b"" for reader in readers}
        poller = select.epoll()
        self.addCleanup(poller.close)
        for number in got:
            poller.register(number, select.EPOLLIN)
        while got:
            events = poller.poll(30)
            self.assertTrue(events, f"{len(got)} subscribers have not got all of it")
            for number, _ in events:
                data = os.read(number, len(whole))
                self.assertTrue(data, "a connection has ended")
                got[number] += data
                if len(got[number]) >= len(whole):
                    self.assertEqual(got.pop(number), whole)
                    poller.unregister(number)


def resident(server):
    with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()

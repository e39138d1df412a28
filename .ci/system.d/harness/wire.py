"""HTTP/1.1 as bytes on a socket: for what a well-behaved client would not send."""

import http.client
import select
import socket

from .case import SOON


class Peer:
    """One connection to a server."""

    def __init__(self, address, limit=SOON, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(limit)
        if receive_buffer:  # counts for the window only before the connection is made
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def get(self, path, *fields, method="GET"):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]
        return self.send("\r\n".join(lines).encode())

    def answer(self, method="GET"):
        """The next answer, whole; `status`, `getheader` and `content`."""
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        answer.content = answer.read()
        return answer

    def head(self, method="GET"):
        """The next answer without its body, for whoever reads that slowly."""
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        return answer

    def has_answer(self):
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(0))

    def rest(self):
        """All bytes until the server closes; a reset ends them, too."""
        received = bytearray()
        while True:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return bytes(received)
            if not data:
                return bytes(received)
            received += data


def fetch(address, path, *fields, method="GET", limit=SOON):
    """One answer on a connection of its own."""
    with Peer(address, limit) as peer:
        return peer.get(path, *fields, "Connection: close", method=method).answer(method)


def exchange(address, data, limit=SOON):
    """All that is answered to these bytes, until the server closes; and nothing may stay open."""
    with Peer(address, limit) as peer:
        try:
            peer.send(data)
        except ConnectionError:
            pass  # the server has closed before it has read everything
        return peer.rest()


def refuses_connections(address):
    try:
        Peer(address, 1.0).close()
    except OSError:
        return True
    return False


def statuses(data):
    """The status codes in a stream of answers without bodies that look like heads."""
    return [int(part[:3]) for part in data.decode("latin-1").split("HTTP/1.1 ")[1:]]

"""nginx as a reverse proxy: the client that most servers really have."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import urllib.parse

from harness.case import SITE, SOON, Case, main
from harness.server import example, serve

# nginx sends no more of a request once its answer has begun, and the mirror begins to answer at 64 KiB.
UPLOAD = 60_000

CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 64m;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream lakh {{
        server 127.0.0.1:{port};
        keepalive 4;
    }}
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        ''      '';
    }}
    server {{
        listen unix:{folder}/socket;
        location / {{
            proxy_pass http://lakh;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_request_buffering off;
        }}
        # As docs/guide/websockets.md has it.
        location /rooms/ {{
            proxy_pass http://lakh;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket, which needs no free port."""

    def __init__(self, path):
        super().__init__("localhost", timeout=SOON)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Proxy(Case):
    def behind_nginx(self, server):
        """Starts nginx in front of the server; a way to ask it."""
        folder = self.folder()
        user = "user root;" if os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(user=user, folder=folder, port=server.port), encoding="utf-8")
        errors = open(folder / "stderr", "wb")
        self.addCleanup(errors.close)
        command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]
        nginx = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        self.addCleanup(self.end, nginx, folder)
        self.poll("nginx listens", lambda: self.answers(nginx, folder))
        return folder / "socket"

    def answers(self, nginx, folder):
        if nginx.poll() is not None:
            self.fail(f"nginx has ended: {(folder / 'stderr').read_text(errors='replace')}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(folder / "socket")) == 0

    def end(self, nginx, folder):
        nginx.terminate()  # ends its workers, too
        try:
            nginx.wait(SOON)
        except subprocess.TimeoutExpired:
            nginx.kill()
            nginx.wait()
        complaints = (folder / "stderr").read_text(errors="replace")
        # Whatever it says about the server behind it would be our fault.
        self.assertNotIn("upstream", complaints)

    def ask(self, client, method, path, body=None, headers=None, chunked=False):
        client.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = client.getresponse()
        return answer, answer.read()

    def test_every_file_is_the_same_through_it(self):
        server = self.start(serve(SITE))
        client = UnixConnection(self.behind_nginx(server))
        self.addCleanup(client.close)
        files = [path for path in SITE.rglob("*") if path.is_file()]
        self.assertGreater(len(files), 10)
        for _ in range(3):
            for file in files:
                path = urllib.parse.quote(str(file.relative_to(SITE)))
                answer, body = self.ask(client, "GET", f"/{path}")
                self.assertEqual(answer.status, 200, path)
                self.assertEqual(body, file.read_bytes(), path)
        self.assertLessEqual(connections_made(server.port), 4, "connections to the server are reused")

    def test_ranges_conditions_and_errors_pass(self):
        server = self.start(serve(SITE))
        client = UnixConnection(self.behind_nginx(server))
        self.addCleanup(client.close)
        primes = (SITE / "data" / "primes.txt").read_bytes()
        answer, body = self.ask(client, "GET", "/data/primes.txt", headers={"Range": "bytes=-40"})
        self.assertEqual((answer.status, body), (206, primes[-40:]))
        answer, body = self.ask(client, "GET", "/", headers={"If-None-Match": self.tag(client, "/")})
        self.assertEqual((answer.status, body), (304, b""))
        answer, body = self.ask(client, "HEAD", "/data/primes.txt")
        self.assertEqual((answer.status, answer.getheader("Content-Length"), body), (200, str(len(primes)), b""))
        self.assertEqual(self.ask(client, "GET", "/nothing")[0].status, 404)
        self.assertEqual(self.ask(client, "POST", "/", b"x" * 1000)[0].status, 405)

    def tag(self, client, path):
        return self.ask(client, "GET", path)[0].getheader("ETag")

    def test_uploads_pass_both_ways_as_they_come(self):
        server = self.start(example("mirror"))
        client = UnixConnection(self.behind_nginx(server))
        self.addCleanup(client.close)
        primes = (SITE / "data" / "primes.txt").read_bytes()
        for start in range(0, 20 * UPLOAD, UPLOAD):
            body = primes[start % 1_000_000:][:UPLOAD]
            answer, echoed = self.ask(client, "POST", "/", body)
            self.assertEqual((answer.status, echoed), (200, body))
            pieces = (body[at:at + 1_007] for at in range(0, len(body), 1_007))
            answer, echoed = self.ask(client, "POST", "/", pieces, {"Transfer-Encoding": "chunked"}, chunked=True)
            self.assertEqual((answer.status, echoed), (200, body))
            answer, echoed = self.ask(client, "POST", "/", b"")
            self.assertEqual((answer.status, echoed), (200, b""))
        self.assertLessEqual(connections_made(server.port), 4, "connections to the server are reused")

    def test_a_long_answer_begins_before_its_request_has_ended(self):
        server = self.start(example("mirror"))
        client = UnixConnection(self.behind_nginx(server))
        self.addCleanup(client.close)
        body = (SITE / "data" / "primes.txt").read_bytes()[:2 * UPLOAD]
        client.putrequest("POST", "/")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body)
        answer = client.getresponse()
        self.assertEqual((answer.status, answer.read(UPLOAD)), (200, body[:UPLOAD]))

    def test_web_sockets_pass_for_pages_of_the_same_host(self):
        server = self.start(example("chat"))
        path = self.behind_nginx(server)
        self.assertEqual(self.handshake(path, "http://evil.example")[0], 403)
        status, stream = self.handshake(path, "https://chat.example:8443")
        self.assertEqual(status, 101)
        self.assertEqual(self.event(stream, "welcome")["people"], ["Ann"])
        stream.write(bytes((0x81, 0x80 | 5, 0, 0, 0, 0)) + b"hello")
        stream.flush()
        self.assertEqual(self.event(stream, "said")["text"], "hello")

    def handshake(self, path, origin):
        """The status, and the connection behind the head."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SOON)
        client.connect(str(path))
        stream = client.makefile("rwb")
        self.addCleanup(client.close)
        self.addCleanup(stream.close)
        fields = ("Host: chat.example:8443", f"Origin: {origin}", "Connection: Upgrade", "Upgrade: websocket",
                  "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        stream.write("\r\n".join(("GET /rooms/lobby?name=Ann HTTP/1.1", *fields, "", "")).encode())
        stream.flush()
        status = int(stream.readline().split()[1])
        while stream.readline() != b"\r\n":
            pass
        return status, stream

    def event(self, stream, kind):
        """The next event of this type."""
        while True:
            first, length = stream.read(2)
            self.assertEqual(first, 0x81)  # a text of one frame
            if length == 126:
                length = int.from_bytes(stream.read(2), "big")
            event = json.loads(stream.read(length))
            if event["type"] == kind:
                return event


def connections_made(port):
    """To the port of this machine, open or closed a short while ago."""
    remote = f"0100007F:{port:04X}"
    lines = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(line.split()[2] == remote for line in lines)


if __name__ == "__main__":
    main()

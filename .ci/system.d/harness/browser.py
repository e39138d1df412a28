"""Chromium without a window, driven by its DevTools protocol over a pair of pipes."""

import fcntl
import json
import os
import queue
import signal
import subprocess
import threading
import time

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-breakpad", "--disable-crash-reporter", "--disable-dev-shm-usage", "--window-size=1400,1000",
    "--remote-debugging-pipe",
)
LIMIT = 60.0


class Browser:
    """`answers` are the (URL, status) pairs from the network, `errors` what went wrong in a page."""

    def __init__(self, profile):
        self.profile = profile
        self.errors, self.statuses = [], []
        self.messages = queue.Queue()
        self.urls = {}
        self.loaded = 0
        self.number = 0
        self.session = None
        self.process = None

    def start(self):
        commands, self.commands = far_pipe()
        self.replies, replies = far_pipe()
        # The protocol's descriptors are 3 and 4.
        script = f'exec 3<&{commands} 4>&{replies} {commands}<&- {replies}>&-; exec "$@"'
        program = ["chromium", *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *program], pass_fds=(commands, replies), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "HOME": str(self.profile)},
        )
        os.close(commands)
        os.close(replies)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def close(self):
        """May be called again."""
        if not self.process:
            return
        # All of its processes are in its group, which lasts until it is waited for.
        process, self.process = self.process, None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(15)
        os.close(self.commands)
        self.reader.join(15)
        os.close(self.replies)

    @property
    def answers(self):
        # Chromium may tell of an answer before it tells of its request.
        return [(self.urls.get(request), status) for request, status in self.statuses]

    def go(self, url):
        self.load("Page.navigate", url=url)

    def reload(self, ignore_cache=False):
        self.load("Page.reload", ignoreCache=ignore_cache)

    def load(self, method, **parameters):
        before = self.loaded
        result = self.command(method, **parameters)
        if result.get("errorText"):
            raise AssertionError(f"{method} {parameters}: {result['errorText']}")
        self.wait_until(lambda: self.loaded > before, f"{method} {parameters}")

    def evaluate(self, script):
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def command(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        reply = self.wait_until(lambda message=None: message and message.get("id") == self.number, method)
        if "error" in reply:
            raise AssertionError(f"{method}: {reply['error']}")
        return reply["result"]

    def wait_until(self, condition, what):
        """Takes messages until the condition holds, for a reply of its own or for what is known."""
        deadline = time.monotonic() + LIMIT
        message = None
        while True:
            try:
                if condition(message) if condition.__defaults__ else condition():
                    return message
                message = self.messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"Chromium did not answer within {LIMIT:.0f} s: {what}") from None
            if message is None:
                raise AssertionError(f"Chromium has ended: {what}")
            self.take(message)

    def take(self, message):
        method, about = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded += 1
        elif method == "Network.requestWillBeSent":
            self.urls[about["requestId"]] = about["request"]["url"]
        elif method == "Network.responseReceivedExtraInfo":  # as it was on the wire: 304, not 200
            self.statuses.append((about["requestId"], about["statusCode"]))
        elif method == "Network.loadingFailed" and not about.get("canceled"):
            self.errors.append(f"{self.urls.get(about['requestId'])}: {about['errorText']}")
        elif method == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(about["entry"]["text"])

    def read(self):
        rest = b""
        while data := os.read(self.replies, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            for message in messages:
                self.messages.put(json.loads(message))
        self.messages.put(None)


def far_pipe():
    """A pipe whose descriptors are none of those that the browser expects."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends

"""The pages of the examples `upload` and `sse` in a browser: progress while it lasts, events across a restart."""

import hashlib
import os
import urllib.request

from harness.browser import Browser
from harness.case import BINARIES, Case, main
from harness.server import Server, example

LENGTH = 24 << 20
# Three seconds for the upload: progress is told five times in each.
BYTES_PER_SECOND = 8 << 20


class Examples(Case):
    def browse(self, url):
        browser = Browser(self.folder())
        self.addCleanup(browser.close)
        browser.start()
        browser.go(url)
        return browser

    def shows(self, browser, script, *expected):
        """Waits until the script's value is one of these."""
        self.poll(f"{script}: {expected}", lambda: browser.evaluate(script) in expected, 30,
                  tell=lambda: repr(browser.evaluate(script)))

    def say(self, server, text):
        urllib.request.urlopen(server.url("/feed"), text.encode(), timeout=15).close()

    def test_a_file_is_uploaded_and_its_progress_is_shown(self):
        folder, chosen = self.folder(), self.folder() / "a big.file"
        content = os.urandom(1 << 16) * (LENGTH >> 16)
        chosen.write_bytes(content)
        server = self.start(example("upload", "--dir", folder))
        browser = self.browse(server.url())
        browser.command("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1,
                        uploadThroughput=BYTES_PER_SECOND)
        page = browser.command("DOM.getDocument")["root"]["nodeId"]
        field = browser.command("DOM.querySelector", nodeId=page, selector="input[type=file]")["nodeId"]
        browser.command("DOM.setFileInputFiles", nodeId=field, files=[str(chosen)])
        browser.evaluate("""
            window.notes = [];
            const observe = () => notes.push(document.getElementById('note').textContent);
            new MutationObserver(observe).observe(document.getElementById('note'), {childList: true});
            document.getElementById('form').requestSubmit();
        """)
        self.shows(browser, "document.getElementById('note').textContent", f"a_big.file: {LENGTH} bytes\n")
        self.assertEqual(browser.evaluate("document.getElementById('bar').value"), LENGTH)
        told = browser.evaluate("notes.filter((note) => note.endsWith(' of 24.0 MiB')).map(parseFloat)")
        self.assertEqual(told, sorted(told))
        self.assertGreater(len([mib for mib in told if 0 < mib < 24]), 2, told)
        self.assertEqual([entry.name for entry in folder.iterdir()], ["a_big.file"])
        stored = hashlib.sha256((folder / "a_big.file").read_bytes()).hexdigest()
        self.assertEqual(stored, hashlib.sha256(content).hexdigest())
        failed = [url for url, status in browser.answers if url and status >= 400 and not url.endswith("/favicon.ico")]
        self.assertEqual(failed, [])

    def test_events_are_shown_and_go_on_when_the_server_is_back(self):
        server = self.start(example("sse"))
        browser = self.browse(server.url())
        state = "document.getElementById('state').value"
        items = "[...document.querySelectorAll('#feed li')].map((item) => item.textContent).join('|')"
        self.shows(browser, state, "open")
        say = "(() => { const form = document.getElementById('say'); form.text.value = 'one'; form.requestSubmit() })()"
        browser.evaluate(say)
        self.shows(browser, items, "one")
        self.shows(browser, "document.getElementById('clock').value", *map(str, range(1, 60)))

        # Streams without end do not hold up the end of the server.
        server.signal()
        self.assertEqual(server.wait(), 0)
        self.shows(browser, state, "coming back")
        listen = ("--listen", f"127.0.0.1:{server.port}", "--shards", 2)
        again = self.start(Server(BINARIES / "examples" / "sse", *listen))
        self.shows(browser, state, "open")
        # The page says which event it had last, which the new process does not know.
        self.shows(browser, items, "(something was missed here)|one")
        self.say(again, "two")
        self.shows(browser, items, "two|(something was missed here)|one")
        # Before the server is asked what is left: it finds out when it writes.
        browser.close()
        self.say(again, "three")


if __name__ == "__main__":
    main()

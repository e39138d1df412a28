"""The page of the example `chat` in browsers: two people talk, reload, and outlive the server."""

import base64
import http.client
import json
import os

from harness.browser import Browser
from harness.case import BINARIES, Case, main
from harness.server import Server, example

STATE = "document.getElementById('state').textContent"
SAID = """[...document.querySelectorAll('#log li:not(.note)')]
    .map((item) => `${item.querySelector('.name').textContent}: ${item.querySelector('p').textContent}`).join('|')"""
NOTES = "[...document.querySelectorAll('#log .note')].map((item) => item.textContent).join('|')"
PEOPLE = "[...document.querySelectorAll('#people li')].map((item) => item.textContent).join('|')"


class Chat(Case):
    def browse(self, url):
        browser = Browser(self.folder())
        self.addCleanup(browser.close)
        browser.start()
        browser.go(url)
        return browser

    def enter(self, server, name, room="lobby"):
        browser = self.browse(server.url(f"/#{room}"))
        browser.evaluate(f"""
            document.getElementById('name').value = {json.dumps(name)};
            document.getElementById('entry').requestSubmit();
        """)
        self.shows(browser, STATE, "open")
        return browser

    def say(self, browser, text):
        browser.evaluate(f"""
            document.getElementById('text').value = {json.dumps(text)};
            document.getElementById('say').requestSubmit();
        """)

    def shows(self, browser, script, expected):
        self.poll(f"{script}: {expected}", lambda: browser.evaluate(script) == expected, 30,
                  tell=lambda: repr(browser.evaluate(script)))

    def counts(self, browser, selector, expected):
        self.shows(browser, f"document.querySelectorAll({json.dumps(selector)}).length", expected)

    def test_two_pages_talk_and_see_who_comes_and_goes(self):
        server = self.start(example("chat"))
        ann = self.enter(server, "Ann")
        ben = self.enter(server, "Ben")
        for browser in (ann, ben):
            self.shows(browser, PEOPLE, "Ann|Ben")
        self.shows(ann, NOTES, "Ben joined")
        self.say(ann, "hello")
        self.say(ben, "hello yourself")
        for browser in (ann, ben):
            self.shows(browser, f"{SAID}.split('|').sort().join('|')", "Ann: hello|Ben: hello yourself")
        # What looks like markup is text, in messages and names.
        self.say(ann, "<img src=x onerror='document.title = 1'>")
        self.shows(ben, f"{SAID}.endsWith(\"|Ann: <img src=x onerror='document.title = 1'>\")", True)
        self.counts(ben, "#log img", 0)
        cat = self.enter(server, "<i>Cat</i>")
        self.shows(ben, PEOPLE, "<i>Cat</i>|Ann|Ben")
        self.counts(cat, "#log li:not(.note)", 3)
        cat.evaluate("document.getElementById('leave').click()")
        self.shows(ben, PEOPLE, "Ann|Ben")
        self.shows(ben, NOTES, "<i>Cat</i> joined|<i>Cat</i> left")
        self.assertEqual(ann.errors + ben.errors + cat.errors, [])

    def test_a_room_is_in_the_address_and_apart_from_others(self):
        server = self.start(example("chat"))
        ann = self.enter(server, "Ann")
        ben = self.enter(server, "Ben", room="caf%C3%A9")
        self.shows(ben, "document.title", "café")
        self.say(ann, "in the lobby")
        self.shows(ann, SAID, "Ann: in the lobby")
        self.say(ben, "in the café")
        self.shows(ben, SAID, "Ben: in the café")
        ann.evaluate("location.hash = 'café'")
        self.shows(ann, SAID, "Ben: in the café")
        self.shows(ben, PEOPLE, "Ann|Ben")

    def test_a_reload_comes_back_to_what_was_said(self):
        server = self.start(example("chat"))
        ann = self.enter(server, "Ann")
        ben = self.enter(server, "Ben")
        self.say(ann, "before")
        self.shows(ben, SAID, "Ann: before")
        ben.reload()
        self.shows(ben, STATE, "open")
        self.shows(ben, PEOPLE, "Ann|Ben")
        self.shows(ben, SAID, "Ann: before")
        self.say(ann, "after")
        self.shows(ben, SAID, "Ann: before|Ann: after")

    def test_pages_outlive_the_server(self):
        server = self.start(example("chat"))
        ann = self.enter(server, "Ann")
        ben = self.enter(server, "Ben")
        self.say(ann, "before")
        self.shows(ben, SAID, "Ann: before")
        server.signal()
        self.assertEqual(server.wait(), 0)
        for browser in (ann, ben):
            self.shows(browser, STATE, "coming back")
        listen = ("--listen", f"127.0.0.1:{server.port}", "--shards", 2)
        self.start(Server(BINARIES / "examples" / "chat", *listen))
        for browser in (ann, ben):
            self.shows(browser, STATE, "open")
            self.shows(browser, PEOPLE, "Ann|Ben")
        self.say(ben, "after")
        # The new process knows nothing of it, the page does.
        self.shows(ann, SAID, "Ann: before|Ben: after")
        self.shows(ann, f"{NOTES}.includes('The room was opened anew')", True)
        ann.close()
        ben.close()

    def test_a_page_that_lost_its_connection_has_what_it_missed_once(self):
        server = self.start(example("chat"))
        ann = self.enter(server, "Ann")
        ben = self.enter(server, "Ben")
        self.say(ann, "one")
        self.shows(ben, SAID, "Ann: one")
        # Its next attempts fail, as those of who is offline do.
        ben.evaluate("""
            window.Real = WebSocket;
            window.WebSocket = class extends Real { constructor() { super('ws://127.0.0.1:1/') } };
            socket.close();
        """)
        self.shows(ann, PEOPLE, "Ann")
        self.say(ann, "two")
        self.shows(ann, SAID, "Ann: one|Ann: two")
        ben.evaluate("window.WebSocket = Real")
        self.shows(ben, SAID, "Ann: one|Ann: two")
        self.shows(ben, STATE, "open")

    def test_pages_of_other_origins_are_refused_and_so_are_names_that_are_none(self):
        server = self.start(example("chat"))
        self.assertEqual(self.handshake(server, "/rooms/lobby?name=Ann", server.url("")), 101)
        self.assertEqual(self.handshake(server, "/rooms/lobby?name=Ann", "http://evil.example"), 403)
        self.assertEqual(self.handshake(server, "/rooms/lobby", server.url("")), 400)
        browser = self.enter(server, "Ann")
        # Past the field's own limit.
        browser.evaluate("sessionStorage.setItem('name', 'x'.repeat(31)); enter()")
        self.shows(browser, "document.getElementById('why').textContent",
                   "names of people and rooms have 1 to 30 characters")
        self.shows(browser, "document.getElementById('chat').hidden", True)

    def handshake(self, server, path, origin):
        client = http.client.HTTPConnection(*server.address, timeout=15)
        client.request("GET", path, headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Origin": origin.rstrip("/"),
        })
        status = client.getresponse().status
        client.close()
        return status


if __name__ == "__main__":
    main()

"""The page of the example `accounts` in a browser, by its keys: sign up, log in, be known, log out."""

from harness.browser import Browser
from harness.case import BINARIES, Case, main
from harness.server import Server, example, serve

NAME = "document.getElementById('name')?.textContent"
ALERTS = "[...document.querySelectorAll('[role=alert]')].map((alert) => alert.textContent).join('|')"
PASSWORD = "correct horse"


class Accounts(Case):
    def browse(self, url):
        browser = Browser(self.folder())
        self.addCleanup(browser.close)
        browser.start()
        browser.go(url)
        return browser

    def fill(self, browser, **fields):
        """Types into the fields with these ids, and Enter into the last of them; waits for the next page."""
        for field, text in fields.items():
            browser.evaluate(f"document.getElementById('{field.replace('_', '-')}').focus()")
            browser.command("Input.insertText", text=text)
        self.press(browser, "Enter")

    def press(self, browser, key):
        before = browser.loaded
        about = {"key": key, "code": key, "windowsVirtualKeyCode": 13, "text": "\r"}
        browser.command("Input.dispatchKeyEvent", type="keyDown", **about)
        browser.command("Input.dispatchKeyEvent", type="keyUp", **about)
        browser.wait_until(lambda: browser.loaded > before, "the page after the form")

    def log_out(self, browser):
        browser.evaluate("document.querySelector('[action=\"/logout\"] button').focus()")
        self.press(browser, "Enter")

    def sign_up(self, server, name):
        browser = self.browse(server.url())
        self.fill(browser, signup_name=name, signup_password=PASSWORD)
        self.assertEqual(browser.evaluate(NAME), name)
        return browser

    def test_who_signs_up_is_shown_their_name_until_they_log_out(self):
        server = self.start(example("accounts", "--database", self.folder() / "db"))
        browser = self.sign_up(server, "ann")
        cookie, = browser.command("Network.getCookies")["cookies"]
        self.assertEqual((cookie["name"], cookie["httpOnly"], cookie["sameSite"]), ("session", True, "Lax"))
        self.assertEqual(browser.evaluate("document.cookie"), "")
        browser.reload()
        self.assertEqual(browser.evaluate(NAME), "ann")
        self.log_out(browser)
        self.assertEqual(browser.evaluate(NAME), None)
        self.assertEqual(browser.command("Network.getCookies")["cookies"], [])
        self.fill(browser, login_name="ANN", login_password=PASSWORD)
        self.assertEqual(browser.evaluate(NAME), "ann")
        # Its policy keeps nothing of the page out, and it asks nobody else for anything.
        self.assertEqual(browser.errors, [])
        self.assertEqual({url.split("/")[2] for url, _ in browser.answers if url}, {f"127.0.0.1:{server.port}"})

    def test_what_is_wrong_is_said_at_the_form(self):
        server = self.start(example("accounts", "--database", self.folder() / "db"))
        browser = self.sign_up(server, "ann")
        self.log_out(browser)
        self.fill(browser, login_name="ann", login_password="guessed")
        self.assertEqual(browser.evaluate(ALERTS), "the name or the password is wrong")
        self.assertEqual(browser.evaluate("document.querySelector('[role=alert]').closest('form').action"),
                         server.url("/login"))
        self.fill(browser, signup_name="Ann", signup_password=PASSWORD)
        self.assertEqual(browser.evaluate(ALERTS), "this name is taken")
        every = "[...document.querySelectorAll('input:not([hidden])')].every((input) => input.labels.length === 1)"
        self.assertTrue(browser.evaluate(every), "a field without a label")

    def test_password_and_account_are_changed_and_deleted(self):
        server = self.start(example("accounts", "--database", self.folder() / "db"))
        ann = self.sign_up(server, "ann")
        elsewhere = self.browse(server.url())
        self.fill(elsewhere, login_name="ann", login_password=PASSWORD)
        self.fill(ann, old=PASSWORD, new="another horse")
        status = "document.querySelector('[role=status]')?.textContent"
        self.assertEqual((ann.evaluate(NAME), ann.evaluate(status)), ("ann", "your password is changed"))
        ann.reload()
        self.assertEqual((ann.evaluate(NAME), ann.evaluate(status)), ("ann", None))
        elsewhere.reload()
        self.assertEqual(elsewhere.evaluate(NAME), None)
        self.fill(ann, confirm="another horse")
        self.assertEqual(ann.evaluate(NAME), None)
        self.fill(ann, login_name="ann", login_password="another horse")
        self.assertEqual(ann.evaluate(ALERTS), "the name or the password is wrong")

    def test_a_session_outlives_the_server_and_the_forms_of_others(self):
        database = self.folder() / "db"
        server = self.start(example("accounts", "--database", database))
        browser = self.sign_up(server, "ann")
        server.signal()
        self.assertEqual(server.wait(), 0, server.err.text())
        self.assertEqual([file.name for file in database.parent.iterdir()], ["db"])
        listen = ("--listen", f"127.0.0.1:{server.port}", "--shards", 2)
        again = Server(BINARIES / "examples" / "accounts", *listen, "--database", database)
        server = self.start(again)
        browser.reload()
        self.assertEqual(browser.evaluate(NAME), "ann")

        # Another port is the same site to a browser, which sends the session along.
        evil = self.folder()
        (evil / "index.html").write_text(
            f"<!doctype html><form method=post action='{server.url('/logout')}'><button>Click me</button></form>")
        browser.go(self.start(serve(evil)).url())
        browser.evaluate("document.querySelector('button').focus()")
        self.press(browser, "Enter")
        self.assertEqual(browser.evaluate(ALERTS), "the request of another site")
        browser.go(server.url())
        self.assertEqual(browser.evaluate(NAME), "ann")
        # Before the later servers are asked what is left.
        browser.close()


if __name__ == "__main__":
    main()

//! Cookies over the wire: what is read of a request, what an answer sets.
mod common;

use common::{Answer, TestServer};
use lakh_http::{
    App, Response,
    cookies::{Cookie, Cookies, Key, PrivateCookies, SameSite, SignedCookies, time::Duration},
};

fn key() -> Key {
    Key::from(&[7; 64])
}

fn with_cookies(path: &str, cookies: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{cookies}\r\n")
}

fn set_cookies(answer: &Answer) -> Vec<&str> {
    answer.fields.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect()
}

/// `name=value` of the only cookie that is set, as a client sends it back.
fn sent_back(answer: &Answer) -> String {
    let set = set_cookies(answer);
    assert_eq!(set.len(), 1, "{set:?}");
    set[0].split(';').next().unwrap().to_owned()
}

fn listed(cookies: &Cookies) -> String {
    let mut all: Vec<String> = cookies.iter().map(|c| format!("{}={}", c.name(), c.value())).collect();
    all.sort();
    all.join("|")
}

#[test]
fn malformed_cookies_are_left_out_and_refuse_nothing() {
    let server = TestServer::start(|_| App::new().get("/", |cookies: Cookies| listed(&cookies)));
    let read = |fields: &[u8]| {
        let request = [b"GET / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n"].concat();
        let answer = server.exchange(request);
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    };
    assert_eq!(read(b""), "");
    assert_eq!(read(b"Cookie: a=1; b=2\r\ncookie: c=3=4\r\n"), "a=1|b=2|c=3=4");
    assert_eq!(read(b"Cookie: ;;=;=x; junk;a=1;\r\n"), "a=1");
    assert_eq!(read(b"Cookie: a=\xff\xfe; b=2; c=%ff\r\n"), "b=2");
    assert_eq!(read(b"Cookie: a=first; a=second\r\n"), "a=first", "the longer path goes first");
    assert_eq!(read(b"Cookie: a=x%3By%0D%0A%20z\r\n"), "a=x;y\r\n z");
}

#[test]
fn new_cookies_are_for_http_alone_for_this_site_and_for_all_of_it() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/", |cookies: Cookies| (cookies.add(("a", "1")), "body"))
            .get("/host", |cookies: Cookies| cookies.add(("__Host-a", "1")))
            .get("/own", |cookies: Cookies| {
                let own = Cookie::build(("a", "1")).http_only(false).same_site(SameSite::Strict).path("/own");
                cookies.add(own.max_age(Duration::hours(1)))
            })
    });
    let answer = server.exchange(with_cookies("/", ""));
    assert_eq!(set_cookies(&answer), ["a=1; HttpOnly; SameSite=Lax; Path=/"]);
    assert_eq!(answer.text(), "body");
    let answer = server.exchange(with_cookies("/host", ""));
    assert_eq!(set_cookies(&answer), ["__Host-a=1; HttpOnly; SameSite=Lax; Secure; Path=/"]);
    let answer = server.exchange(with_cookies("/own", ""));
    assert_eq!(set_cookies(&answer), ["a=1; SameSite=Strict; Path=/own; Max-Age=3600"]);
}

#[test]
fn only_changes_are_sent_and_beside_those_of_others() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/same", |cookies: Cookies| cookies)
            .get("/gone", |cookies: Cookies| cookies.remove("a").remove("never-sent"))
            .get("/both", |cookies: Cookies| {
                let inner = Response::new("").with_header("set-cookie", "x=1");
                (cookies.add(("a", "1")), inner)
            })
    });
    let cookie = "Cookie: a=1; b=2\r\n";
    assert!(set_cookies(&server.exchange(with_cookies("/same", cookie))).is_empty());
    let gone = server.exchange(with_cookies("/gone", cookie));
    let gone = set_cookies(&gone);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].starts_with("a=; ") && gone[0].contains("Path=/; Max-Age=0; Expires="), "{gone:?}");
    let both = server.exchange(with_cookies("/both", ""));
    assert_eq!(set_cookies(&both), ["x=1", "a=1; HttpOnly; SameSite=Lax; Path=/"]);
}

#[test]
fn values_cannot_smuggle_attributes_or_lines() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/value", |cookies: Cookies| cookies.add(("a", "1; Domain=evil\r\nx: y")))
            .get("/path", |cookies: Cookies| cookies.add(Cookie::build(("a", "1")).path("/; Domain=evil")))
            .get("/line", |cookies: Cookies| cookies.add(Cookie::build(("a", "1")).domain("a\r\nx: y")))
    });
    let answer = server.exchange(with_cookies("/value", ""));
    assert_eq!(sent_back(&answer), "a=1%3B%20Domain%3Devil%0D%0Ax%3A%20y");
    for path in ["/path", "/line"] {
        let answer = server.exchange(with_cookies(path, ""));
        assert_eq!((answer.status, set_cookies(&answer).len()), (500, 0), "{path}");
    }
}

#[test]
fn a_name_is_what_was_sent_so_that_prefixes_hold() {
    let server = TestServer::start(|_| {
        App::new().get("/", |cookies: Cookies| cookies.value("__Host-id").map(str::to_owned))
    });
    let sent = "Cookie: %5F%5FHost-id=evil; __Host-id=real\r\n";
    assert_eq!(server.exchange(with_cookies("/", sent)).text(), "real");
}

#[test]
fn signed_cookies_are_readable_and_cannot_be_forged() {
    let server = TestServer::start(|_| {
        App::new().merge(
            App::with_state(key())
                .get("/set", |cookies: SignedCookies| cookies.add(("user", "17")))
                .get("/get", |cookies: SignedCookies| cookies.value("user"))
                .get("/other", |cookies: SignedCookies| cookies.value("other")),
        )
    });
    let set = server.exchange(with_cookies("/set", ""));
    assert!(set_cookies(&set)[0].ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{set:?}");
    let genuine = sent_back(&set);
    assert!(genuine.ends_with("17"), "{genuine}");
    let get = |cookie: &str| server.exchange(with_cookies("/get", &format!("Cookie: {cookie}\r\n")));
    assert_eq!(get(&genuine).text(), "17");
    for forged in ["user=17", &genuine.replace("17", "18"), &genuine[..genuine.len() - 1]] {
        assert_eq!(get(forged).status, 404, "{forged}");
    }
    let renamed = genuine.replacen("user=", "other=", 1);
    let answer = server.exchange(with_cookies("/other", &format!("Cookie: {renamed}\r\n")));
    assert_eq!(answer.status, 404, "a value that was signed for one name is none of another: {renamed}");
}

#[test]
fn private_cookies_cannot_be_read_or_forged() {
    let server = TestServer::start(|_| {
        App::new().merge(
            App::with_state(key())
                .get("/set", |cookies: PrivateCookies| cookies.add(("user", "the-secret")))
                .get("/get", |cookies: PrivateCookies| cookies.value("user"))
                .get("/end", |cookies: PrivateCookies| cookies.remove("user")),
        )
    });
    let genuine = sent_back(&server.exchange(with_cookies("/set", "")));
    assert!(!genuine.contains("secret"), "{genuine}");
    let ask = |path, cookie: &str| server.exchange(with_cookies(path, &format!("Cookie: {cookie}\r\n")));
    assert_eq!(ask("/get", &genuine).text(), "the-secret");
    for forged in ["user=the-secret".to_owned(), genuine.replacen("user=", "user=A", 1)] {
        assert_eq!(ask("/get", &forged).status, 404, "{forged}");
    }
    assert_eq!(sent_back(&ask("/end", &genuine)), "user=");
}

#[test]
fn kinds_of_cookies_stand_beside_each_other_in_one_answer() {
    let server = TestServer::start(|_| {
        App::new().merge(App::with_state(key()).get(
            "/",
            |plain: Cookies, signed: SignedCookies, private: PrivateCookies| {
                let kinds = (private.add(("c", "3")), (signed.add(("b", "2")), plain.add(("a", "1"))));
                assert!(!format!("{kinds:?}").contains("Key"));
                kinds
            },
        ))
    });
    let answer = server.exchange(with_cookies("/", ""));
    let names: Vec<&str> = set_cookies(&answer).iter().map(|set| &set[..2]).collect();
    assert_eq!(names, ["a=", "b=", "c="]);
}

//! The example `sse`: its service in this process, its program as its users run it.

#[allow(dead_code)] // its `main` is not run here
#[path = "../examples/sse.rs"]
mod sse;

use lakh::http::testing;
use sse::{app, feed};

#[test]
fn the_page_is_there() {
    testing::run(
        |_| app(feed()),
        async |client| {
            let mut page = client.get("/").send().await;
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert!(page.text().await.contains("new EventSource('/feed')"));
        },
    );
}

#[test]
fn the_clock_begins_at_once() {
    testing::run(
        |_| app(feed()),
        async |client| {
            let mut clock = client.get("/clock").send().await;
            assert_eq!(clock.chunk().await.unwrap(), "data: 0\n\n");
        },
    );
}

#[test]
fn what_is_said_reaches_who_listens_and_who_comes_back() {
    testing::run(
        |_| app(feed()),
        async |client| {
            let mut listener = client.get("/feed").send().await;
            assert_eq!(listener.chunk().await.unwrap(), "retry: 1000\n\n");
            let start = String::from_utf8(listener.chunk().await.unwrap().to_vec()).unwrap();
            assert_eq!(client.post("/feed").text("hello\nworld").send().await.status(), 202);
            let event = listener.chunk().await.unwrap();
            assert!(event.ends_with(b"data: hello\ndata: world\n\n"));
            drop(listener);
            let id = start.trim_end().strip_prefix("id: ").unwrap();
            let mut again = client.get("/feed").header("last-event-id", id).send().await;
            again.chunk().await; // how long to wait
            assert_eq!(again.chunk().await.unwrap(), start.as_str());
            assert_eq!(again.chunk().await.unwrap(), event);
        },
    );
}

#[test]
fn nothing_and_too_much_are_refused() {
    testing::run(
        |_| app(feed()),
        async |client| {
            assert_eq!(client.post("/feed").text(" ").send().await.status(), 400);
            assert_eq!(client.post("/feed").text("a".repeat(1001)).send().await.status(), 413);
        },
    );
}

#[cfg(unix)]
mod program;

#[cfg(unix)]
#[test]
fn the_program_ends_at_once_though_someone_listens() {
    use std::io::{BufRead, BufReader, Write};
    let mut program = program::Program::start("sse");
    let mut stream = program.connect();
    stream.write_all(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
    assert!(lines.any(|line| line.starts_with("id: ")), "it listens");
    let post = "POST /feed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert!(program.ask(post).starts_with("HTTP/1.1 202 "));
    assert!(lines.any(|line| line == "data: hello"));
    assert!(program.end().success(), "within the grace, which is 30 s");
    assert_eq!(lines.last().as_deref(), Some(""), "the chunked body has its end");
}

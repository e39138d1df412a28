//! Trailer fields of requests and of answers.

mod common;

use common::{Client, TestServer, get};
use lakh_http::{App, Body, Bytes, HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::{convert::Infallible, task::Poll};

/// `name: value` of the trailers, in their order.
fn lines(trailers: Option<HeaderMap>) -> String {
    let Some(trailers) = trailers else { return "none".to_owned() };
    let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    trailers.iter().map(line).collect::<Vec<_>>().join(", ")
}

async fn upload(mut request: Request) -> String {
    let early = request.body_mut().trailers();
    let bytes = request.body_mut().bytes().await.unwrap();
    assert!(early.is_none() || bytes.is_empty(), "before the end there are none");
    format!("{} {}", bytes.len(), lines(request.body_mut().trailers()))
}

/// Three chunks, then trailers.
fn counted() -> Response {
    let mut chunks = vec!["three", "two", "one"];
    let body =
        Body::from_poll_fn(move |_| Poll::Ready(chunks.pop().map(|c| Ok::<_, Infallible>(Bytes::from(c)))));
    let (count, host) = (HeaderName::from_static("x-count"), HeaderName::from_static("host"));
    Response::new(body).with_trailers([count.clone(), host.clone()], move || {
        HeaderMap::from_iter([(count, HeaderValue::from_static("3")), (host, HeaderValue::from_static("b"))])
    })
}

fn app() -> App {
    let trailers = |response: Response| response.with_trailers([], || panic!("this must not be called"));
    App::new()
        .post("/upload", upload)
        .post("/ignore", || "ignored")
        .get("/counted", counted)
        .get("/short", move || trailers(Response::new("short")))
        .get("/panics", || {
            let body = Body::from_poll_fn(|_| Poll::Ready(None::<Result<Bytes, Infallible>>));
            Response::new(body).with_trailers([], || panic!("on purpose: in trailers"))
        })
}

fn chunked(path: &str, rest: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{rest}")
}

fn asking(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nTE: deflate;q=0.5, Trailers\r\nConnection: TE\r\n\r\n")
}

#[test]
fn a_requests_trailers_come_after_its_body() {
    let server = TestServer::start(|_| app());
    let upload = |rest: &str| server.exchange(chunked("/upload", rest)).text().to_owned();
    assert_eq!(upload("3\r\nabc\r\n0\r\nX-Sum:  12 \r\nx-sum: 34\r\n\r\n"), "3 x-sum: 12, x-sum: 34");
    assert_eq!(upload("0\r\nx-empty:\r\n\r\n"), "0 x-empty: ");
    assert_eq!(upload("3\r\nabc\r\n0\r\n\r\n"), "3 none");
    let exact = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(server.exchange(exact).text(), "2 none");
}

#[test]
fn trailers_may_come_byte_by_byte() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    for byte in chunked("/upload", "1\r\na\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n").bytes() {
        client.send([byte]);
        server.settle();
    }
    assert_eq!(client.answer().text(), "1 x-a: 1, x-b: 2");
}

#[test]
fn fields_that_may_not_stand_in_a_trailer_are_left_out() {
    let server = TestServer::start(|_| app());
    let rest =
        "0\r\nContent-Length: 9\r\nHost: b\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\nx: y\r\n\r\n";
    let mut client = server.connect();
    assert_eq!(client.exchange(chunked("/upload", rest)).text(), "0 x: y");
    assert_eq!(client.exchange(chunked("/ignore", rest)).text(), "ignored");
    assert_eq!(client.exchange(chunked("/upload", "0\r\nHost: b\r\n\r\n")).text(), "0 ");
}

/// The head's `Trailer` field, and the rest from the last chunk on.
fn end_of(client: &mut Client, request: &str) -> (Option<String>, String) {
    client.send(request);
    let head = client.head();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    let (chunks, rest) = rest.split_once("\r\n0\r\n").unwrap();
    assert_eq!(chunks, "3\r\none\r\n3\r\ntwo\r\n5\r\nthree");
    let (end, _) = rest.split_once("HTTP/1.1 404").unwrap();
    (head.field("trailer").map(str::to_owned), end.to_owned())
}

#[test]
fn an_answers_trailers_go_to_clients_that_understand_them() {
    let server = TestServer::start(|_| app());
    let with = end_of(&mut server.connect(), &asking("/counted"));
    assert_eq!(with, (Some("x-count".to_owned()), "x-count: 3\r\n\r\n".to_owned()));
    let without = end_of(&mut server.connect(), &get("/counted"));
    assert_eq!(without, (None, "\r\n".to_owned()));
}

#[test]
fn answers_that_are_not_chunked_have_no_trailers() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let short = client.exchange(asking("/short"));
    assert_eq!((short.text(), short.field("trailer")), ("short", None));
    client.send(asking("/counted").replace("GET", "HEAD"));
    assert_eq!(client.head().field("trailer"), None);
    let old = server.exchange(asking("/counted").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!((old.text(), old.field("trailer")), ("onetwothree", None));
}

#[test]
fn a_panic_in_trailers_cuts_the_answer() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send(asking("/panics"));
    assert_eq!(client.head().status, 200);
    client.expect_close();
}

//! Which answers are encoded, and what they say of it. The codings of these tests only mark the bytes.

mod common;

use common::{Answer, TestServer};
use lakh_http::{App, Body, Bytes, Files, Head, Response, StatusCode, middleware::Compress};
use std::{convert::Infallible, task::Poll};

async fn marked(mark: &'static str, body: Body) -> Result<Body, Body> {
    match body {
        Body::Bytes(bytes) => Ok([mark.as_bytes(), &bytes].concat().into()),
        Body::Static(bytes) => Ok([mark.as_bytes(), bytes].concat().into()),
        Body::Stream(mut chunks) => {
            let mut first = Some(Bytes::from_static(mark.as_bytes()));
            Ok(Body::from_poll_fn(move |cx| match first.take() {
                Some(first) => Poll::Ready(Some(Ok(first))),
                None => chunks.as_mut().poll_next(cx),
            }))
        }
        other => Err(other),
    }
}

fn page() -> Response {
    Response::new("page").with_header("content-type", "Text/HTML; charset=utf-8").with_header("etag", "\"1\"")
}

fn tagged(head: &Head<'_>) -> Response {
    let asked = head.header("if-none-match").unwrap_or_default();
    if asked.ends_with(b"\"1\"") {
        return Response::empty(StatusCode::NOT_MODIFIED).with_header("etag", "\"1\"");
    }
    page().with_header("accept-ranges", "bytes").with_header("vary", "Accept")
}

fn app() -> App {
    App::new()
        .get("/page", page)
        .get("/tagged", tagged)
        .get("/stream", || {
            let mut chunks = vec!["b", "a"];
            let body = Body::from_poll_fn(move |_| {
                Poll::Ready(
                    chunks.pop().map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))),
                )
            });
            Response::new(body).with_header("content-type", "text/plain")
        })
        .get("/image", || Response::new("image").with_header("content-type", "image/png"))
        .get("/bare", || Response::new("bare"))
        .get("/events", || Response::new("events").with_header("content-type", "text/event-stream"))
        .get("/encoded", || page().with_header("content-encoding", "zstd"))
        .get("/fixed", || page().with_header("cache-control", "public, No-Transform"))
        .get("/part", || page().with_status(StatusCode::PARTIAL_CONTENT))
        .get("/none", || page().with_status(StatusCode::NO_CONTENT))
        .get("/error", || page().with_status(StatusCode::BAD_REQUEST))
}

fn compress() -> Compress {
    Compress::new().coding("br", |body| marked("br:", body)).coding("gzip", |body| marked("gzip:", body))
}

fn ask(server: &TestServer, path: &str, accept: &str) -> Answer {
    server.connect().ask("GET", path, &[("Accept-Encoding", accept)], "")
}

fn varies(answer: &Answer) -> bool {
    let mut fields = answer.fields.iter().filter(|(name, _)| name == "vary");
    fields.any(|(_, value)| value.eq_ignore_ascii_case("accept-encoding"))
}

#[test]
fn the_coding_that_the_client_likes_best_is_chosen() {
    let server = TestServer::start(|_| app().wrap(compress().min_size(0)));
    for (accept, text, coding) in [
        ("gzip", "gzip:page", Some("gzip")),
        ("gzip, br", "br:page", Some("br")),
        ("gzip;q=1, br;q=0.5", "gzip:page", Some("gzip")),
        ("br;q=0, *", "gzip:page", Some("gzip")),
        ("identity, gzip;q=0.5", "page", None),
        ("gzip;q=0", "page", None),
        ("", "page", None),
    ] {
        let answer = ask(&server, "/page", accept);
        assert_eq!((answer.text(), answer.field("content-encoding")), (text, coding), "{accept}");
        assert!(varies(&answer), "{accept}: as it is, too");
        let etag = if coding.is_some() { "W/\"1\"" } else { "\"1\"" };
        assert_eq!(answer.field("etag"), Some(etag), "{accept}");
    }
    assert!(varies(&server.connect().ask("GET", "/page", &[], "")));
    let two = [("Accept-Encoding", "br;q=0.1"), ("accept-encoding", "gzip;q=0.2")];
    assert_eq!(server.connect().ask("GET", "/page", &two, "").text(), "gzip:page", "fields are one list");
}

#[test]
fn a_client_that_refuses_everything_gets_406() {
    let server = TestServer::start(|_| app().wrap(compress().min_size(100)));
    for accept in ["identity;q=0", "*;q=0", "zstd, *;q=0"] {
        let answer = ask(&server, "/page", accept);
        assert_eq!((answer.status, varies(&answer)), (406, true), "{accept}");
    }
    let answer = ask(&server, "/page", "gzip, identity;q=0");
    assert_eq!(answer.text(), "gzip:page", "it is short, but nothing else is accepted");
    assert_eq!(ask(&server, "/image", "*;q=0").status, 200, "there is nothing to choose");
}

#[test]
fn only_what_gains_by_it_is_encoded() {
    let server = TestServer::start(|_| app().wrap(compress().min_size(0)));
    for path in ["/image", "/bare", "/events", "/encoded", "/fixed", "/none", "/error"] {
        let answer = ask(&server, path, "gzip");
        assert!(!answer.text().starts_with("gzip:"), "{path}");
        assert_ne!(answer.field("content-encoding"), Some("gzip"), "{path}");
        assert!(!varies(&answer), "{path}: the client has no say in it");
    }
    let server = TestServer::start(|_| app().wrap(compress()));
    let short = ask(&server, "/page", "gzip");
    assert_eq!((short.text(), varies(&short)), ("page", true));
    let server = TestServer::start(|_| app().wrap(compress().min_size(0).types(|t| t == "image/png")));
    assert_eq!(ask(&server, "/image", "gzip").text(), "gzip:image");
    assert_eq!(ask(&server, "/page", "gzip").text(), "page");
}

#[test]
fn streams_are_encoded_as_they_come_and_head_says_what_get_would() {
    let server = TestServer::start(|_| app().wrap(compress()));
    let answer = ask(&server, "/stream", "gzip");
    assert_eq!((answer.text(), answer.field("content-encoding")), ("gzip:ab", Some("gzip")));
    let mut client = server.connect();
    let head = client.ask("HEAD", "/stream", &[("Accept-Encoding", "gzip")], "");
    assert_eq!(head.field("content-encoding"), Some("gzip"));
    assert_eq!(client.ask("GET", "/bare", &[], "").text(), "bare", "nothing came behind the head");
}

#[test]
fn there_are_no_ranges_of_encoded_bytes() {
    let server = TestServer::start(|_| app().wrap(compress().min_size(0)));
    let encoded = ask(&server, "/tagged", "gzip");
    assert_eq!((encoded.text(), encoded.field("accept-ranges")), ("gzip:page", None));
    assert_eq!(ask(&server, "/tagged", "").field("accept-ranges"), Some("bytes"));
    let part = ask(&server, "/part", "gzip");
    assert_eq!((part.status, part.text(), varies(&part)), (206, "page", true));
    assert_eq!(part.field("etag"), Some("\"1\""));
}

#[test]
fn a_304_varies_and_has_the_tag_that_the_client_knows() {
    let server = TestServer::start(|_| app().wrap(compress().min_size(0)));
    for (asked, tag) in [("W/\"1\"", "W/\"1\""), ("\"1\"", "\"1\"")] {
        let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", asked)];
        let answer = server.connect().ask("GET", "/tagged", &fields, "");
        assert_eq!((answer.status, answer.field("etag")), (304, Some(tag)));
        assert!(varies(&answer));
        assert_eq!(answer.field("content-encoding"), None);
    }
}

#[test]
fn an_encoder_may_give_the_body_back() {
    let server =
        TestServer::start(|_| app().wrap(Compress::new().min_size(0).coding("gzip", async |body| Err(body))));
    let answer = ask(&server, "/page", "gzip");
    assert_eq!((answer.text(), answer.field("content-encoding"), varies(&answer)), ("page", None, true));
    assert_eq!(answer.field("etag"), Some("\"1\""));
}

#[test]
fn files_from_disk_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long.txt"), "text ".repeat(40_000)).unwrap();
    let path = folder.path().to_owned();
    let server = TestServer::start(move |_| App::new().files("/", Files::dir(&path)).wrap(compress()));
    let answer = ask(&server, "/long.txt", "gzip");
    assert_eq!((answer.status, answer.body.len()), (200, 200_000));
    assert_eq!(answer.field("content-encoding"), None);
}

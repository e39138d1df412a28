//! Answers in the codings that are shipped, by what clients send.

mod common;

use common::{Answer, TestServer};
use lakh_compress::{Coding, Decoder};
use lakh_http::{App, Body, Bytes, Files, Response, middleware::Compress};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    rc::Rc,
    task::{Poll, Waker},
};

const CHROME: &str = "gzip, deflate, br, zstd";
const OLD_SAFARI: &str = "gzip, deflate, br";
const WGET: &str = "identity";
const GO: &str = "gzip";

fn page() -> String {
    (0..20_000).map(|at| format!("<p>{at}</p>")).collect()
}

fn unpack(answer: &Answer) -> Vec<u8> {
    let coding: Coding = answer.field("content-encoding").expect("it is encoded").parse().unwrap();
    let mut decoder = Decoder::new(coding, 100_000_000).unwrap();
    let mut output = Vec::new();
    decoder.decode(&mut &answer.body[..], &mut output, 100_000_000).unwrap();
    decoder.finish().expect("all of it");
    output
}

fn app(folder: std::path::PathBuf) -> App {
    App::new()
        .get("/page", || {
            Response::new(page()).with_header("content-type", "text/html").with_header("etag", "\"1\"")
        })
        .get("/short", || Response::new("a".repeat(2000)).with_header("content-type", "text/plain"))
        .get("/noise", || {
            let mut state = 1u64;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            let noise: Vec<u8> = noise.take(3000).collect();
            Response::new(noise).with_header("content-type", "text/plain")
        })
        .get("/stream", || {
            let mut left = 100;
            let body = Body::from_poll_fn(move |_| {
                left -= 1;
                Poll::Ready((left >= 0).then(|| Ok::<_, Infallible>(Bytes::from(page()))))
            });
            Response::new(body).with_header("content-type", "text/html")
        })
        .get("/broken", || {
            let mut left = 2;
            let body = Body::from_poll_fn(move |_| {
                left -= 1;
                Poll::Ready(Some(if left > 0 { Ok(Bytes::from(page())) } else { Err("it broke") }))
            });
            Response::new(body).with_header("content-type", "text/html")
        })
        .files("/files", Files::dir(folder))
}

fn server(compress: impl Fn() -> Compress + Send + Sync + 'static) -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long.html"), page()).unwrap();
    let path = folder.path().to_owned();
    (TestServer::start(move |_| app(path.clone()).wrap(compress())), folder)
}

fn ask(server: &TestServer, path: &str, accept: &str) -> Answer {
    server.connect().ask("GET", path, &[("Accept-Encoding", accept)], "")
}

#[test]
fn what_clients_say_they_read_they_can_read() {
    let (server, _folder) = server(Compress::all);
    for (client, coding) in
        [(CHROME, "zstd"), (OLD_SAFARI, "br"), (GO, "gzip"), ("br;q=0.1, gzip;q=0.2", "gzip")]
    {
        for path in ["/page", "/short"] {
            let answer = ask(&server, path, client);
            assert_eq!(answer.field("content-encoding"), Some(coding), "{path}");
            assert_eq!(answer.field("content-length"), Some(&*answer.body.len().to_string()), "{path}");
            assert_eq!(answer.field("vary"), Some("accept-encoding"));
        }
        assert_eq!(unpack(&ask(&server, "/page", client)), page().into_bytes());
        assert_eq!(ask(&server, "/page", client).field("etag"), Some("W/\"1\""));
        let answer = ask(&server, "/stream", client);
        assert_eq!(unpack(&answer), page().repeat(100).into_bytes());
        assert!(answer.body.len() < 100 * page().len() / 3, "{coding}");
    }
    let answer = ask(&server, "/page", WGET);
    assert_eq!((answer.text(), answer.field("content-encoding")), (&*page(), None));
}

#[test]
fn what_would_not_become_shorter_is_sent_as_it_is() {
    let (server, _folder) = server(Compress::all);
    let answer = ask(&server, "/noise", CHROME);
    assert_eq!((answer.body.len(), answer.field("content-encoding")), (3000, None));
    assert_eq!(answer.field("vary"), Some("accept-encoding"));
}

#[test]
fn head_says_what_get_would_but_no_length() {
    let (server, _folder) = server(Compress::all);
    let mut client = server.connect();
    let head = client.ask("HEAD", "/page", &[("Accept-Encoding", CHROME)], "");
    assert_eq!((head.field("content-encoding"), head.field("content-length")), (Some("zstd"), None));
    assert_eq!((head.field("etag"), head.field("vary")), (Some("W/\"1\""), Some("accept-encoding")));
    assert_eq!(client.ask("GET", "/page", &[], "").text(), page(), "nothing came behind the head");
}

#[test]
fn a_stream_that_breaks_does_not_end_as_if_it_were_whole() {
    let (server, _folder) = server(Compress::all);
    let mut client = server.connect();
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let bytes = client.rest();
    assert!(bytes.starts_with(b"HTTP/1.1 200") && !bytes.ends_with(b"0\r\n\r\n"));
}

#[test]
fn files_are_encoded_where_that_is_wanted_and_parts_of_them_never() {
    let (plain, _folder) = server(Compress::all);
    assert_eq!(ask(&plain, "/files/long.html", CHROME).field("content-encoding"), None);
    let (server, _folder) = server(|| Compress::all().files());
    for client in [CHROME, OLD_SAFARI, GO] {
        let answer = ask(&server, "/files/long.html", client);
        assert_eq!(unpack(&answer), page().into_bytes());
        assert_eq!((answer.field("accept-ranges"), answer.field("vary")), (None, Some("accept-encoding")));
        let etag = answer.field("etag").unwrap().to_owned();
        assert!(etag.starts_with("W/"), "{etag}");
        let again = [("Accept-Encoding", client), ("If-None-Match", &etag)];
        let answer = server.connect().ask("GET", "/files/long.html", &again, "");
        assert_eq!((answer.status, answer.field("etag")), (304, Some(&*etag)));
        assert_eq!(answer.field("vary"), Some("accept-encoding"));
    }
    let part = [("Accept-Encoding", CHROME), ("Range", "bytes=0-9")];
    let answer = server.connect().ask("GET", "/files/long.html", &part, "");
    assert_eq!((answer.status, answer.body.len(), answer.field("content-encoding")), (206, 10, None));
    assert_eq!(ask(&server, "/files/long.html", "").text(), page());
}

/// The next chunk of the chunked coding.
fn chunk(client: &mut common::Client) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.take(1));
    }
    let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut chunk = client.take(length + 2);
    chunk.truncate(length);
    chunk
}

#[test]
fn an_event_is_sent_before_there_is_another() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        let server = TestServer::start(|_| {
            let events = Rc::new(RefCell::new(VecDeque::new()));
            let waiting = Rc::new(Cell::new(Waker::noop().clone()));
            let (taken, waiter) = (Rc::clone(&events), Rc::clone(&waiting));
            let stream = move || {
                let (taken, waiter) = (Rc::clone(&taken), Rc::clone(&waiter));
                let body = Body::from_poll_fn(move |cx| match taken.borrow_mut().pop_front() {
                    Some(event) => Poll::Ready(Some(Ok::<_, Infallible>(event))),
                    None => {
                        waiter.set(cx.waker().clone());
                        Poll::Pending
                    }
                });
                Response::new(body).with_header("content-type", "text/event-stream")
            };
            let push = move |event: Bytes| {
                events.borrow_mut().push_back(event);
                waiting.replace(Waker::noop().clone()).wake();
                std::future::ready("pushed")
            };
            let compress = Compress::all().types(|media_type| media_type == "text/event-stream");
            App::new().get("/events", stream).post("/push", push).wrap(compress)
        });
        let mut client = server.connect();
        client.send(format!("GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
        assert_eq!(client.head().field("content-encoding"), Some(coding.name()));
        let mut decoder = Decoder::new(coding, 1000).unwrap();
        for event in ["data: one\n\n", "data: two\n\n"] {
            server.connect().ask("POST", "/push", &[], event);
            let mut output = Vec::new();
            decoder.decode(&mut &chunk(&mut client)[..], &mut output, 1000).unwrap();
            assert_eq!(String::from_utf8(output).unwrap(), event, "{coding}");
        }
    }
}

#[test]
fn beyond_so_many_encoders_answers_are_sent_as_they_are() {
    let server = TestServer::start(|_| {
        let (over, waiting) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::<Waker>::new())));
        let (is_over, waiters) = (Rc::clone(&over), Rc::clone(&waiting));
        let long = move || {
            let (is_over, waiters) = (Rc::clone(&is_over), Rc::clone(&waiters));
            let body = Body::from_poll_fn(move |cx| match is_over.get() {
                true => Poll::Ready(None::<Result<_, Infallible>>),
                false => {
                    waiters.borrow_mut().push(cx.waker().clone());
                    Poll::Pending
                }
            });
            Response::new(body).with_header("content-type", "text/plain")
        };
        let end = move || {
            over.set(true);
            waiting.take().into_iter().for_each(Waker::wake);
        };
        App::new().get("/long", long).get("/end", end).wrap(Compress::all())
    });
    let ask = || {
        let mut client = server.connect();
        client.send("GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let head = client.head();
        (client, head)
    };
    let encoded: Vec<_> = (0..256).map(|_| ask()).collect();
    assert!(encoded.iter().all(|(_, head)| head.field("content-encoding") == Some("gzip")));
    let (_client, plain) = ask();
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), (None, Some("accept-encoding")));
    server.connect().ask("GET", "/end", &[], "");
    common::eventually("there is room again", || ask().1.field("content-encoding") == Some("gzip"));
}

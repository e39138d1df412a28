//! Rules 1 to 7 of HTTP/1.1 over real sockets: what is refused, and how messages follow each other.

mod common;

use common::{Client, TestServer, get};
use lakh_http::{App, Body, BodyError, Head, Limits, Request, Response, StatusCode, proto::HeadLimits};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn app() -> App {
    App::new()
        .get("/", || "hello")
        .get("/later", async || "later")
        .get("/later/big", async || vec![b'x'; 40_000])
        .get("/big", || vec![b'x'; 40_000])
        .post("/", || "posted")
        .post("/echo", echo)
        .post("/ignore", async || "ignored")
        .get("/nothing", || StatusCode::NO_CONTENT)
        .get("/not-modified", || StatusCode::NOT_MODIFIED)
        .get("/reset", || (StatusCode::RESET_CONTENT, "must not be sent"))
        .get("/informational", || StatusCode::CONTINUE)
        .get("/stream", || Response::new(stream_of(3)))
}

async fn echo(mut request: Request) -> Result<bytes::Bytes, BodyError> {
    request.body_mut().bytes().await
}

fn stream_of(mut chunks: usize) -> Body {
    Body::from_poll_fn(move |_| {
        let more = chunks > 0;
        chunks = chunks.saturating_sub(1);
        std::task::Poll::Ready(more.then(|| Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"chunk"))))
    })
}

/// Requests that break a rule, and the status that says so.
const MALFORMED: &[(u16, &str)] = &[
    // Framing
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    (400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"),
    // Heads
    (400, "GET / HTTP/1.1\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nX : z\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    (400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    (400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    (400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    (400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET path HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    (400, "GET /\r\n\r\n"),
    (505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (405, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: a-miracle\r\n\r\n"),
    // Chunks
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\x01\r\nhello\r\n0\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX y: z\r\n\r\n"),
];

#[test]
fn a_malformed_request_is_refused_and_nothing_behind_it_is_read_as_a_request() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = TestServer::start(move |_| {
        let calls = Arc::clone(&counted);
        app().get("/smuggled", move || {
            calls.fetch_add(1, Ordering::Relaxed);
            "smuggled"
        })
    });
    for (status, request) in MALFORMED {
        for target in ["POST / ", "POST /echo "] {
            let request = request.replacen("POST / ", target, 1);
            let mut client = server.connect();
            client.try_send(format!("{request}{}", get("/smuggled")));
            let answer = client.answer();
            assert_eq!(answer.status, *status, "{request:?}");
            assert!(answer.says_close(), "{request:?}");
            assert_eq!(answer.status == 405, answer.field("allow").is_some());
            client.finish_sending();
            client.expect_close();
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_request_behind_a_refused_one_is_not_read_when_it_comes_later_either() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    assert_eq!(client.exchange("GET / HTTP/1.1\r\n\r\n").status, 400);
    client.try_send(get("/"));
    client.expect_close();
}

#[test]
fn requests_before_a_malformed_one_are_answered() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send(format!("{}{}BAD\r\n\r\n{}", get("/"), get("/later"), get("/")));
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(client.answer().text(), "later");
    assert_eq!(client.answer().status, 400);
    client.expect_close();
}

#[test]
fn what_browsers_and_old_clients_send_is_accepted() {
    let server = TestServer::start(|_| app());
    for request in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a|b[c]{d}^`e HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nhOsT: a\r\nX-Empty:\r\n\r\n",
    ] {
        let answer = server.exchange(request);
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{request:?}");
    }
}

#[test]
fn limits_have_their_own_status() {
    let limits =
        Limits { head: HeadLimits { head: 1000, headers: 10, target: 100 }, body: 10, ..Limits::default() };
    let server = TestServer::with_limits(limits, |_| app());
    let long = "x".repeat(2000);
    let lines = "X: y\r\n".repeat(20);
    let chunks =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n";
    for (status, request) in [
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (414, format!("GET /{long}")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")),
        (413, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".to_owned()),
        (413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n".to_owned()),
        (413, chunks.to_owned()),
        (413, chunks.replace("/echo", "/")),
    ] {
        let mut client = server.connect();
        client.try_send(&request);
        client.try_send(get("/"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request:?}");
        assert!(answer.says_close());
        client.finish_sending();
        client.expect_close();
    }
    let fits = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(server.exchange(fits).text(), "0123456789");
}

#[test]
fn the_answer_to_a_refused_upload_can_be_read_while_the_client_goes_on_sending() {
    let server = TestServer::with_limits(Limits { body: 10, ..Limits::default() }, |_| app());
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    client.try_send(vec![b'x'; 500_000]);
    assert_eq!(client.answer().status, 413);
    client.expect_close();
}

#[test]
fn a_refused_client_that_sends_all_of_its_body_first_sees_the_answer() {
    let limits = Limits { body: 10, ..Limits::default() };
    let server = TestServer::with_limits(limits, |_| app());
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    (0..500).for_each(|_| client.send([0; 100_000]));
    assert_eq!(client.answer().status, 413);
    assert!(client.rest().is_empty());
}

#[test]
fn a_request_may_come_in_any_two_pieces_and_byte_by_byte() {
    let server = TestServer::start(|_| app());
    let requests = [
        "GET /later?q HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "\r\nGET /later HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nlater",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\nla\r\n3\r\nter\r\n0\r\nT: v\r\n\r\n",
    ];
    let mut client = server.connect();
    for request in requests {
        for split in 1..request.len() {
            server.wait_in_flight(0);
            client.send(&request[..split]);
            // One that is answered too early, or not at all, shows in the next answers.
            server.wait_in_flight(1);
            client.send(&request[split..]);
            assert_eq!(client.answer().text(), "later", "split at {split}: {request:?}");
        }
        for byte in request.as_bytes() {
            client.send([*byte]);
            server.settle();
        }
        assert_eq!(client.answer().text(), "later");
    }
    client.expect_silence(Duration::from_millis(50));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server =
        TestServer::start(|_| app().get("/n/{n}", |head: &Head<'_>| head.param("n").unwrap().into_owned()));
    for depth in [16, 1000] {
        let mut client = server.connect();
        let all: String =
            (0..depth).map(|n| if n % 7 == 3 { get("/later") } else { get(&format!("/n/{n}")) }).collect();
        client.send(all);
        for n in 0..depth {
            let expected = if n % 7 == 3 { "later".to_owned() } else { n.to_string() };
            assert_eq!(client.answer().text(), expected);
        }
        client.expect_silence(Duration::from_millis(20));
    }
}

#[test]
fn pipelined_big_answers_to_a_slow_reader_arrive_whole_and_in_order() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let paths = ["/big", "/later/big", "/", "/stream"];
    let depth = 400;
    client.send((0..depth).map(|n| get(paths[n % paths.len()])).collect::<String>());
    server.wait_until_nothing_moves();
    for n in 0..depth {
        let answer = client.answer();
        match n % paths.len() {
            2 => assert_eq!(answer.text(), "hello"),
            3 => assert_eq!(answer.text(), "chunkchunkchunk"),
            _ => assert!(answer.body == vec![b'x'; 40_000], "answer {n}"),
        }
        if n % 50 == 0 {
            server.settle(); // it has filled the buffers again
        }
    }
}

#[test]
fn pipelined_requests_with_bodies_keep_their_bodies() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let one = |n: usize| {
        let body = format!("body {n}");
        match n % 4 {
            0 => format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            1 => format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            2 => format!(
                "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
            _ => format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
        }
    };
    client.send((0..1000).map(one).collect::<String>());
    for n in 0..1000 {
        let body = format!("body {n}");
        let expected = [&body, "posted", "ignored", &body][n % 4];
        assert_eq!(client.answer().text(), expected);
    }
}

#[test]
fn all_kinds_of_requests_in_pieces_of_all_sizes_are_answered_in_order() {
    let server = TestServer::start(|_| app());
    let kinds: &[(&str, &str, &str)] = &[
        ("GET /", "", "hello"),
        ("GET /later", "", "later"),
        ("GET /stream", "", "chunkchunkchunk"),
        ("GET /nothing", "", ""),
        ("GET /missing", "", "Not Found"),
        ("POST /echo", "Content-Length: 4\r\n\r\nGET ", "GET "),
        ("POST /echo", "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nGET\r\n0\r\nT: v\r\n\r\n", "GET"),
        ("POST /ignore", "Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", "ignored"),
        ("POST /", "Content-Length: 4\r\n\r\n\r\n\r\n", "posted"),
        ("DELETE /", "Content-Length: 3\r\n\r\nabc", "Method Not Allowed"),
    ];
    let mut state = 12_345_u32; // the same numbers each time
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..300 {
        let chosen: Vec<_> = (0..1 + random(30)).map(|_| kinds[random(kinds.len())]).collect();
        let all: String = chosen
            .iter()
            .map(|(line, rest, _)| {
                let end = if rest.is_empty() { "\r\n" } else { "" };
                format!("{line} HTTP/1.1\r\nHost: a\r\n{rest}{end}")
            })
            .collect();
        let mut client = server.connect();
        let mut rest = all.as_bytes();
        while !rest.is_empty() {
            let longest = 1 << random(10);
            let piece = (1 + random(longest)).min(rest.len());
            client.send(&rest[..piece]);
            rest = &rest[piece..];
        }
        for (n, (line, _, expected)) in chosen.iter().enumerate() {
            assert_eq!(client.answer().text(), *expected, "round {round}, request {n}: {line}");
        }
    }
}

#[test]
fn http_1_0_is_kept_open_only_when_asked() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    assert!(client.exchange("GET / HTTP/1.0\r\n\r\n").says_close());
    client.expect_close();
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(answer.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_stream_to_http_1_0_ends_with_the_connection() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let answer = client.exchange("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.field("transfer-encoding"), None);
    assert!(answer.says_close());
    assert_eq!(answer.text(), "chunkchunkchunk");
}

#[test]
fn connection_close_is_honoured_and_said() {
    let server = TestServer::start(|_| app());
    for path in ["/", "/later", "/big", "/stream"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{}", get("/")));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.says_close());
        client.finish_sending();
        client.expect_close();
    }
}

#[test]
fn the_last_answer_survives_requests_that_are_never_read() {
    // Closing with unread bytes resets a connection and drops what the kernel has not sent yet.
    let server = TestServer::start(|_| app().get("/huge", || vec![b'x'; 4 << 20]));
    for _ in 0..3 {
        let mut client = server.connect();
        client.send("GET /huge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.try_send(get("/").repeat(3000)); // more than one read takes
        let head = client.head();
        server.settle(); // it has filled the kernels' buffers
        let mut body = 0;
        while body < 4 << 20 {
            body += client.take((64 << 10).min((4 << 20) - body)).len();
            server.settle(); // it has sent more, or closed if it does so too early
        }
        assert!(head.says_close());
    }
}

#[test]
fn a_client_that_half_closes_still_gets_its_answers() {
    let server = TestServer::start(|_| app());
    for path in ["/", "/later", "/big", "/later/big", "/stream"] {
        let mut client = server.connect();
        client.send(format!("{}{}", get(path), get(path)));
        client.finish_sending();
        assert_eq!(client.answer().status, 200, "{path}");
        assert_eq!(client.answer().status, 200, "{path}");
        client.expect_close();
    }
}

#[test]
fn half_a_head_and_then_the_end_is_400_and_nothing_at_all_just_ends() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send("GET / HTT");
    client.finish_sending();
    assert_eq!(client.answer().status, 400);
    client.expect_close();
    let mut client = server.connect();
    client.finish_sending();
    client.expect_close();
}

#[test]
fn head_has_gets_fields_and_no_body() {
    let server = TestServer::start(|_| app());
    for path in ["/", "/big", "/later", "/stream", "/missing"] {
        let mut client = server.connect();
        let mut expected = client.exchange(get(path));
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut answer = client.head();
        expected.body = Vec::new();
        for answer in [&mut expected, &mut answer] {
            answer.fields.retain(|(name, _)| name != "date");
        }
        assert_eq!(answer, expected);
        assert_eq!(client.exchange(get("/")).text(), "hello", "{path}: nothing came behind the head");
    }
}

#[test]
fn statuses_without_content_have_none() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    for (path, status, length) in
        [("/nothing", 204, None), ("/not-modified", 304, None), ("/reset", 205, Some("0"))]
    {
        client.send(get(path));
        let answer = client.head();
        assert_eq!((answer.status, answer.field("content-length")), (status, length));
        assert_eq!(answer.field("transfer-encoding"), None);
        assert_eq!(client.exchange(get("/")).text(), "hello");
    }
    assert_eq!(client.exchange(get("/informational")).status, 500, "1xx is no answer");
}

#[test]
fn a_head_request_that_is_refused_for_its_length_gets_no_body() {
    let server = TestServer::with_limits(Limits { body: 10, ..Limits::default() }, |_| app());
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.head().status, 413);
    client.expect_close();
}

#[test]
fn every_answer_has_a_date() {
    let server = TestServer::start(|_| app());
    for request in [get("/"), get("/missing"), "BAD\r\n\r\n".to_owned()] {
        let answer = server.exchange(request);
        assert!(answer.field("date").unwrap().ends_with(" GMT"));
    }
}

// Expect: 100-continue

const EXPECT: &str = "HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn continue_is_sent_when_the_handler_wants_the_body() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let interim = client.exchange(format!("POST /echo {EXPECT}"));
    assert_eq!((interim.status, interim.fields.len()), (100, 0));
    client.expect_silence(Duration::from_millis(50));
    client.send("hello");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.says_close()), ("hello", false));
    assert_eq!(client.exchange(get("/")).text(), "hello");
}

#[test]
fn continue_is_sent_behind_the_answers_of_earlier_requests() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send(format!("{}POST /echo {EXPECT}", get("/")));
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(client.answer().status, 100);
    client.send("world");
    assert_eq!(client.answer().text(), "world");
}

#[test]
fn no_continue_when_bytes_of_the_body_are_here() {
    let server = TestServer::start(|_| app());
    for (here, rest) in [("hello", ""), ("he", "llo")] {
        let mut client = server.connect();
        client.send(format!("POST /echo {EXPECT}{here}"));
        server.settle(); // it has asked for the rest, if it does that
        client.send(rest);
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn no_continue_from_a_handler_that_does_not_read() {
    let server = TestServer::start(|_| app());
    for path in ["/", "/ignore"] {
        let mut client = server.connect();
        let answer = client.exchange(format!("POST {path} {EXPECT}"));
        assert_eq!(answer.status, 200);
        assert!(answer.says_close(), "the body may or may not come: only the end tells");
        client.try_send("hello");
        client.try_send(get("/"));
        client.finish_sending();
        client.expect_close();
    }
}

#[test]
fn no_continue_to_http_1_0() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    client.expect_silence(Duration::from_millis(50));
    client.send("hello");
    assert_eq!(client.answer().text(), "hello");
}

#[test]
fn many_connections_at_once_are_all_answered() {
    let server = TestServer::start(|_| app());
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    assert!(clients.iter_mut().all(|client| client.answer().text() == "hello"));
}

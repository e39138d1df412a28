use super::{Http, Reader};
use crate::{
    client::{Answer, Protocol, Sink},
    plan::{HttpRequest, Target},
    stats::Cause,
    template::{Template, Values},
};
use proptest::prelude::*;

fn http(request: &HttpRequest) -> Http {
    Http::new(&Target::parse("http://127.0.0.1:8080/a?b").unwrap(), request, Values::new(0, 1))
}

fn request(request: &HttpRequest) -> String {
    let mut out = Vec::new();
    http(request).request(&mut Reader::default(), &mut out);
    String::from_utf8(out).unwrap()
}

/// What came of bytes that arrive in these parts, and then the end: answers, whether the server closes.
fn read_parts(request: &HttpRequest, parts: &[&[u8]]) -> Result<(Vec<Answer>, bool), String> {
    let (http, mut reader) = (http(request), Reader::default());
    let (mut answers, mut out) = (Vec::new(), Vec::new());
    let mut sink = Sink { stands: false, closes: false, answers: &mut answers, out: &mut out, now: 0 };
    for part in parts {
        http.receive(&mut reader, part, &mut sink).map_err(|failure| {
            assert_eq!(failure.cause, Cause::Garbage);
            failure.example
        })?;
    }
    let closes = sink.closes;
    http.end(&mut reader, &mut sink);
    Ok((answers, closes))
}

fn read(text: &str) -> Result<(Vec<Answer>, bool), String> {
    read_parts(&HttpRequest::default(), &[text.as_bytes()])
}

#[test]
fn a_request_has_what_the_options_say_and_what_http_needs() {
    assert_eq!(request(&HttpRequest::default()), "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
    let field = |name: &str, value: &str| (name.to_owned(), Template::text(value));
    let post = HttpRequest {
        method: "POST".to_owned(),
        headers: vec![field("host", "example"), field("X-A", "b")],
        body: Template::text("hello"),
        close: true,
        ..HttpRequest::default()
    };
    let text = "POST /a?b HTTP/1.1\r\nhost: example\r\nX-A: b\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(request(&post), text);
    let empty = HttpRequest { method: "PUT".to_owned(), ..HttpRequest::default() };
    assert!(request(&empty).contains("\r\nContent-Length: 0\r\n"), "RFC 9110, 8.6");
}

#[test]
fn bodies_end_where_the_head_says() {
    let good = |class| Ok((vec![Answer::Good(class)], false));
    let closing = |class| Ok((vec![Answer::Good(class)], true));
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), good(2));
    assert_eq!(read("HTTP/1.1 404 \r\ncontent-length:0\r\n\r\n"), good(4));
    assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), good(2));
    assert_eq!(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), good(3));
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(read(chunked), good(2));
    assert_eq!(read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), good(5));
    // Until the end of the stream.
    assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nhello"), Ok((vec![Answer::Good(2)], false)));
    assert_eq!(read("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n"), closing(2));
    assert_eq!(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), closing(2));
    assert_eq!(read("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"), good(2));
    // What is not complete is no answer.
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), Ok((vec![], false)));
    assert_eq!(
        read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        Ok((vec![], false))
    );
    let head = HttpRequest { method: "HEAD".to_owned(), ..HttpRequest::default() };
    assert_eq!(read_parts(&head, &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]), good(2));
}

#[test]
fn garbage_is_told_with_an_example() {
    for (text, why) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", "five"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two values"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "xyz"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "-1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nab\r\n", "CR LF"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n", "xHTTP"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(why), "{text:?}: {error}");
    }
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000));
    assert!(read(&long).unwrap_err().contains("64 KiB"));
    let parts: Vec<&[u8]> = long.as_bytes().chunks(1000).collect();
    assert!(read_parts(&HttpRequest::default(), &parts).unwrap_err().contains("64 KiB"));
    let line = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "y".repeat(9_000));
    assert!(read(&line).unwrap_err().contains("8 KiB"));
}

#[test]
fn answers_that_are_not_as_expected_are_bad() {
    let expect = |status, body: &str| HttpRequest {
        expect_status: Some(status),
        expect_body: Some(body.as_bytes().to_vec()),
        ..HttpRequest::default()
    };
    let answer: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let of = |request| read_parts(&request, &[answer, answer]).unwrap().0;
    assert_eq!(of(expect(200, "hello")), [Answer::Good(2); 2]);
    assert_eq!(of(expect(201, "hello")), [Answer::Bad(2, Cause::Status); 2]);
    for body in ["", "hell", "hello!", "hallo"] {
        assert_eq!(of(expect(200, body)), [Answer::Bad(2, Cause::Body); 2], "{body}");
    }
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nhello\
    HTTP/1.1 103 Early Hints\r\n\r\n\
    HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x\r\n0123456789abcdef\r\n0\r\nT: u\r\n\r\n\
    HTTP/1.1 204 No Content\r\n\r\n\
    HTTP/1.1 500 Oh\r\n\r\nuntil the end";

proptest! {
    #[test]
    fn answers_are_the_same_however_their_bytes_are_cut(cuts in prop::collection::vec(0..STREAM.len(), 0..20)) {
        let mut cuts = cuts;
        cuts.extend([0, STREAM.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &STREAM.as_bytes()[pair[0]..pair[1]]).collect();
        let (answers, _) = read_parts(&HttpRequest::default(), &parts).unwrap();
        prop_assert_eq!(answers, [2, 4, 2, 5].map(Answer::Good));
    }

    #[test]
    fn no_bytes_make_it_panic(
        prefix in 0..STREAM.len(), bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..60,
    ) {
        let mut all = STREAM.as_bytes()[..prefix].to_vec();
        all.extend(bytes);
        let (first, second) = all.split_at(all.len().saturating_sub(cut));
        let _ = read_parts(&HttpRequest::default(), &[first, second]);
    }
}

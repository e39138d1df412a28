//! Request bodies in a content coding, by what clients send.

mod common;

use common::{Answer, Client, TestServer};
use lakh_compress::{Coding, Encoder, Level};
use lakh_http::{App, BodyError, Head, Request, middleware::Decompress};

const LIMIT: usize = 300_000;

fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut encoder = Encoder::new(coding, Level::Balanced).unwrap();
    encoder.encode(bytes, &mut output).unwrap();
    encoder.finish(&mut output).unwrap();
    output
}

fn text() -> Vec<u8> {
    (0..20_000).flat_map(|at| format!("{at} ").into_bytes()).collect()
}

/// What the handler sees: fields that are left, the length and a sum of the body.
async fn look(mut request: Request) -> Result<String, BodyError> {
    let seen = |head: Head<'_>| {
        let field = |name| head.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let names = ["content-encoding", "content-length", "x-kept"];
        names.map(|name| field(name).unwrap_or_else(|| "none".into())).join(" ")
    };
    let (seen, length) = (seen(request.head()), request.body().length());
    let bytes = request.body_mut().bytes().await?;
    Ok(format!("{seen} {length:?} {} {}", bytes.len(), sum(&bytes)))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

fn server() -> TestServer {
    TestServer::start(|_| {
        App::new().post("/", look).get("/", look).wrap(Decompress::new(LIMIT as u64).at_once(1))
    })
}

fn send(client: &mut Client, coding: &str, body: &[u8]) -> Answer {
    let length = body.len();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nX-Kept: yes\r\nContent-Encoding: {coding}\r\n"));
    client.send(format!("Content-Length: {length}\r\n\r\n"));
    client.send(body);
    client.answer()
}

#[test]
fn handlers_get_the_bytes_and_no_trace_of_the_coding() {
    let server = server();
    for bytes in [text(), b"short".to_vec(), Vec::new()] {
        let expected = format!("none none yes None {} {}", bytes.len(), sum(&bytes));
        for coding in Coding::ALL {
            let packed = packed(coding, &bytes);
            let answer = send(&mut server.connect(), coding.name(), &packed);
            assert_eq!((answer.status, answer.text()), (200, &*expected), "{coding}");

            let mut client = server.connect();
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nX-Kept: yes\r\ncontent-encoding: IDENTITY, {coding}\r\n"
            ));
            client.send("Transfer-Encoding: chunked\r\n\r\n");
            for piece in packed.chunks(100) {
                client.send(format!("{:x}\r\n", piece.len()));
                client.send(piece);
                client.send("\r\n");
            }
            client.send("0\r\n\r\n");
            assert_eq!(client.answer().text(), expected, "{coding}");
        }
        let plain = send(&mut server.connect(), "identity", &bytes);
        let length = bytes.len();
        assert_eq!(plain.text(), format!("identity {length} yes Some({length}) {length} {}", sum(&bytes)));
    }
}

/// The memo of heads gives the second request the head of the first.
#[test]
fn a_head_that_repeats_says_what_it_has_said_before() {
    let server = server();
    let mut client = server.connect();
    let packed = packed(Coding::Gzip, b"hello");
    for _ in 0..3 {
        let answer = send(&mut client, "gzip", &packed);
        assert_eq!(answer.text(), format!("none none yes None 5 {}", sum(b"hello")));
    }
    let nothing = send(&mut client, "gzip", b"");
    assert_eq!(nothing.text(), "gzip 0 yes Some(0) 0 7", "no body is in no coding");
}

#[test]
fn another_coding_or_two_are_415_and_say_what_there_is() {
    let server = server();
    for coding in ["compress", "gzip, br", "br,gzip", "gzip;q=1", "\u{e9}"] {
        let answer = send(&mut server.connect(), coding, b"whatever");
        assert_eq!(answer.status, 415, "{coding}");
        assert_eq!(answer.field("accept-encoding"), Some("gzip, deflate, br, zstd"));
    }
    let two = "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(server.exchange(two).status, 415);
}

#[test]
fn the_limit_is_exact_and_beyond_it_is_413() {
    let server = server();
    for coding in Coding::ALL {
        let status = |length: usize| {
            send(&mut server.connect(), coding.name(), &packed(coding, &vec![0; length])).status
        };
        assert_eq!((status(LIMIT), status(LIMIT + 1), status(100_000_000)), (200, 413, 413), "{coding}");
    }
}

#[test]
fn damaged_bodies_are_400() {
    let server = server();
    for coding in Coding::ALL {
        let mut packed = packed(coding, &text());
        for end in [1, packed.len() / 2, packed.len() - 1] {
            let answer = send(&mut server.connect(), coding.name(), &packed[..end]);
            assert_eq!(answer.status, 400, "{coding}, cut at {end}");
        }
        packed.extend(b"behind it");
        assert_eq!(send(&mut server.connect(), coding.name(), &packed).status, 400, "{coding}");
        assert_eq!(
            send(&mut server.connect(), coding.name(), b"this is no such thing").status,
            400,
            "{coding}"
        );
    }
}

#[test]
fn one_more_than_may_be_decoded_at_a_time_is_told_to_come_back() {
    let server = server();
    let packed = packed(Coding::Gzip, b"hello");
    let mut first = server.connect();
    first.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    ));
    first.send(&packed[..10]);
    server.wait_in_flight(1);
    let refused = || {
        let answer = send(&mut server.connect(), "gzip", &packed);
        (answer.status, answer.field("retry-after") == Some("1"))
    };
    common::eventually("the first one has begun", || refused() == (503, true));
    assert_eq!(send(&mut server.connect(), "identity", b"hello").status, 200);
    first.send(&packed[10..]);
    assert_eq!(first.answer().status, 200);
    common::eventually("there is room again", || refused().0 == 200);
}

#[test]
fn a_pool_that_is_gone_is_no_fault_of_the_client() {
    let server = TestServer::start(|_| {
        let gone = |mut request: Request| async move {
            lakh_core::with(|shard| shard.pool().shutdown());
            let error = request.body_mut().bytes().await.unwrap_err();
            assert!(error.is_internal() && !error.is_refused());
            Err::<(), _>(error)
        };
        App::new().post("/", gone).wrap(Decompress::new(LIMIT as u64))
    });
    for coding in Coding::ALL {
        let answer = send(&mut server.connect(), coding.name(), &packed(coding, &text()));
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{coding}");
    }
}

//! Forms with files over the wire: fields as they come, limits, backpressure, bodies that lie.
mod common;

use common::{Answer, TestServer};
use lakh_http::{
    App, HandlerResult, RouteLimits,
    extract::{Multipart, MultipartLimits},
};
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

const FORM: &str = "multipart/form-data; boundary=X";

fn post(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn part(disposition: &str, content: &str) -> String {
    format!("--X\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> String {
    parts.concat() + "--X--\r\n"
}

async fn list(form: Multipart) -> HandlerResult<String> {
    list_within(form, MultipartLimits::default()).await
}

/// A line for each field.
async fn list_within(form: Multipart, limits: MultipartLimits) -> HandlerResult<String> {
    let mut form = form.with_limits(limits);
    let mut lines = String::new();
    while let Some(field) = form.next_field().await? {
        let about = format!(
            "{} {:?} {:?} {} {}",
            field.name(),
            field.file_name(),
            field.content_type(),
            field.is_file(),
            field.headers().len(),
        );
        lines += &format!("{about} = {}\n", field.text().await?);
    }
    Ok(lines)
}

fn refused(server: &TestServer, request: Vec<u8>, status: u16, words: &str) {
    let answer = server.exchange(request);
    assert_eq!((answer.status, answer.text()), (status, words));
}

#[test]
fn fields_come_in_their_order_with_what_they_say_of_themselves() {
    let server = TestServer::start(|_| App::new().post("/", list));
    let body = form(&[
        part("name=\"a b\"", "1"),
        part("name=f; filename=\"../x/a.txt\"\r\nContent-Type: text/plain", "two\r\n--\r\nlines\r\n"),
        part("name=none; filename=\"\"", ""),
        part("name=dots; filename=\"..\"", "x"),
    ]);
    let expected = "a b None None false 1 = 1\n\
        f Some(\"a.txt\") Some(\"text/plain\") true 2 = two\r\n--\r\nlines\r\n\n\
        none None None true 1 = \n\
        dots None None true 1 = x\n";
    let answer = server.exchange(post(FORM, &body));
    assert_eq!((answer.status, answer.text()), (200, expected));
    let answer = server.exchange(post(FORM, "--X--"));
    assert_eq!((answer.status, answer.text()), (200, ""), "a form without fields");

    // Byte by byte, in chunks of one byte.
    let chunks: String = body.bytes().map(|byte| format!("1\r\n{}\r\n", byte as char)).collect();
    let head =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = server.exchange(head + &chunks + "0\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, expected));
}

#[test]
fn fields_that_nobody_reads_are_skipped() {
    let server = TestServer::start(|_| {
        App::new().post("/", async |mut form: Multipart| -> HandlerResult<String> {
            let mut names = String::new();
            while let Some(mut field) = form.next_field().await? {
                names += field.name();
                if field.name() == "b" {
                    field.chunk().await?;
                }
            }
            Ok(names)
        })
    });
    let long = "x".repeat(300_000);
    let fields = [part("name=a", &long), part("name=b", &long), part("name=c", ""), part("name=d", &long)];
    let mut client = server.connect();
    for _ in 0..2 {
        let answer = client.exchange(post(FORM, form(&fields)));
        assert_eq!((answer.status, answer.text()), (200, "abcd"));
    }
}

#[test]
fn what_is_no_form_is_refused_with_words_that_say_why() {
    let server = TestServer::start(|_| App::new().post("/", list));
    let other = "the body has to be a form with parts: send Content-Type: multipart/form-data";
    refused(&server, post("application/x-www-form-urlencoded", "a=1"), 415, other);
    refused(&server, post("multipart/mixed; boundary=X", "--X--"), 415, other);
    refused(&server, post("multipart/form-data", "--X--"), 400, "Content-Type has no legal boundary");
    let cut = "the body ends before the form's last boundary";
    refused(&server, post(FORM, ""), 400, cut);
    refused(&server, post(FORM, part("name=a", "1")), 400, cut);
    refused(&server, post(FORM, part("name=a", "1") + "--X-"), 400, cut);
    let line = "a boundary of the form has more in its line";
    refused(&server, post(FORM, part("name=a", "1") + "--Xtra--"), 400, line);
    let head = "a part of the form has malformed header fields";
    refused(&server, post(FORM, "--X\r\nno header\r\n\r\n1\r\n--X--"), 400, head);
    let name = "a part of the form has no name: it needs Content-Disposition: form-data; name=\"…\"";
    refused(&server, post(FORM, form(&[part("filename=a", "1")])), 422, name);
    let latin = [b"--X\r\nContent-Disposition: form-data; name=a\r\n\r\n", &b"\xfc\r\n--X--"[..]].concat();
    refused(&server, post(FORM, latin), 422, "a field of the form is not UTF-8");
}

#[test]
fn what_is_beyond_a_limit_is_413() {
    fn server(limits: MultipartLimits) -> TestServer {
        TestServer::start(move |_| {
            let limits = limits.clone();
            let handler = move |form: Multipart| list_within(form, limits.clone());
            App::new().post("/", handler).limits(RouteLimits::new().body(8 << 20))
        })
    }
    fn check(limits: MultipartLimits, within: &[String], beyond: &[String], words: &str) {
        let server = server(limits);
        assert_eq!(server.exchange(post(FORM, form(within))).status, 200);
        refused(&server, post(FORM, form(beyond)), 413, words);
    }
    let fields = |n: usize, len: usize| vec![part("name=a", &"x".repeat(len)); n];
    let limits = MultipartLimits::default;
    let many = "the form has more fields than the limit";
    check(limits(), &fields(100, 1), &fields(101, 1), many);
    check(limits().fields(2), &fields(2, 1), &fields(3, 1), many);
    check(limits().field(9), &fields(3, 9), &fields(1, 10), "a field of the form is longer than the limit");
    let memory = "the fields of the form together are longer than the limit";
    check(limits(), &fields(2, 1 << 20), &fields(3, 1 << 20), memory);
    check(limits().memory(9), &fields(3, 3), &fields(2, 5), memory);
    check(limits().total(150), &fields(1, 9), &fields(1, 200), "the body is longer than the limit");
    let long = "the header fields of a part of the form are longer than the limit";
    let named = |len: usize| [part(&format!("name={}", "a".repeat(len)), "")];
    check(limits(), &named(8000), &named(9000), long);
    let headers = |n: usize| [part(&format!("name=a{}", "\r\nh: v".repeat(n)), "")];
    check(limits(), &headers(15), &headers(16), "a part of the form has more header fields than the limit");
}

#[test]
fn a_field_can_have_a_limit_of_its_own() {
    let server = TestServer::start(|_| {
        App::new().post("/", async |mut form: Multipart| -> HandlerResult<()> {
            while let Some(mut field) = form.next_field().await? {
                if field.name() == "short" {
                    field.limit(4);
                }
                field.bytes().await?;
            }
            Ok(())
        })
    });
    let ok = [part("name=long", "12345"), part("name=short", "1234")];
    assert_eq!(server.exchange(post(FORM, form(&ok))).status, 200);
    assert_eq!(server.exchange(post(FORM, form(&[part("name=short", "12345")]))).status, 413);
}

#[test]
fn an_error_is_given_again_and_never_taken_for_an_end() {
    let server = TestServer::start(|_| {
        App::new().post("/", async |mut form: Multipart| {
            let mut field = form.next_field().await.unwrap().unwrap();
            let first = loop {
                match field.chunk().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return "taken for an end".to_owned(),
                    Err(error) => break error,
                }
            };
            let second = field.chunk().await.unwrap_err();
            let third = form.next_field().await.unwrap_err();
            format!("{}, {}, {}", first.status(), second.status(), third.status())
        })
    });
    let answer: Answer = server.exchange(post(FORM, part("name=a", "1")));
    assert_eq!(answer.text(), "400 Bad Request, 400 Bad Request, 400 Bad Request");
}

#[test]
fn no_more_is_read_than_the_handler_asks_for() {
    const LEN: usize = 64 << 20;
    let seen = Arc::new(AtomicU64::new(0));
    let sent = Arc::new(AtomicU64::new(0));
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(Some(gone)));
    let server = {
        let seen = Arc::clone(&seen);
        TestServer::start(move |shard| {
            let (seen, gate, pool) = (Arc::clone(&seen), Arc::clone(&gate), shard.pool().clone());
            let handler = move |mut form: Multipart| {
                let (seen, gate, pool) = (Arc::clone(&seen), Arc::clone(&gate), pool.clone());
                async move {
                    let mut field = form.next_field().await.unwrap().unwrap();
                    let first = field.chunk().await.unwrap().unwrap().len() as u64;
                    seen.store(first, Ordering::SeqCst);
                    let gate = gate.lock().unwrap().take().unwrap();
                    pool.run(lakh_core::pool::Lane::USER, move || gate.recv())
                        .unwrap()
                        .await
                        .unwrap()
                        .unwrap();
                    let mut length = first;
                    while let Some(chunk) = field.chunk().await.unwrap() {
                        length += chunk.len() as u64;
                    }
                    length.to_string()
                }
            };
            App::new().post("/", handler).limits(RouteLimits::new().body(1 << 30))
        })
    };
    let mut client = server.connect();
    let head = "--X\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n";
    let length = head.len() + LEN + "\r\n--X--".len();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n{head}"
    ));
    let mut sender = client.stream.try_clone().unwrap();
    let counted = Arc::clone(&sent);
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        let block = vec![b'x'; 1 << 16];
        for _ in 0..LEN >> 16 {
            sender.write_all(&block).unwrap();
            counted.fetch_add(1 << 16, Ordering::SeqCst);
        }
        sender.write_all(b"\r\n--X--").unwrap();
    });
    common::eventually("the handler has its first bytes", || seen.load(Ordering::SeqCst) > 0);
    server.wait_until_nothing_moves();
    let stuck = sent.load(Ordering::SeqCst);
    assert!(stuck < LEN as u64 / 2, "{stuck} bytes were taken from the client though nobody asked");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), LEN.to_string());
    sending.join().unwrap();
}

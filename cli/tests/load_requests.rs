//! `lakh load` as a process: what its requests say, by the bytes that come to a server.

#![cfg(unix)]

#[path = "../../loadtest/tests/common/mod.rs"]
mod common;

use common::{Connection, OK, serve};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
};
use tempfile::{NamedTempFile, TempDir};

/// A request as it came.
#[derive(Debug)]
struct Request {
    /// Its first line.
    line: String,
    /// The other lines of its head.
    fields: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// `None` if the client has gone.
    fn read(connection: &mut Connection) -> Option<Request> {
        let head = connection.request();
        let mut lines = head.lines().take_while(|line| !line.is_empty()).map(str::to_owned);
        let mut request = Request { line: lines.next()?, fields: lines.collect(), body: Vec::new() };
        let length = request.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        request.body.resize(length, 0);
        connection.0.read_exact(&mut request.body).unwrap();
        Some(request)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers everything, and tells of what came.
fn recorder() -> (SocketAddr, Receiver<Request>) {
    let (tell, told) = mpsc::channel();
    let addr = serve(move |mut connection| {
        while let Some(request) = Request::read(&mut connection) {
            tell.send(request).unwrap();
            connection.send(OK);
        }
    });
    (addr, told)
}

fn load(url: &str, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    command.args(["load", url]).args(options).stdin(Stdio::null()).output().unwrap()
}

/// Runs it to its good end, and gives what came to the server.
#[track_caller]
fn requests(path: &str, many: usize, options: &[&str]) -> Vec<Request> {
    let (addr, told) = recorder();
    let many_text = many.to_string();
    let options = [&["-n", &many_text, "--expect-status", "200"], options].concat();
    let Output { status, stdout, stderr } = load(&format!("http://{addr}{path}"), &options);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!(status.code(), Some(0), "{}{}", text(stdout), text(stderr));
    told.iter().take(many).collect()
}

/// One after the other, on one connection.
const IN_ORDER: [&str; 4] = ["-c", "1", "-t", "1"];

fn file(text: impl AsRef<[u8]>) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    (file, name)
}

#[test]
fn every_request_has_its_number_in_its_url_its_fields_and_its_body() {
    let options = ["-H", "X-Id: <{seq}>", "-b", r#"{"id":{seq},"of":{"key":"{rand:5}"},"{{seq}":1}"#];
    // 95 to 104 lie beyond, so that bodies have three lengths; and a connection sends several at a time.
    let shards = ["-t", "2", "-c", "3", "-p", "4"];
    let all = requests("/users/{seq}?a={rand:16}", 105, &[&options[..], &shards].concat());
    let (mut numbers, mut letters) = (BTreeSet::new(), BTreeSet::new());
    for request in &all {
        let rest = request.line.strip_prefix("POST /users/").unwrap();
        let (number, rest) = rest.split_once("?a=").unwrap();
        let path = rest.strip_suffix(" HTTP/1.1").unwrap();
        assert_eq!(request.field("X-Id"), Some(&*format!("<{number}>")));
        let body = std::str::from_utf8(&request.body).unwrap();
        let rest = body.strip_prefix(&format!(r#"{{"id":{number},"of":{{"key":""#)).expect(body);
        let key = rest.strip_suffix(r#""},"{seq}":1}"#).expect(body);
        assert!(path.len() == 16 && key.len() == 5, "{request:?}");
        assert!([path, key].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        letters.insert(path.to_owned());
        numbers.insert(number.parse::<u32>().unwrap());
    }
    assert_eq!(numbers, (0..105).collect());
    assert_eq!(letters.len(), 105, "other letters in every request");
}

#[test]
fn lines_of_files_take_turns() {
    let ((_paths, paths), (_tokens, tokens)) = (file("a\n\nb/c\r\nd"), file("one\ntwo two\n"));
    let field = format!("Authorization: Bearer {{line:{tokens}}}");
    let all = requests(&format!("/{{line:{paths}}}"), 6, &[&IN_ORDER[..], &["-H", &field]].concat());
    let found: Vec<_> =
        all.iter().map(|request| (&*request.line, request.field("Authorization").unwrap())).collect();
    let expected = |path, token| (path, token);
    assert_eq!(
        found,
        [
            expected("GET /a HTTP/1.1", "Bearer one"),
            expected("GET /b/c HTTP/1.1", "Bearer two two"),
            expected("GET /d HTTP/1.1", "Bearer one"),
            expected("GET /a HTTP/1.1", "Bearer two two"),
            expected("GET /b/c HTTP/1.1", "Bearer one"),
            expected("GET /d HTTP/1.1", "Bearer two two"),
        ]
    );
}

#[test]
fn bodies_of_files_are_sent_as_they_are_and_their_lines_by_a_template() {
    let bytes = b"{seq}\xff\x00{{\r\n{nothing}";
    let (_file, name) = file(bytes);
    let all = requests("/", 2, &[&IN_ORDER[..], &["-b", &format!("@{name}")]].concat());
    assert!(all.iter().all(|request| request.body == bytes));
    let (_file, name) = file("{\"a\":1}\n{\"a\":22}\n");
    let all = requests("/", 3, &[&IN_ORDER[..], &["-b", &format!("{{line:{name}}}")]].concat());
    let bodies: Vec<_> = all.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
    assert_eq!(bodies, ["{\"a\":1}", "{\"a\":22}", "{\"a\":1}"]);
}

#[test]
fn a_file_says_what_is_asked_for() {
    let (addr, told) = recorder();
    let (_file, name) = file(format!(
        "/a?b\r\n# a comment\n\nGET /c HTTP/1.1\nPOST http://{addr}/d{{seq}}\nhttp://{addr}\nDELETE /e\n"
    ));
    let options = [&IN_ORDER[..], &["--urls", &name, "-n", "6", "-m", "PUT", "-b", "no {seq}"]].concat();
    let output = load(&format!("http://{addr}"), &options);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: Vec<_> = told
        .iter()
        .take(6)
        .map(|Request { line, fields, body }| {
            assert_eq!(fields[0], format!("Host: {addr}"));
            (
                line.strip_suffix(" HTTP/1.1").unwrap().to_owned(),
                fields.len(),
                String::from_utf8(body).unwrap(),
            )
        })
        .collect();
    let expected = |line: &str, fields, body: &str| (line.to_owned(), fields, body.to_owned());
    assert_eq!(
        found,
        [
            expected("PUT /a?b", 2, "no 0"),
            // Not even a length.
            expected("GET /c", 1, ""),
            expected("POST /d2", 2, "no 2"),
            expected("PUT /", 2, "no 3"),
            expected("DELETE /e", 1, ""),
            expected("PUT /a?b", 2, "no 5"),
        ]
    );
}

#[test]
fn threads_share_the_lines_of_a_file() {
    let (_file, name) = file((0..50).map(|number| format!("/{number}\n")).collect::<String>());
    let all = requests("", 100, &["--urls", &name, "-t", "3", "-c", "6"]);
    let mut lines: Vec<_> = all.iter().map(|request| request.line.clone()).collect();
    lines.sort();
    let mut expected: Vec<_> = (0..100).map(|number| format!("GET /{} HTTP/1.1", number % 50)).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn answers_to_a_list_of_head_have_no_bodies() {
    let (addr, (_file, name)) = (
        serve(|mut connection| {
            while connection.request().starts_with("HEAD /") {
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            }
        }),
        file("HEAD /a\nHEAD /b\n"),
    );
    let output = load(&format!("http://{addr}"), &["--urls", &name, "-n", "10", "-T", "5s"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn handshakes_of_websockets_have_the_numbers_of_their_sockets() {
    let (tell, told) = mpsc::channel();
    let addr = serve(move |mut connection| {
        tell.send(connection.request()).unwrap();
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let output =
        load(&format!("ws://{addr}/rooms/{{seq}}"), &["-H", "Cookie: id={seq}", "-c", "4", "-t", "2"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let number = |head: String| {
        let number = head.strip_prefix("GET /rooms/").unwrap().split(' ').next().unwrap().to_owned();
        assert!(head.contains(&format!("\r\nCookie: id={number}\r\n")), "{head}");
        number.parse::<u32>().unwrap()
    };
    let numbers: BTreeSet<_> = told.try_iter().map(number).collect();
    // Those that were tried again come behind them.
    assert!((0..4).all(|number| numbers.contains(&number)), "{numbers:?}");
}

#[test]
fn what_is_wrong_with_a_template_or_a_file_is_shown_with_its_place() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let wrong = write("wrong", "/a\n\n/{sqe}\n");
    let other = write("other", "/a\nhttp://127.0.0.2/b\n");
    let spaced = write("spaced", "a\nb c\n");
    let empty = write("empty", "# nothing\n");
    let good = write("good", "/a\n");
    let big = write("big", "");
    // A file of that length, without a byte of it on the disk.
    fs::File::options().write(true).open(&big).unwrap().set_len((1 << 30) + 1).unwrap();
    let line = format!("http://127.0.0.1/{{line:{spaced}}}");
    let caret = |column: usize| format!("\n{:column$}^\n", "");
    for (url, options, parts) in [
        (
            "http://127.0.0.1/a/{sqe}/b",
            &[][..],
            vec![
                "lakh: URL: {sqe} is no placeholder; there are {seq}, {rand:16} and".to_owned(),
                "\n  /a/{sqe}/b".to_owned() + &caret(5),
            ],
        ),
        (
            "http://127.0.0.1/",
            &["-H", "X-A: ä{rand:x}"],
            vec!["--header X-A: {rand:x} needs a number".to_owned(), caret(3)],
        ),
        ("http://127.0.0.1/", &["-b", "{seq"], vec!["--body: {seq has no end".to_owned(), caret(2)]),
        (
            "http://127.0.0.1/",
            &["-b", "{line:/no/such/file}"],
            vec!["\"/no/such/file\": No such file".to_owned(), caret(2)],
        ),
        (&line, &[], vec!["the line \"b c\" has characters that may not stand there".to_owned()]),
        (
            "ws://127.0.0.1/",
            &["--ws-open", "{uuid}"],
            vec!["--ws-open: {uuid} is no placeholder".to_owned(), caret(2)],
        ),
        (
            "http://127.0.0.1/",
            &["--urls", "/no/such/file"],
            vec!["\"/no/such/file\": No such file".to_owned()],
        ),
        (
            "http://127.0.0.1/",
            &["--urls", &wrong],
            vec!["line 3: {sqe} is no placeholder".to_owned(), "\n  /{sqe}".to_owned() + &caret(3)],
        ),
        (
            "http://127.0.0.1/",
            &["--urls", &other],
            vec!["line 2: a run has one host, which is 127.0.0.1".to_owned(), caret(2)],
        ),
        ("http://127.0.0.1/", &["--urls", &empty], vec!["has no requests".to_owned()]),
        ("http://127.0.0.1/", &["--urls", &big], vec!["that there is room for".to_owned()]),
        ("http://127.0.0.1/x", &["--urls", &good], vec!["the URL has no path beside it".to_owned()]),
        ("ws://127.0.0.1/", &["--urls", &good], vec!["--urls has a meaning for http URLs only".to_owned()]),
    ] {
        let Output { status, stdout, stderr } = load(url, options);
        let errors = String::from_utf8(stderr).unwrap();
        assert!(parts.iter().all(|part| errors.contains(part)), "{options:?}: {errors}");
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{errors}");
    }
}

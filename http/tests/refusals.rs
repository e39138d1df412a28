//! Everything that is refused, over the wire: by which status, in how few words, and what becomes of the connection.

mod common;

use common::{Answer, Client, TestServer, get};
use lakh_core::fs::FileError;
use lakh_http::{
    App, Bytes, HandlerError, HandlerResult, Limits, RequestBody, Response, StatusCode,
    extract::{Extension, Form, Json, Multipart, Path, Query},
    middleware::{BasicAuth, BodyLimit, Cors, Credentials, RateLimit, Timeout},
    sse::LastEventId,
};
use std::{collections::HashMap, future::pending, io, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
/// Bytes of a refusal's body are fewer.
const SHORT: usize = 200;

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Kept,
    Closed,
}
use Then::{Closed, Kept};

async fn multipart(mut form: Multipart) -> HandlerResult<&'static str> {
    while let Some(field) = form.next_field().await? {
        field.text().await?;
    }
    Ok("read")
}

async fn stream(mut body: RequestBody) -> HandlerResult<&'static str> {
    while let Some(chunk) = body.chunk().await {
        chunk?;
    }
    Ok("read")
}

fn app() -> App {
    App::new()
        .get("/", || "hello")
        .get("/path/{n}", |Path(n): Path<u8>| n.to_string())
        .get("/query", |Query(query): Query<HashMap<String, u8>>| query.len().to_string())
        .get("/extension", |Extension(_): Extension<u8>| "there")
        .get("/event", |_: LastEventId| "there")
        .get("/forbidden", || StatusCode::FORBIDDEN)
        .get("/panic", || -> &str { panic!("for the test") })
        .get("/fails", || -> HandlerResult<String> { Ok(std::fs::read_to_string("/no/such/file")?) })
        .get("/not-implemented", || HandlerError::status_only(StatusCode::NOT_IMPLEMENTED))
        .get("/full-disk", || Err::<(), _>(FileError::from(io::Error::from(io::ErrorKind::StorageFull))))
        .post("/bytes", async |_: Bytes| "read")
        .post("/string", async |_: String| "read")
        .post("/json", async |Json(map): Json<HashMap<String, u8>>| map.len().to_string())
        .post("/form", async |Form(map): Form<HashMap<String, u8>>| map.len().to_string())
        .post("/multipart", multipart)
        .post("/stream", stream)
        .nest(
            "/auth",
            App::new().get("/", || "in").wrap(BasicAuth::new("staff", |_: Credentials| None::<()>)),
        )
        .nest("/cors", App::new().get("/", || "in").wrap(Cors::new().origin("https://a.example")))
        .nest("/rate", App::new().get("/", || "in").wrap(RateLimit::by(1, 3600 * SECOND, |_| Some(1))))
        .nest("/time", App::new().get("/", pending::<&str>).wrap(Timeout::new(Duration::ZERO)))
        .nest("/limit", App::new().post("/", async |_: Bytes| "read").wrap(BodyLimit::new(5)))
}

fn limits() -> Limits {
    Limits { body: 100_000, head_time: SECOND, stall: SECOND, linger: SECOND, ..Limits::default() }
}

fn with_body(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn chunked(path: &str, content_type: &str, chunks: &str) -> Vec<u8> {
    let fields = format!("Host: a\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n");
    format!("POST {path} HTTP/1.1\r\n{fields}\r\n{chunks}").into_bytes()
}

fn with_fields(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=X";
/// Readers of bodies, and a type that each accepts.
const READERS: [(&str, &str); 6] = [
    ("/bytes", "x/y"),
    ("/string", "x/y"),
    ("/json", JSON),
    ("/form", FORM),
    ("/multipart", MULTIPART),
    ("/stream", "x/y"),
];

/// Requests that break the protocol, or the limits of heads.
fn broken_heads() -> Vec<(Vec<u8>, u16, Then)> {
    let long = "x".repeat(20_000);
    vec![
        (b"nonsense\r\n\r\n".to_vec(), 400, Closed),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400, Closed),
        (with_fields("GET", "/", "A : b\r\n"), 400, Closed),
        (with_fields("POST", "/bytes", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400, Closed),
        (with_fields("POST", "/bytes", "Transfer-Encoding: gzip\r\n"), 400, Closed),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_vec(), 405, Closed),
        (b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), 408, Closed),
        (with_fields("GET", &format!("/{long}"), ""), 414, Closed),
        (with_fields("POST", "/bytes", "Expect: miracles\r\nContent-Length: 1\r\n"), 417, Closed),
        (with_fields("GET", "/", &format!("A: {long}\r\n")), 431, Closed),
        (with_fields("GET", "/", &"A: b\r\n".repeat(200)), 431, Closed),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_vec(), 505, Closed),
    ]
}

/// What is found by a route, a middleware or an extractor that reads the head.
fn refused_heads() -> Vec<(Vec<u8>, u16, Then)> {
    let long = "x".repeat(7000);
    vec![
        (with_fields("GET", "/query?a=b", ""), 400, Kept),
        (with_fields("GET", &format!("/query?{}=b", &long[..6000]), ""), 400, Kept),
        (with_fields("GET", &format!("/query?a={long}"), ""), 400, Kept),
        (with_fields("GET", "/event", ""), 400, Kept),
        (with_fields("GET", "/auth", ""), 401, Kept),
        (with_fields("GET", "/forbidden", ""), 403, Kept),
        (
            with_fields("OPTIONS", "/cors", "Origin: https://b\r\nAccess-Control-Request-Method: GET\r\n"),
            403,
            Kept,
        ),
        (with_fields("GET", "/missing", ""), 404, Kept),
        (with_fields("GET", "/path/300", ""), 404, Kept),
        (with_fields("GET", &format!("/path/{long}"), ""), 404, Kept),
        (with_fields("DELETE", "/", ""), 405, Kept),
        (with_fields("GET", "/bytes", ""), 405, Kept),
        (with_fields("GET", "/rate", ""), 429, Kept),
        (with_fields("GET", "/extension", ""), 500, Kept),
        (with_fields("GET", "/fails", ""), 500, Kept),
        (with_fields("GET", "/panic", ""), 500, Kept),
        (with_fields("GET", "/not-implemented", ""), 501, Kept),
        (with_fields("GET", "/time", ""), 503, Kept),
        (with_fields("GET", "/full-disk", ""), 507, Kept),
    ]
}

/// Whole bodies that do not fit.
fn refused_bodies() -> Vec<(Vec<u8>, u16, Then)> {
    let long = "\u{e4}".repeat(20_000);
    let part = |disposition: &str, content: &str| {
        let part =
            format!("--X\r\nContent-Disposition: form-data{disposition}\r\n\r\n{content}\r\n--X--\r\n");
        with_body("/multipart", MULTIPART, part.as_bytes())
    };
    vec![
        (with_body("/string", "x/y", b"\xFF"), 400, Kept),
        (with_body("/json", JSON, b"{\"a\": "), 400, Kept),
        (with_body("/json", JSON, b""), 400, Kept),
        (with_body("/json", JSON, b"{} {}"), 400, Kept),
        (with_body("/form", FORM, b"a=b"), 400, Kept),
        (with_body("/form", FORM, format!("a={long}").as_bytes()), 400, Kept),
        (with_body("/multipart", MULTIPART, b"--X\r\nno field\r\n\r\n\r\n--X--"), 400, Kept),
        (with_body("/multipart", MULTIPART, b"--X\r\n"), 400, Kept),
        (with_body("/limit", "x/y", b"123456"), 413, Kept),
        (with_body("/json", "text/plain", b"{}"), 415, Kept),
        (with_body("/form", "text/plain", b"a=1"), 415, Kept),
        (with_body("/multipart", FORM, b"a=1"), 415, Kept),
        (with_body("/json", JSON, b"{\"a\": \"b\"}"), 422, Kept),
        (with_body("/json", JSON, format!("{{\"a\": \"{long}\"}}").as_bytes()), 422, Kept),
        (with_body("/json", JSON, format!("{{\"{long}\": {{}}}}").as_bytes()), 422, Kept),
        (part("", "x"), 422, Kept),
    ]
}

/// Bodies that cannot be read to their end, for each that reads one.
fn broken_bodies() -> Vec<(Vec<u8>, u16, Then)> {
    let field = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let long = field.to_owned() + &"x".repeat(100_000);
    let mut all = Vec::new();
    for (path, kind) in READERS {
        let half = String::from_utf8(with_body(path, kind, b"")).unwrap().replace(": 0\r\n", ": 9\r\n");
        all.extend([
            (chunked(path, kind, "no number\r\n"), 400, Closed),
            (half.into_bytes(), 408, Closed),
            (
                with_fields("POST", path, &format!("Content-Type: {kind}\r\nContent-Length: 100001\r\n")),
                413,
                Closed,
            ),
            (chunked(path, kind, &format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())), 413, Closed),
            (chunked(path, kind, &format!("0\r\n{}\r\n", "a: b\r\n".repeat(5000))), 431, Closed),
        ]);
    }
    all
}

/// Asks for all of it at once, so that waits go by together; `judge` gets each answer.
fn refused_by(server: &TestServer, judge: impl Fn(&Answer, &str)) {
    let all = [broken_heads(), refused_heads(), refused_bodies(), broken_bodies()].concat();
    server.exchange(get("/rate")); // the one that is let through
    let mut clients: Vec<Client> = all.iter().map(|_| server.connect()).collect();
    for (client, (request, ..)) in clients.iter_mut().zip(&all) {
        client.try_send(request);
    }
    for (client, (request, status, then)) in clients.iter_mut().zip(&all) {
        let what = String::from_utf8_lossy(&request[..request.len().min(150)]).into_owned();
        let answer = client.answer();
        assert_eq!(answer.status, *status, "{what}: {}", answer.text());
        assert_eq!(answer.says_close(), *then == Closed, "{what}");
        judge(&answer, &what);
        match then {
            Closed => client.expect_close(),
            Kept => assert_eq!(client.exchange(get("/")).text(), "hello", "{what}"),
        }
    }
}

#[test]
fn every_refusal_has_its_status_and_a_short_text_and_the_connection_goes_on_if_it_can() {
    let server = TestServer::with_limits(limits(), |_| app());
    refused_by(&server, |answer, what| {
        assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"), "{what}");
        let length = answer.text().len();
        assert!(0 < length && length < SHORT, "{length} bytes for {what}: {}", answer.text());
    });
}

#[test]
fn every_refusal_is_rendered_by_on_error_with_the_same_status() {
    let server = TestServer::with_limits(limits(), |_| {
        app().on_error(|error: &HandlerError| {
            let text = format!("{} {}", error.status().as_u16(), error.message());
            Response::new(text).with_status(error.status()).with_header("content-type", "x/error")
        })
    });
    refused_by(&server, |answer, what| {
        assert_eq!(answer.field("content-type"), Some("x/error"), "{what}");
        let text = answer.text();
        assert!(text.starts_with(&answer.status.to_string()), "{what}: {text}");
        assert!(text.len() < SHORT, "{what}: {text}");
    });
}

#[test]
fn refusals_say_what_the_field_of_their_status_has_to_say() {
    let server = TestServer::with_limits(limits(), |_| app());
    let mut client = server.connect();
    assert_eq!(client.ask("DELETE", "/", &[], "").field("allow"), Some("GET, HEAD, OPTIONS"));
    let challenge = client.ask("GET", "/auth", &[], "");
    assert!(challenge.field("www-authenticate").is_some_and(|field| field.starts_with("Basic ")));
    client.ask("GET", "/rate", &[], "");
    assert!(client.ask("GET", "/rate", &[], "").field("retry-after").is_some());
}

/// The middle of a message is cut where it repeats what was sent: it still says what is wrong, and where.
#[test]
fn a_long_value_is_refused_in_few_words_that_say_where() {
    let server = TestServer::with_limits(limits(), |_| app());
    let body = format!("{{\"a\": \"{}\"}}", "\u{e4}".repeat(20_000));
    let answer = server.exchange(with_body("/json", JSON, body.as_bytes()));
    assert!(answer.text().starts_with("the JSON at a: invalid type: string \"\u{e4}"), "{}", answer.text());
    assert!(answer.text().contains('…'));
    assert!(answer.text().ends_with("expected u8 at line 1 column 40008"), "{}", answer.text());
}

//! Who is let in, and what the others are told.

mod common;

use common::*;
use lakh_http::{
    App, HandlerError, Head,
    extract::{FromHead, Path, Query, State},
    testing::TestServer,
};
use lakh_ws::{Callbacks, Config, Payload, Socket, WebSocket, WebSocketRoutes, callbacks};
use std::collections::HashMap;

fn ask(server: &TestServer, request: &str) -> Client {
    Client::ask(server.addr(), request.as_bytes())
}

#[test]
fn a_handshake_is_answered_with_the_keys_counterpart() {
    let server = echo_server(Config::new());
    for path in STYLES {
        let client = Client::open(&server, path);
        // The example of RFC 6455, 1.3.
        assert_eq!(client.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(client.field("upgrade"), Some("websocket"));
        assert!(client.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
        assert_eq!(client.field("sec-websocket-protocol"), None);
        assert_eq!(client.field("sec-websocket-extensions"), None);
        assert_eq!(client.field("content-length"), None);
    }
}

#[test]
fn names_of_fields_and_tokens_may_be_written_in_any_case() {
    let server = echo_server(Config::new());
    let request = handshake("/async", "")
        .replace("Connection: Upgrade", "CONNECTION: keep-alive, uPgRaDe")
        .replace("Upgrade: websocket", "upgrade: h2c, WebSocket");
    assert_eq!(ask(&server, &request).status(), 101);
}

#[test]
fn other_requests_are_answered_426_with_what_is_spoken() {
    let server = echo_server(Config::new());
    let plain = "GET /async HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let other = handshake("/async", "").replace("Upgrade: websocket", "Upgrade: h2c");
    let no_version = handshake("/async", "").replace("Sec-WebSocket-Version: 13\r\n", "");
    let old_version = handshake("/async", "").replace("Version: 13", "Version: 8");
    let two_versions = handshake("/async", "Sec-WebSocket-Version: 13\r\n");
    for request in [plain, other, no_version, old_version, two_versions] {
        let answer = ask(&server, &request);
        assert_eq!(answer.status(), 426, "{request}");
        assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{request}");
        assert_eq!(answer.field("upgrade"), Some("websocket"), "{request}");
        assert!(answer.field("connection").unwrap().to_ascii_lowercase().contains("upgrade"));
    }
}

#[test]
fn broken_handshakes_are_answered_400() {
    let server = echo_server(Config::new());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let with_key = |key_field: &str| handshake("/async", "").replace(key, key_field);
    let broken = [
        handshake("/async", "").replace("Connection: Upgrade", "Connection: keep-alive"),
        with_key(""),
        with_key("Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        with_key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
        with_key("Sec-WebSocket-Key: ????????????????????????\r\n"),
        with_key(&key.repeat(2)),
        handshake("/async", "Sec-WebSocket-Protocol: a, a\r\n"),
        handshake("/async", "Sec-WebSocket-Protocol: a b\r\n"),
    ];
    for request in broken {
        assert_eq!(ask(&server, &request).status(), 400, "{request}");
    }
}

#[test]
fn a_refused_client_may_ask_again_on_the_same_connection() {
    let server = echo_server(Config::new());
    let both = handshake("/async", "").replace("Version: 13", "Version: 8") + &handshake("/async", "");
    let mut client = ask(&server, &both);
    assert_eq!(client.status(), 426);
    let length = client.field("content-length").unwrap().parse().unwrap();
    client.take(length);
    client.read_head();
    assert_eq!(client.status(), 101);
    client.expect_alive();
}

#[test]
fn extensions_that_are_not_understood_are_left_out() {
    let server = echo_server(Config::new());
    let client = Client::open_with(&server, "/async", "Sec-WebSocket-Extensions: x-made-up; a=1\r\n", b"");
    assert_eq!(client.field("sec-websocket-extensions"), None);
    let compressing = echo_server(Config::new().deflate(lakh_ws::DeflateOptions::default()));
    let offer = "Sec-WebSocket-Extensions: x-made-up, permessage-deflate; client_max_window_bits\r\n";
    let client = Client::open_with(&compressing, "/async", offer, b"");
    assert!(client.field("sec-websocket-extensions").unwrap().starts_with("permessage-deflate"));
}

/// The status for each origin; `None` sends none.
fn statuses(config: Config, origins: &[Option<&str>]) -> Vec<u16> {
    let server = echo_server(config);
    let status = |origin: &Option<&str>| {
        let field = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        ask(&server, &handshake("/async", &field)).status()
    };
    origins.iter().map(status).collect()
}

#[test]
fn pages_of_other_origins_are_refused_with_403_unless_they_are_let_in() {
    let origins = [
        None,
        Some("http://localhost"),
        Some("https://LOCALHOST"),
        Some("https://evil.example"),
        Some("null"),
    ];
    assert_eq!(statuses(Config::new(), &origins), [101, 101, 101, 403, 403]);
    let ports = [Some("http://localhost:81"), Some("http://localhost.evil.example")];
    assert_eq!(statuses(Config::new(), &ports), [403, 403]);
    let listed = || Config::new().origins(["https://app.example"]);
    let origins = [None, Some("https://app.example"), Some("http://app.example"), Some("http://localhost")];
    assert_eq!(statuses(listed(), &origins), [101, 101, 403, 403]);
    assert_eq!(
        statuses(Config::new().any_origin(), &[Some("https://evil.example"), Some("null")]),
        [101, 101]
    );
}

#[test]
fn the_clients_first_subprotocol_that_is_spoken_is_agreed_on() {
    async fn tell(mut socket: WebSocket) {
        let protocol = socket.socket().protocol().map(str::to_owned);
        socket.send(format!("{protocol:?}")).await.unwrap();
        socket.recv().await;
    }
    let config = Config::new().protocols(["chat.v1", "chat.v2"]);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), tell));
    let offers = [
        ("chat.v2, chat.v1", Some("chat.v2")),
        ("other, chat.v1", Some("chat.v1")),
        ("other", None),
        ("CHAT.V1", None),
    ];
    for (offer, agreed) in offers {
        let fields = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let mut client = Client::open_with(&server, "/", &fields, b"");
        assert_eq!(client.field("sec-websocket-protocol"), agreed, "{offer}");
        client.expect_text(&format!("{agreed:?}"));
    }
    Client::open(&server, "/").expect_text("None");
}

/// Refuses whoever has no such field.
struct Token(String);

impl<S> FromHead<S> for Token {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        let token = head.header_map().get("x-token").and_then(|value| value.to_str().ok().map(str::to_owned));
        token.map(Token).ok_or_else(|| HandlerError::new(lakh_http::StatusCode::UNAUTHORIZED, "who are you?"))
    }
}

type Numbers = HashMap<String, u32>;

struct Greets(String);

impl Callbacks for Greets {
    fn on_open(&mut self, socket: &Socket) {
        socket.send(&self.0).unwrap();
    }

    fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
}

#[test]
fn handlers_take_what_the_request_says_or_refuse_the_handshake() {
    type Words = (&'static str,);
    let server = TestServer::start(|_| {
        App::<Words>::with_state(("hello",))
            .ws(
                "/async/{name}",
                async |mut socket: WebSocket,
                       Path(name): Path<String>,
                       Query(numbers): Query<Numbers>,
                       State(words): State<Words>,
                       Token(token): Token| {
                    let greeting = format!("{} {name} {} {token}", words.0, numbers["room"]);
                    socket.send(greeting).await.unwrap();
                    socket.recv().await;
                },
            )
            .ws(
                "/callbacks/{name}",
                callbacks(
                    |Path(name): Path<String>,
                     Query(numbers): Query<Numbers>,
                     State(words): State<Words>,
                     Token(token): Token| {
                        Greets(format!("{} {name} {} {token}", words.0, numbers["room"]))
                    },
                ),
            )
    });
    for path in STYLES {
        let path = format!("{path}/ann");
        let mut client = Client::open_with(&server, &format!("{path}?room=7"), "X-Token: t\r\n", b"");
        client.expect_text("hello ann 7 t");
        assert_eq!(ask(&server, &handshake(&format!("{path}?room=7"), "")).status(), 401);
        assert_eq!(ask(&server, &handshake(&format!("{path}?room=x"), "X-Token: t\r\n")).status(), 400);
        // What is no handshake is answered so before anything else is looked at.
        assert_eq!(ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status(), 426);
    }
}

#[test]
fn a_function_that_panics_for_its_callbacks_answers_500() {
    let server = TestServer::start(|_| {
        App::new().ws(
            "/",
            callbacks(|Query(numbers): Query<Numbers>| {
                assert!(numbers["room"] > 0, "on purpose");
                Echo
            }),
        )
    });
    assert_eq!(ask(&server, &handshake("/?room=0", "")).status(), 500);
    let mut client = Client::open(&server, "/?room=1");
    client.text("hello");
    client.expect_text("hello");
}

#[test]
fn a_handshake_with_a_body_or_another_method_is_none() {
    let server = echo_server(Config::new());
    let post = handshake("/async", "Content-Length: 0\r\n").replace("GET", "POST");
    assert_eq!(ask(&server, &post).status(), 405);
    let old = handshake("/async", "").replace("HTTP/1.1", "HTTP/1.0");
    assert!([400, 426, 505].contains(&ask(&server, &old).status()));
}

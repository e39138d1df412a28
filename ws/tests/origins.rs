//! Which pages may open a WebSocket.

use lakh_http::{App, StatusCode, middleware::ProxyHeaders, testing::TestServer};
use lakh_ws::{Config, WebSocket, WebSocketRoutes};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn app(config: Config) -> App {
    App::new().ws_with("/", config, async |_: WebSocket| {})
}

/// What a handshake with these fields is answered.
fn asked_by(server: &TestServer, fields: &[(&str, &str)]) -> StatusCode {
    let mut request = server
        .get("/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().status()
}

#[test]
fn pages_of_the_same_host_may_connect_and_those_of_others_may_not() {
    let server = TestServer::start(|_| app(Config::new()));
    let (host, own) = (server.addr().to_string(), format!("http://{}", server.addr()));
    assert_eq!(asked_by(&server, &[("host", &host), ("origin", &own)]), 101);
    assert_eq!(asked_by(&server, &[]), 101, "no browser");
    let longer = format!("{own}.example.com");
    for other in ["http://example.com", "http://127.0.0.1", "null", &longer] {
        assert_eq!(asked_by(&server, &[("host", &host), ("origin", other)]), 403, "{other}");
    }
}

#[test]
fn the_same_host_is_that_of_a_trusted_proxy() {
    let trust = || ProxyHeaders::trust(["127.0.0.1"]).and_host();
    let server = TestServer::start(move |_| app(Config::new()).wrap(trust()));
    let fields = [("x-forwarded-host", "example.com"), ("x-forwarded-for", "192.0.2.1")];
    let with = |origin: &'static str| [fields[0], fields[1], ("origin", origin)];
    assert_eq!(asked_by(&server, &with("https://example.com")), 101);
    assert_eq!(asked_by(&server, &with("http://localhost")), 403);
    // Whoever is no proxy has said nothing.
    let server = TestServer::start(|_| app(Config::new()));
    assert_eq!(asked_by(&server, &with("https://example.com")), 403);
}

#[test]
fn pages_that_are_listed_may_connect_in_place_of_the_same_host() {
    let server = TestServer::start(|_| app(Config::new().origins(["https://Example.com"])));
    assert_eq!(asked_by(&server, &[("origin", "https://example.com")]), 101);
    assert_eq!(asked_by(&server, &[("origin", "http://example.com")]), 403);
    assert_eq!(asked_by(&server, &[("origin", "http://localhost")]), 403, "its own host");
    let server = TestServer::start(|_| app(Config::new().any_origin()));
    assert_eq!(asked_by(&server, &[("origin", "http://example.com")]), 101);
}

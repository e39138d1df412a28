//! Who asks, by which id, and what the log is told.

mod common;

use common::{TestServer, get};
use lakh_http::{
    App, HandlerError, IntoResponse, Method, Request, Response, StatusCode,
    extract::{BaseUrl, ClientAddr},
    middleware::{AccessEntry, AccessLog, Next, ProxyHeaders, RequestId, SetRequestId},
};
use std::{
    collections::HashSet,
    future::pending,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

fn client_behind(proxies: ProxyHeaders, fields: &[(&str, &str)]) -> String {
    let server = TestServer::start(move |_| {
        App::new().get("/", |client: ClientAddr| client.0.to_string()).wrap(proxies.clone())
    });
    let mut client = server.connect();
    let own = client.stream.local_addr().unwrap().to_string();
    client.ask("GET", "/", fields, "").text().replace(&own, "peer")
}

#[test]
fn only_trusted_proxies_are_believed() {
    let trusting = || ProxyHeaders::trust(["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]);
    let xff = |value: &'static str| [("X-Forwarded-For", value)];
    for (value, client) in [
        ("192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1:99", "192.0.2.1:99"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1, 10.1.2.3", "192.0.2.1:0"),
        ("6.6.6.6, 192.0.2.1, 2001:db8:1::7,10.1.2.3", "192.0.2.1:0"),
        ("10.1.2.3", "10.1.2.3:0"),
        ("unknown, 10.1.2.3", "10.1.2.3:0"),
        ("6.6.6.6, unknown", "peer"),
        ("", "peer"),
    ] {
        assert_eq!(client_behind(trusting(), &xff(value)), client, "{value}");
    }
    assert_eq!(client_behind(trusting(), &[]), "peer");
    let both = [("X-Forwarded-For", "6.6.6.6, 192.0.2.1"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(client_behind(trusting(), &both), "192.0.2.1:0", "fields of one name are one list");
    let nobody = ProxyHeaders::trust(["192.0.2.1"]);
    assert_eq!(client_behind(nobody, &xff("6.6.6.6")), "peer");
    let private = ProxyHeaders::default().and_private_networks();
    assert_eq!(client_behind(private, &xff("192.0.2.1, 172.16.0.1, fd00::1")), "192.0.2.1:0");
}

#[test]
fn forwarded_is_read_in_the_place_of_the_other_field() {
    let trusting = || ProxyHeaders::trust(["127.0.0.1"]);
    let fields = [("Forwarded", "for=\"[2001:db8::1]:7\";proto=https"), ("X-Forwarded-For", "6.6.6.6")];
    assert_eq!(client_behind(trusting().forwarded(), &fields), "[2001:db8::1]:7");
    assert_eq!(client_behind(trusting(), &fields), "6.6.6.6:0");
    assert_eq!(client_behind(trusting().forwarded(), &fields[1..]), "peer");
}

fn base_behind(proxies: ProxyHeaders, fields: &[(&str, &str)]) -> String {
    let server = TestServer::start(move |_| {
        App::new().get("/", |base: BaseUrl| base.to_string()).wrap(proxies.clone())
    });
    server.connect().ask("GET", "/", fields, "").text().to_owned()
}

#[test]
fn scheme_and_host_are_those_that_a_trusted_proxy_tells() {
    let trusting = || ProxyHeaders::trust(["127.0.0.1", "10.0.0.0/8"]);
    let said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "example.com:8443")];
    let own = base_behind(trusting(), &[]);
    assert!(own.starts_with("http://"), "{own}");
    let https = own.replace("http://", "https://");
    assert_eq!(base_behind(ProxyHeaders::trust(["192.0.2.1"]).and_host(), &said), own, "nobody is trusted");
    assert_eq!(base_behind(trusting(), &said), https, "many proxies pass on what a client says of the host");
    assert_eq!(base_behind(trusting().and_host(), &said), "https://example.com:8443");
    for (scheme, told) in [("http, HTTPS", &https), ("https,http", &own), ("gopher", &own), ("", &own)] {
        assert_eq!(&base_behind(trusting(), &[("X-Forwarded-Proto", scheme)]), told, "{scheme}");
    }
    for host in ["a b", "a/b", "user@a", "", "\u{e9}"] {
        assert_eq!(base_behind(trusting().and_host(), &[("X-Forwarded-Host", host)]), own, "{host}");
    }
}

#[test]
fn forwarded_tells_the_scheme_and_host_of_the_outermost_trusted_proxy() {
    let trusting = || ProxyHeaders::trust(["127.0.0.1", "10.0.0.0/8"]).and_host().forwarded();
    let told = |value: &str| base_behind(trusting(), &[("Forwarded", value)]);
    let own = base_behind(trusting(), &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "x")]);
    assert!(own.starts_with("http://") && own != "http://x", "{own}");
    let forged = "for=6.6.6.6;proto=http;host=evil, ";
    let inner = ", for=10.0.0.1;proto=http;host=inner";
    let seen = "for=192.0.2.1;Proto=https;host=\"a.example:8443\"";
    assert_eq!(told(&format!("{forged}{seen}{inner}")), "https://a.example:8443");
    assert_eq!(told(&format!("{forged}{seen}")), "https://a.example:8443");
    assert_eq!(told("for=unknown;proto=https;host=a"), "https://a", "whoever it was");
    assert_eq!(told("for=192.0.2.1"), own);
    let nobody = ProxyHeaders::trust(["192.0.2.1"]).and_host().forwarded();
    assert_eq!(base_behind(nobody, &[("Forwarded", seen)]), own);
}

#[test]
fn a_request_without_a_host_has_no_base() {
    let server = TestServer::start(|_| App::new().get("/", |base: BaseUrl| base.to_string()));
    assert_eq!(server.exchange("GET / HTTP/1.0\r\n\r\n").status, 400);
}

#[test]
#[should_panic(expected = "an address or a network")]
fn a_proxy_that_is_no_network_is_found_at_the_start() {
    let _ = ProxyHeaders::trust(["10.0.0.0/99"]);
}

fn with_ids(ids: fn() -> SetRequestId) -> TestServer {
    TestServer::start(move |_| {
        App::new()
            .get("/", |id: RequestId| id.to_string())
            .get("/fails", || HandlerError::bad_request("no"))
            .wrap(ids())
    })
}

#[test]
fn every_request_has_an_id_of_its_own_and_its_answer_says_it() {
    let server = with_ids(SetRequestId::new);
    let mut client = server.connect();
    let mut seen = HashSet::new();
    for path in ["/", "/", "/fails", "/missing"] {
        let answer = client.ask("GET", path, &[("X-Request-Id", "forged")], "");
        let id = answer.field("x-request-id").unwrap().to_owned();
        assert!(path != "/" || answer.text() == id, "{id}");
        assert!(seen.insert(id), "no two are the same, and none is the client's: {seen:?}");
    }
    assert!(!seen.contains("forged"));
    let id = TestServer::start(|_| App::new().get("/", |id: RequestId| id.to_string())).exchange(get("/"));
    assert_eq!(id.status, 500, "nobody has set it");
}

#[test]
fn a_trusted_id_is_taken_over_if_it_is_harmless() {
    let server = with_ids(|| SetRequestId::new().trust_requests().with_header("X-Trace"));
    let mut client = server.connect();
    let mut id_for = |sent: &str| client.ask("GET", "/", &[("X-Trace", sent)], "").text().to_owned();
    for sent in ["a", "0af7-65:/+=@._", &"x".repeat(128)] {
        assert_eq!(id_for(sent), sent);
    }
    for sent in ["", "a b", "a\"", "\u{e9}", &"x".repeat(129)] {
        assert_ne!(id_for(sent), sent);
    }
    let answer = client.ask("GET", "/", &[], "");
    assert_eq!(answer.field("x-trace"), Some(answer.text()));
}

fn logged(app: fn() -> App) -> (TestServer, Receiver<AccessEntry>) {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        app()
            .wrap(ProxyHeaders::trust(["127.0.0.1"]))
            .wrap(SetRequestId::new().trust_requests())
            .wrap(AccessLog::new(move |entry| drop(tell.send(entry.clone()))))
    });
    (server, told)
}

fn next(told: &Receiver<AccessEntry>) -> AccessEntry {
    told.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn the_log_is_told_of_what_was_asked_and_answered() {
    let (server, told) = logged(|| App::new().post("/things/{id}", async |body: String| body));
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Request-Id", "abc"),
        ("Referer", "http://a/\"b"),
        ("User-Agent", "curl/8\\"),
    ];
    let mut client = server.connect();
    client.ask("POST", "/things/a%20b?page=2", &fields, "text");
    let entry = next(&told);
    assert_eq!(*entry.method(), Method::POST);
    assert_eq!((entry.path(), entry.target()), ("/things/a%20b", "/things/a%20b?page=2"));
    assert_eq!((entry.status(), entry.bytes()), (Some(StatusCode::OK), Some(4)));
    assert_eq!(entry.client().unwrap().to_string(), "192.0.2.1");
    assert_eq!(entry.request_id().unwrap().as_str(), "abc");
    let (common, combined) = (entry.common().to_string(), entry.combined().to_string());
    let (start, rest) = common.split_once('[').unwrap();
    let (time, end) = rest.split_once(']').unwrap();
    assert_eq!((start, end), ("192.0.2.1 - - ", " \"POST /things/a%20b?page=2 HTTP/1.1\" 200 4"));
    assert!(time.ends_with(" +0000") && time.len() == 26, "{time}");
    assert_eq!(combined, format!("{common} \"http://a/\\x22b\" \"curl/8\\x5C\""));
    client.send("GET http://other/x?y HTTP/1.1\r\nHost: other\r\n\r\n");
    client.answer();
    let entry = next(&told);
    assert_eq!((entry.path(), entry.target()), ("/x", "/x?y"), "the absolute form has them in its middle");
    assert!(entry.combined().to_string().ends_with(" 404 9 \"-\" \"-\""), "{}", entry.combined());
}

#[test]
fn the_log_is_told_of_404_405_options_and_errors() {
    let (server, told) = logged(|| App::new().get("/", || HandlerError::bad_request("no")));
    let mut client = server.connect();
    for (method, path, status) in
        [("GET", "/", 400), ("GET", "/missing", 404), ("PUT", "/", 405), ("OPTIONS", "/", 204)]
    {
        assert_eq!(client.ask(method, path, &[], "").status, status);
        let entry = next(&told);
        assert_eq!((entry.method().as_str(), entry.path()), (method, path));
        assert_eq!(entry.status().unwrap().as_u16(), status);
    }
}

#[test]
fn the_log_is_told_of_handlers_that_never_answered() {
    let (server, told) = logged(|| {
        App::new().get("/never", pending::<&str>).get("/panics", async || -> &str { panic!("for the test") })
    });
    let mut client = server.connect();
    client.send(get("/never"));
    server.wait_in_flight(1);
    server.settle();
    let linger = socket2::SockRef::from(&client.stream);
    linger.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let entry = next(&told);
    assert_eq!((entry.path(), entry.status(), entry.bytes()), ("/never", None, None));
    assert!(entry.common().to_string().ends_with("\"GET /never HTTP/1.1\" - -"));
    assert_eq!(server.exchange(get("/panics")).status, 500);
    assert_eq!(next(&told).status(), None);
}

#[test]
fn a_log_that_panics_harms_no_answer_even_of_a_handler_that_panics() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/", || "fine")
            .get("/panics", || -> &str { panic!("for the test") })
            .wrap(AccessLog::new(|entry: &AccessEntry| panic!("no room for {}", entry.path())))
    });
    let mut client = server.connect();
    assert_eq!(client.ask("GET", "/panics", &[], "").status, 500);
    assert_eq!(client.ask("GET", "/", &[], "").text(), "fine");
}

#[test]
fn middleware_runs_from_the_outside_in_and_back() {
    let server = TestServer::start(|_| {
        async fn outer(request: Request, next: Next) -> Response {
            marked(next.run(request).await, "outer")
        }
        async fn inner(request: Request, next: Next) -> impl IntoResponse {
            marked(next.run(request).await, "inner")
        }
        App::new().get("/", || "x").wrap(outer).wrap(inner)
    });
    assert_eq!(server.exchange(get("/")).field("x-order"), Some("inner outer"));
}

fn marked(mut response: Response, name: &str) -> Response {
    let order = match response.header("x-order") {
        Some(before) => format!("{} {name}", before.to_str().unwrap()),
        None => name.to_owned(),
    };
    response.set_header("x-order".parse().unwrap(), order.parse().unwrap());
    response
}

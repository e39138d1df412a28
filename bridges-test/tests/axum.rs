//! A `Router` of axum in an `App`, and layers of tower-http around both.

#[path = "../../http/tests/common/mod.rs"]
mod common;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Form, MatchedPath, Path, Query, State},
    routing::{get, post},
};
use common::{TestServer, get as request};
use lakh::http::{
    App, HandlerError, HeaderName, HeaderValue, Limits, StatusCode,
    extract::{ClientAddr, Extension},
    header,
    tower::{SendBody, tower_layer, tower_service},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    future::pending,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::{
    compression::CompressionLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

#[derive(Clone, Default)]
struct Visits(Arc<AtomicUsize>);

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

fn router(visits: &Visits) -> Router {
    let limited = Router::new()
        .route("/never", get(pending::<()>))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(20)));
    Router::new()
        .route("/", get("root"))
        .route(
            "/visits",
            get(async |State(Visits(n)): State<Visits>| n.fetch_add(1, Ordering::SeqCst).to_string()),
        )
        .route(
            "/users/{id}",
            get(async |Path(id): Path<u64>, path: MatchedPath| format!("{id} {}", path.as_str())),
        )
        .route("/query", get(async |Query(query): Query<HashMap<String, String>>| Json(query)))
        .route("/json", post(async |Json(user): Json<User>| (StatusCode::CREATED, user.name)))
        .route("/form", post(async |Form(user): Form<User>| user.name))
        .route("/whole", post(async |body: Bytes| body.len().to_string()))
        .route("/echo", post(async |body: Body| body))
        .route(
            "/spawned",
            post(async |body: Bytes| {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokio::spawn(async move { format!("{} {:?}", body.len(), thread::current().name()) })
                    .await
                    .unwrap()
            }),
        )
        .route(
            "/remote",
            post(async |body: Body| {
                // Read on the helper's thread, while this one waits.
                let read = axum::body::to_bytes(body, usize::MAX);
                tokio::spawn(read)
                    .await
                    .unwrap()
                    .map(|bytes| bytes.len().to_string())
                    .map_err(|e| e.to_string())
            }),
        )
        .route("/panic", get(async || -> String { panic!("on purpose") }))
        .merge(limited)
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-axum"),
            HeaderValue::from_static("1"),
        ))
        .with_state(visits.clone())
}

fn server() -> TestServer {
    let visits = Visits::default();
    TestServer::with_limits(Limits { body: 64 << 20, ..Limits::default() }, move |_| {
        App::new()
            .get("/lakh", || "lakh")
            .nest_service("/v1", router(&visits))
            .fallback(tower_service(router(&visits)))
    })
}

fn post_of(path: &str, kind: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_router_answers_below_its_prefix_and_for_the_rest() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.exchange(request("/lakh")).text(), "lakh");
    for prefix in ["", "/v1"] {
        let mut ask = |path: &str| client.exchange(request(&format!("{prefix}{path}")));
        let root = ask("/");
        assert_eq!(
            (root.text(), root.field("x-axum"), root.field("content-length")),
            ("root", Some("1"), Some("4"))
        );
        assert_eq!(ask("/users/7").text(), "7 /users/{id}");
        assert_eq!(ask("/query?a=b%20c").text(), r#"{"a":"b c"}"#);
        assert_eq!((ask("/users/x").status, ask("/nowhere").status), (400, 404));
    }
    assert_eq!(client.exchange(request("/v1")).text(), "root");
    assert_eq!(client.exchange("DELETE /json HTTP/1.1\r\nHost: a\r\n\r\n").field("allow"), Some("POST"));
    client.send("HEAD /v1/users/7 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("13"));
    let visits = ["/visits", "/v1/visits"].map(|path| client.exchange(request(path)).text().to_owned());
    assert_eq!(visits, ["0", "1"], "the state is one");
}

#[test]
fn extractors_get_their_bodies() {
    let server = server();
    let mut client = server.connect();
    let json = client.exchange(post_of("/json", "application/json", r#"{"name":"Ada"}"#));
    assert_eq!((json.status, json.text()), (201, "Ada"));
    assert_eq!(client.exchange(post_of("/json", "application/json", "{")).status, 400);
    assert_eq!(
        client.exchange(post_of("/form", "application/x-www-form-urlencoded", "name=Ada")).text(),
        "Ada"
    );
    for length in [0, 1, 1 << 20] {
        let body = "x".repeat(length);
        assert_eq!(client.exchange(post_of("/whole", "text/plain", &body)).text(), length.to_string());
    }
    assert_eq!(
        client.exchange(post_of("/whole", "text/plain", &"x".repeat(3 << 20))).status,
        413,
        "axum's limit"
    );
}

#[test]
fn bodies_stream_through_a_router_both_ways() {
    let server = server();
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.take(9), b"4\r\nping\r\n", "before the request has ended");
    client.send("4\r\npong\r\n0\r\n\r\n");
    assert_eq!(client.take(14), b"4\r\npong\r\n0\r\n\r\n");
    let mut sender = client.stream.try_clone().unwrap();
    let body: String = (0..8_000_000_u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let echoed = thread::scope(|scope| {
        scope.spawn(|| sender.write_all(post_of("/v1/echo", "text/plain", &body).as_bytes()).unwrap());
        client.answer()
    });
    assert!(echoed.text() == body);
}

#[test]
fn handlers_of_axum_find_tokio() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.exchange(post_of("/spawned", "text/plain", "abc")).text(), r#"3 Some("lakh-tokio")"#);
    let body = "x".repeat(5_000_000);
    assert_eq!(client.exchange(post_of("/remote", "text/plain", &body)).text(), "5000000");
    assert_eq!(client.exchange(request("/never")).status, 504);
    assert_eq!(client.exchange(request("/panic")).status, 500);
    assert_eq!(client.exchange(request("/v1/")).text(), "root", "the connection is kept");
}

#[test]
fn lakhs_limits_hold_for_a_router() {
    let limits = Limits { body: 1000, ..Limits::default() };
    let server =
        TestServer::with_limits(limits, |_| App::new().fallback(tower_service(router(&Visits::default()))));
    let announced = server.exchange(post_of("/whole", "text/plain", &"x".repeat(1001)));
    assert_eq!(announced.status, 413);
    let chunks = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let chunked = format!("POST /remote HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let chunked = server.exchange(chunked);
    assert!(chunked.text().contains("longer than the limit"), "{chunked:?}");
}

/// Tells when it is dropped.
struct Token(mpsc::Sender<()>);

impl Drop for Token {
    fn drop(&mut self) {
        // It may want to spawn, as pools of connections do.
        drop(tokio::spawn(async {}));
        self.0.send(()).unwrap();
    }
}

#[test]
fn a_handler_of_axum_whose_client_resets_is_dropped_in_tokios_context() {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        let wait = async move || {
            let _token = Token(tell.clone());
            pending::<&'static str>().await
        };
        App::new().fallback(tower_service(Router::new().route("/", get(wait))))
    });
    let mut client = server.connect();
    client.send(request("/"));
    server.wait_in_flight(1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    server.wait_in_flight(0);
}

#[test]
fn who_has_sent_it_reaches_connect_info() {
    let server = TestServer::start(|_| {
        let peer = get(async |ConnectInfo(addr): ConnectInfo<SocketAddr>| addr.to_string());
        let service = Router::new().route("/", peer).map_request(|mut request: http::Request<SendBody>| {
            if let Some(&ClientAddr(addr)) = request.extensions().get() {
                request.extensions_mut().insert(ConnectInfo(addr));
            }
            request
        });
        App::new().fallback(tower_service(service))
    });
    let mut client = server.connect();
    let addr = client.stream.local_addr().unwrap().to_string();
    assert_eq!(client.exchange(request("/")).text(), addr);
}

#[derive(Clone)]
struct Seven;

impl MakeRequestId for Seven {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        Some(RequestId::new(HeaderValue::from_static("seven")))
    }
}

#[test]
fn layers_of_tower_http_wrap_handlers_of_lakh() {
    let server = TestServer::start(|_| {
        let id = HeaderName::from_static("x-request-id");
        let layers = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(id.clone(), Seven))
            .layer(PropagateRequestIdLayer::new(id))
            .layer(SetResponseHeaderLayer::overriding(
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-store"),
            ));
        let in_time =
            TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(20));
        let request_id = |Extension(left): Extension<http::Extensions>| {
            left.get::<RequestId>().unwrap().header_value().to_str().unwrap().to_owned()
        };
        App::new()
            .get("/id", request_id)
            .get("/never", pending::<&'static str>)
            .wrap_route(tower_layer(in_time))
            .post("/short", async |body: Bytes| body.len().to_string())
            .wrap_route(tower_layer(RequestBodyLimitLayer::new(10)))
            .get("/long", || "x".repeat(100_000))
            .wrap(tower_layer(CompressionLayer::new()))
            .wrap(tower_layer(layers))
    });
    let mut client = server.connect();
    let id = client.exchange(request("/id"));
    assert_eq!(
        (id.text(), id.field("x-request-id"), id.field("cache-control")),
        ("seven", Some("seven"), Some("no-store"))
    );
    assert_eq!(client.exchange(request("/never")).status, 503);
    assert_eq!(client.exchange(post_of("/short", "text/plain", "0123456789")).text(), "10");
    assert_eq!(client.exchange(post_of("/short", "text/plain", "01234567890")).status, 413);
    let plain = client.exchange(request("/long"));
    assert_eq!((plain.body.len(), plain.field("content-length")), (100_000, Some("100000")));
    let packed = client.exchange("GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((packed.field("content-encoding"), packed.field("content-length")), (Some("gzip"), None));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < 1000);
    assert_eq!(client.exchange(request("/nowhere")).field("cache-control"), Some("no-store"), "404, too");
}

#[test]
fn a_limit_in_a_layer_counts_for_all_that_it_is_wrapped_around() {
    let server = TestServer::start(|_| {
        let layer = ServiceBuilder::new().load_shed().concurrency_limit(1).into_inner();
        App::new()
            .get("/a", pending::<&'static str>)
            .get("/b", || "b")
            .wrap(tower_layer(layer))
            .on_error(|error: &HandlerError| (error.status(), error.cause().unwrap().to_string()))
    });
    let mut waiting = server.connect();
    waiting.send(request("/a"));
    server.wait_in_flight(1);
    server.settle();
    let refused = server.exchange(request("/b"));
    assert_eq!((refused.status, refused.text()), (500, "service overloaded"));
    socket2::SockRef::from(&waiting.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(waiting);
    server.wait_in_flight(0);
    assert_eq!(server.exchange(request("/b")).text(), "b");
}

#[test]
fn files_of_lakh_are_compressed_by_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long.txt"), "lakh ".repeat(100_000)).unwrap();
    let files = folder.path().to_owned();
    let server = TestServer::start(move |_| {
        App::new().files("/", lakh::http::Files::dir(&files)).wrap(tower_layer(CompressionLayer::new()))
    });
    let mut client = server.connect();
    assert_eq!(client.exchange(request("/long.txt")).body.len(), 500_000);
    let packed = client.exchange("GET /long.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 10_000);
}

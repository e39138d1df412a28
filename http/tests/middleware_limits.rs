//! How much, how long, how often; and panics.

mod common;

use common::{Answer, TestServer, eventually};
use lakh_http::{
    App, Bytes, HandlerError, HandlerResult, Head, Request, StatusCode,
    middleware::{BodyLimit, CatchPanic, ProxyHeaders, RateLimit, Timeout},
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Counts itself when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_handler_that_takes_too_long_is_dropped_and_answered_for() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&counted);
        App::new()
            .get("/never", move || {
                let dropped = Dropped(Arc::clone(&count));
                async move {
                    let _dropped = dropped;
                    pending::<()>().await;
                }
            })
            .wrap_route(Timeout::new(Duration::from_millis(1)))
            .get("/upstream", pending::<&str>)
            .wrap_route(Timeout::new(Duration::ZERO).with_status(StatusCode::GATEWAY_TIMEOUT))
            .get("/at-once", || "here")
            .wrap_route(Timeout::new(Duration::ZERO))
            .on_error(|error: &HandlerError| (error.status(), error.to_string()))
    });
    let mut client = server.connect();
    let answer = client.ask("GET", "/never", &[], "");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the time was over"), "on_error has the cause: {}", answer.text());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(client.ask("GET", "/upstream", &[], "").status, 504);
    assert_eq!(client.ask("GET", "/at-once", &[], "").text(), "here");
}

#[test]
fn a_body_over_the_limit_is_413_announced_or_not() {
    let server = TestServer::start(|_| {
        let echo = async |body: Bytes| body;
        App::new().post("/", echo).post("/unread", async || "unread").wrap(BodyLimit::new(5))
    });
    let mut client = server.connect();
    assert_eq!(client.ask("POST", "/", &[], "12345").text(), "12345");
    assert_eq!(client.ask("POST", "/", &[], "123456").status, 413);
    let chunked = |path: &str, body: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = server.connect();
        client.exchange(format!("{request}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
    };
    assert_eq!(chunked("/", "12345").text(), "12345");
    assert_eq!(chunked("/", "123456").status, 413);
    assert_eq!(chunked("/unread", "123456").text(), "unread", "who does not read need not refuse");
}

#[test]
fn of_nested_limits_the_inner_one_is_told() {
    let server = TestServer::start(|_| limited(1).wrap_route(RateLimit::per_client(100, HOUR)));
    let outer = TestServer::start(|_| {
        App::new()
            .get("/", || "hello")
            .wrap_route(RateLimit::per_client(1, HOUR))
            .wrap(RateLimit::per_client(100, HOUR))
    });
    ask(&outer, "/", &[]);
    let refused = ask(&outer, "/", &[]);
    assert_eq!((refused.status, refused.field("ratelimit-policy")), (429, Some("\"default\";q=1;w=3600")));
    assert_eq!(parameter(refused.field("ratelimit").unwrap(), "r="), 0);
    // Refused further out, the inner limit is not asked.
    ask(&server, "/", &[]);
    let refused = ask(&server, "/", &[]);
    assert_eq!((refused.status, refused.field("ratelimit-policy")), (429, Some("\"default\";q=1;w=3600")));
}

fn limited(requests: u32) -> App {
    App::new().get("/", || "hello").wrap(RateLimit::per_client(requests, HOUR))
}

fn ask(server: &TestServer, path: &str, fields: &[(&str, &str)]) -> Answer {
    server.connect().ask("GET", path, fields, "")
}

/// A number behind `key` in a list of parameters.
fn parameter(field: &str, key: &str) -> u64 {
    field.split(';').find_map(|part| part.strip_prefix(key)).unwrap().parse().unwrap()
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let server = TestServer::start(|_| limited(2));
    for left in [1, 0] {
        let answer = ask(&server, "/", &[]);
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.field("ratelimit-policy"), Some("\"default\";q=2;w=3600"));
        assert_eq!(parameter(answer.field("ratelimit").unwrap(), "r="), left);
        assert_eq!(answer.field("retry-after"), None);
    }
    // Not even a path that does not exist.
    for path in ["/", "/missing"] {
        let answer = ask(&server, path, &[]);
        assert_eq!(answer.status, 429);
        let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=1800).contains(&wait), "half an hour for each, less what has passed: {wait}");
        assert_eq!(parameter(answer.field("ratelimit").unwrap(), "t="), wait);
    }
}

#[test]
fn clients_behind_a_trusted_proxy_have_buckets_of_their_own() {
    let server = TestServer::start(|_| limited(1).wrap(ProxyHeaders::trust(["127.0.0.1"])));
    // What is wrapped first is outermost: the limit saw the proxy.
    assert_eq!(ask(&server, "/", &[("X-Forwarded-For", "192.0.2.1")]).status, 200);
    assert_eq!(ask(&server, "/", &[("X-Forwarded-For", "192.0.2.2")]).status, 429);
    let server = TestServer::start(|_| {
        App::new()
            .get("/", || "hello")
            .wrap(ProxyHeaders::trust(["127.0.0.1"]))
            .wrap(RateLimit::per_client(1, HOUR))
    });
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
    ] {
        assert_eq!(ask(&server, "/", &[("X-Forwarded-For", client)]).status, status, "{client}");
    }
}

#[test]
fn any_part_of_the_head_can_be_the_key_and_none_is_no_limit() {
    let server = TestServer::start(|_| {
        let key = |head: &Head<'_>| head.header("x-key").map(<[u8]>::to_vec);
        App::new()
            .get("/", || "hello")
            .wrap(RateLimit::by(1, HOUR, key).keys(1000))
            .on_error(|error: &HandlerError| (error.status(), "rendered"))
    });
    assert_eq!(ask(&server, "/", &[("X-Key", "a")]).status, 200);
    let refused = ask(&server, "/", &[("X-Key", "a")]);
    assert_eq!((refused.status, refused.text()), (429, "rendered"));
    assert!(refused.field("retry-after").is_some() && refused.field("ratelimit").is_some());
    assert_eq!(ask(&server, "/", &[("X-Key", "b")]).status, 200);
    for _ in 0..3 {
        let answer = ask(&server, "/", &[]);
        assert_eq!((answer.status, answer.field("ratelimit")), (200, None));
    }
}

fn panics(head: &Head<'_>) -> &'static str {
    panic!("at {}", head.path())
}

async fn panics_later(_: Request) -> HandlerResult<&'static str> {
    lakh_core::sleep(Duration::ZERO).await;
    panic!("later")
}

/// Panics when a handler that has answered is done with.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

fn panicking() -> App {
    App::new()
        .get("/plain", panics)
        .get("/later", panics_later)
        .get("/dropped", || {
            let mut kept = Some(PanicsWhenDropped);
            std::future::poll_fn(move |_| {
                // Keeps it until the future is dropped.
                let _ = kept.as_mut();
                std::task::Poll::Ready("answered")
            })
        })
        .get("/", || "fine")
        .on_error(|error: &HandlerError| {
            (error.status(), error.cause().map_or("no cause".to_owned(), ToString::to_string))
        })
}

#[test]
fn a_panic_becomes_an_error_with_its_message_as_the_cause() {
    let server = TestServer::start(|_| panicking().wrap(CatchPanic::new()));
    let mut client = server.connect();
    for (path, text) in [
        ("/plain", "a panic: at /plain"),
        ("/later", "a panic: later"),
        ("/dropped", "a panic: in a destructor"),
    ] {
        let answer = client.ask("GET", path, &[], "");
        assert_eq!((answer.status, answer.text()), (500, text));
    }
    assert_eq!(client.ask("GET", "/", &[], "").text(), "fine", "the connection goes on");
    let answer = TestServer::start(|_| panicking()).connect().ask("GET", "/plain", &[], "");
    assert_eq!((answer.status, answer.text()), (500, "no cause"), "without it");
}

#[test]
fn the_service_may_choose_the_error_of_a_panic() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&counted);
        App::new().get("/", panics).wrap(CatchPanic::with(move |message| {
            assert_eq!(message, "at /");
            count.fetch_add(1, Ordering::SeqCst);
            HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, "come again")
        }))
    });
    let answer = ask(&server, "/", &[]);
    assert_eq!((answer.status, answer.text()), (503, "come again"));
    eventually("one call", || count.load(Ordering::SeqCst) == 1);
}

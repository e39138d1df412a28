//! Which handler answers, over real sockets.

mod common;

use common::{TestServer, get};
use lakh_core::pool::{JobError, Kind, Lane, LaneConfig, PoolConfig, PoolFull};
use lakh_http::{App, HandlerResult, Head, Method, Request, Server};

fn named(name: &'static str) -> impl Fn(&Head<'_>) -> String + use<> {
    move |head| format!("{name}: {}", head.param(name).unwrap_or_default())
}

fn app() -> App {
    App::new()
        .get("/", || "root")
        .get("/users/{id}", named("id"))
        .get("/users/me", || "fixed")
        .get("/users/{id}/posts/{post}", |head: &Head<'_>| {
            format!("{} {}", head.param("id").unwrap(), head.param("post").unwrap())
        })
        .get("/files/{*path}", named("path"))
        .get("/later/{name}", async |request: Request| request.head().param("name").unwrap().into_owned())
        .get("/raw/{name}", |head: &Head<'_>| head.raw_param("name").unwrap().to_owned())
        .get("/query", |head: &Head<'_>| format!("{:?}", head.query()))
        .post("/both", || "post")
        .get("/both", || "get")
        .any("/any", |head: &Head<'_>| head.method().to_string())
        .get("/own-head", || "get")
        .route(Method::HEAD, "/own-head", || ())
        .route(Method::from_bytes(b"PURGE").unwrap(), "/purge", || "purged")
}

#[test]
fn paths_find_their_handlers_and_parameters() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    for (path, answer) in [
        ("/", "root"),
        ("/?q", "root"),
        ("/users/7", "id: 7"),
        ("/users/me", "fixed"),
        ("/users/7/posts/9", "7 9"),
        ("/users/a%20b", "id: a b"),
        ("/users/a%2Fb", "id: a/b"),
        ("/users/%E2%82%AC", "id: \u{20ac}"),
        ("/users/%FF", "id: \u{fffd}"),
        ("/users/100%", "id: 100%"),
        ("/raw/a%20b", "a%20b"),
        ("/files/a", "path: a"),
        ("/files/a/b/c.txt", "path: a/b/c.txt"),
        ("/files/a%2F..%2Fb", "path: a/../b"),
        ("/later/x%2By", "x+y"),
        ("/query", "None"),
        ("/query?", "Some(\"\")"),
        ("/query?a=b?c", "Some(\"a=b?c\")"),
        ("http://other/users/7", "id: 7"),
    ] {
        assert_eq!(client.exchange(get(path)).text(), answer, "{path}");
    }
    for path in ["/users", "/users/", "/users/7/", "/missing", "/files", "//", "/users/7/posts"] {
        let answer = client.exchange(get(path));
        assert_eq!((answer.status, answer.text()), (404, "Not Found"), "{path}");
    }
}

#[test]
fn methods_find_their_handlers_or_405_with_what_is_allowed() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let mut ask = |method: &str, path: &str| {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut answer = client.head();
        if method != "HEAD" {
            answer.body = client.body(&answer);
        }
        let allow = answer.field("allow").map(str::to_owned);
        (answer.status, answer.text().to_owned(), allow)
    };
    let ok = |text: &str| (200, text.to_owned(), None);
    assert_eq!(ask("GET", "/both"), ok("get"));
    assert_eq!(ask("POST", "/both"), ok("post"));
    assert_eq!(ask("HEAD", "/both"), ok(""));
    assert_eq!(ask("HEAD", "/own-head"), ok(""));
    assert_eq!(ask("PURGE", "/purge"), ok("purged"));
    for method in ["GET", "POST", "DELETE", "OPTIONS", "BREW"] {
        assert_eq!(ask(method, "/any"), ok(method));
    }
    let refused = |allow: &str| (405, "Method Not Allowed".to_owned(), Some(allow.to_owned()));
    assert_eq!(ask("DELETE", "/both"), refused("POST, GET, HEAD, OPTIONS"));
    assert_eq!(ask("get", "/"), refused("GET, HEAD, OPTIONS"), "methods have a case");
    assert_eq!(ask("GET", "/purge"), refused("PURGE, OPTIONS"));
    assert_eq!(ask("HEAD", "/purge"), (405, String::new(), Some("PURGE, OPTIONS".to_owned())));
    assert_eq!(ask("OPTIONS", "/both"), (204, String::new(), Some("POST, GET, HEAD, OPTIONS".to_owned())));
    assert_eq!(ask("OPTIONS", "/missing").0, 404);
    let everything = Some("GET, HEAD, OPTIONS, POST, PURGE".to_owned());
    assert_eq!(ask("OPTIONS", "*"), (204, String::new(), everything));
}

#[test]
fn the_fallback_answers_what_no_path_fits() {
    let server = TestServer::start(|_| app().fallback(|head: &Head<'_>| format!("no {}", head.path())));
    assert_eq!(server.exchange(get("/missing?q")).text(), "no /missing");
    assert_eq!(server.exchange("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").text(), "no /pot");
    assert_eq!(server.exchange("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").status, 405, "this path exists");
}

#[test]
fn a_request_has_what_was_sent() {
    let server = TestServer::start(|_| {
        App::new().get("/{name}", |head: &Head<'_>| {
            let fields: Vec<_> = head
                .headers()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            format!(
                "{} {} {:?} {} {} {:?} {}",
                head.target(),
                head.path(),
                head.version(),
                head.host(),
                fields.join(","),
                head.header("x-a").map(String::from_utf8_lossy),
                head.peer_addr().unwrap().ip()
            )
        })
    });
    let answer = server.exchange("GET /n?q=1 HTTP/1.1\r\nHost: h:1\r\nX-A: 1 \r\nx-a:2\r\n\r\n");
    assert_eq!(answer.text(), "/n?q=1 /n HTTP/1.1 h:1 Host=h:1,X-A=1,x-a=2 Some(\"1\") 127.0.0.1");
}

#[test]
fn a_request_that_was_kept_still_knows_its_peer() {
    let server = TestServer::start(|_| {
        App::new().get("/", async |request: Request| {
            lakh_core::yield_now().await;
            let head = request.head();
            assert_eq!(head.client_addr().unwrap(), head.peer_addr().unwrap());
            head.peer_addr().unwrap().to_string()
        })
    });
    let mut client = server.connect();
    assert_eq!(client.exchange(get("/")).text(), client.stream.local_addr().unwrap().to_string());
}

/// What a handler gives whose work the pool does not take, or loses.
#[test]
fn a_full_pool_is_503_with_retry_after_and_a_job_that_panics_500() {
    let full = || -> Result<(), PoolFull> {
        let pool = lakh_core::current().pool().clone();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let running = pool.run(Lane::USER, move || _ = told.recv()).unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match pool.run(Lane::USER, || ()) {
                Ok(job) => waiting.push(job),
                Err(refused) => break refused,
            }
            assert!(waiting.len() < 10, "the lane has no limit");
        };
        drop((running, tell));
        Err(refused)
    };
    let panics = async || -> Result<(), JobError> {
        let job = lakh_core::current().pool().run(Lane::CPU, || panic!("on purpose: a job")).unwrap();
        job.await
    };
    let blocks = async || -> HandlerResult<()> {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let running = lakh_core::blocking(move || _ = told.recv());
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.push(lakh_core::blocking(|| ()));
        }
        let refused = waiting.pop().unwrap().await;
        drop((running, tell));
        Ok(refused?)
    };
    let blocks_and_panics =
        async || -> HandlerResult<()> { Ok(lakh_core::blocking(|| panic!("on purpose: blocking")).await?) };
    let mut config = PoolConfig::new(1);
    config.set_lane(Lane::USER, LaneConfig::new(Kind::Io).cap(1).queue_limit(1));
    let server = Server::new(move |_| {
        App::new()
            .get("/full", full)
            .get("/panics", panics)
            .get("/blocking/full", blocks)
            .get("/blocking/panics", blocks_and_panics)
    });
    let running = server.shards(1).pool(config).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client = common::Client::connect(running.addrs()[0]);
    for path in ["/full", "/blocking/full"] {
        let answer = client.exchange(get(path));
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{path}");
    }
    for path in ["/panics", "/blocking/panics"] {
        assert_eq!(client.exchange(get(path)).status, 500, "{path}");
    }
}

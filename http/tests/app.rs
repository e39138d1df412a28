//! How apps are put together, over the wire: nesting, merging, hosts, middleware, limits, errors, the end.

mod common;

use common::{Answer, Client, TestServer, eventually, get};
use lakh_http::{
    App, Body, Bytes, Files, HandlerError, HandlerResult, Head, HeaderMap, HeaderValue, IntoResponse, Limits,
    Request, Response, RouteLimits, StatusCode,
    extract::{Path, State},
    header,
    middleware::Next,
};
use std::{
    cell::Cell,
    convert::Infallible,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    time::Duration,
};

fn ask(server: &TestServer, method: &str, path: &str) -> Answer {
    server.connect().ask(method, path, &[], "")
}

fn at_host(server: &TestServer, host: &str, path: &str) -> Answer {
    server.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// Middleware that adds its name to `x-order` on the way back, so that the innermost stands first.
macro_rules! mark {
    ($name:ident) => {
        async fn $name(request: Request, next: Next) -> Response {
            let mut response = next.run(request).await;
            let value = HeaderValue::from_static(stringify!($name));
            response.append_header("x-order".parse().unwrap(), value);
            response
        }
    };
}
mark!(a);
mark!(b);
mark!(c);
mark!(d);

fn order(answer: &Answer) -> String {
    let marks = answer.fields.iter().filter(|(name, _)| name == "x-order");
    marks.map(|(_, value)| &**value).collect()
}

#[test]
fn a_nested_app_answers_below_its_prefix_with_its_own_state() {
    let server = TestServer::start(|_| {
        let users = App::with_state("users".to_owned())
            .get("/", |State(state): State<String>| format!("root of {state}"))
            .get("/{id}", |State(state): State<String>, Path(id): Path<u32>| format!("{id} of {state}"))
            .get("/path", |head: &Head<'_>| head.path().to_owned());
        let deep =
            App::with_state(7_u8).get("/seven", |State(n): State<u8>| n.to_string()).nest("/users", users);
        App::new().get("/", || "outer").nest("/api/{version}", deep)
    });
    for (path, text) in [
        ("/", "outer"),
        ("/api/v1/seven", "7"),
        ("/api/v1/users", "root of users"),
        ("/api/v1/users/path", "/api/v1/users/path"),
    ] {
        assert_eq!(ask(&server, "GET", path).text(), text, "{path}");
    }
    for path in ["/api/v1", "/api/v1/", "/api/v1/users/", "/users", "/api/v1/users/1/2"] {
        assert_eq!(ask(&server, "GET", path).status, 404, "{path}");
    }
}

#[test]
fn parameters_of_the_prefix_and_of_the_route_are_one_list() {
    let server = TestServer::start(|_| {
        let posts = App::new()
            .get("/posts/{post}", |Path((user, post)): Path<(String, u32)>| format!("{user} {post}"));
        App::new().nest("/users/{user}", posts)
    });
    assert_eq!(ask(&server, "GET", "/users/ada/posts/9").text(), "ada 9");
    let answer = ask(&server, "GET", "/users/ada/posts/x");
    assert_eq!((answer.status, answer.text()), (404, "`post` is not a number of 32 bits, 0 or more: \"x\""));
}

#[test]
fn a_nested_fallback_is_for_what_is_below_the_prefix() {
    let server = TestServer::start(|_| {
        let api = App::new()
            .get("/here", || "here")
            .fallback(|head: &Head<'_>| (StatusCode::NOT_FOUND, format!("api has no {}", head.path())))
            .wrap(a);
        App::new().nest("/api", api).fallback(|| (StatusCode::NOT_FOUND, "outer")).wrap(b)
    });
    for (path, text, marks) in [
        ("/api/here", "here", "ab"),
        ("/api/x", "api has no /api/x", "ab"),
        ("/api/x/y", "api has no /api/x/y", "ab"),
        ("/api/", "api has no /api/", "ab"),
        ("/api", "outer", "b"),
        ("/apix", "outer", "b"),
    ] {
        let answer = ask(&server, "GET", path);
        assert_eq!((answer.text(), &*order(&answer)), (text, marks), "{path}");
    }
    assert_eq!(ask(&server, "DELETE", "/api/here").status, 405, "this path exists");
}

#[test]
fn merged_apps_share_paths_and_405_tells_of_all_methods() {
    let server = TestServer::start(|_| {
        let reading = App::with_state("read").get("/x", |State(state): State<&'static str>| state);
        let writing = App::with_state("write")
            .post("/x", |State(state): State<&'static str>| state)
            .put("/x", || "put")
            .get("/y", || "y")
            .wrap(a);
        App::new().delete("/x", || "deleted").merge(reading).merge(writing).fallback(|| "fallback")
    });
    for (method, text, marks) in
        [("GET", "read", ""), ("POST", "write", "a"), ("PUT", "put", "a"), ("DELETE", "deleted", "")]
    {
        let answer = ask(&server, method, "/x");
        assert_eq!((answer.text(), &*order(&answer)), (text, marks), "{method}");
    }
    let answer = ask(&server, "PATCH", "/x");
    let allow = "DELETE, GET, POST, PUT, HEAD, OPTIONS";
    assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)));
    let answer = ask(&server, "OPTIONS", "/x");
    assert_eq!((answer.status, answer.field("allow")), (204, Some(allow)));
    let answer = ask(&server, "PATCH", "/y");
    assert_eq!((answer.status, &*order(&answer)), (405, "a"), "405 of a merged app passes its middleware");
    assert_eq!(ask(&server, "GET", "/z").text(), "fallback");
}

#[test]
fn a_merged_fallback_fills_the_place_of_none() {
    let server = TestServer::start(|_| {
        let first = App::new().fallback(|| "first").wrap(a);
        App::new().merge(first).merge(App::new().fallback(|| "second")).get("/", || "root")
    });
    let answer = ask(&server, "GET", "/missing");
    assert_eq!((answer.text(), &*order(&answer)), ("first", "a"));
    assert_eq!(order(&ask(&server, "GET", "/")), "");
}

#[test]
#[should_panic(expected = "the route \"/x\" has a handler for GET already")]
fn two_handlers_of_one_method_are_found_at_the_start() {
    let _ = App::new().get("/x", || "").merge(App::new().get("/x", || ""));
}

#[test]
#[should_panic(expected = "the route \"/x\" has a handler for any method already")]
fn two_handlers_of_any_method_are_found_at_the_start() {
    let _ = App::new().any("/x", || "").merge(App::new().any("/x", || ""));
}

#[test]
#[should_panic(expected = "the prefix \"api\"")]
fn a_prefix_without_a_slash_is_found_at_the_start() {
    let _ = App::new().nest("api", App::new().get("/x", || ""));
}

#[test]
#[should_panic(expected = "the route \"/x/{b}\" cannot be added")]
fn paths_that_conflict_are_found_at_the_start() {
    let _ = App::new().get("/x/{a}", || "").get("/x/{b}", || "");
}

#[test]
fn hosts_have_apps_of_their_own() {
    let server = TestServer::start(|_| {
        let blog = App::with_state("blog").get("/", |State(state): State<&'static str>| state).wrap(a);
        let tenants = App::new().get("/", |head: &Head<'_>| format!("tenant {}", head.host()));
        App::new()
            .get("/", || "main")
            .get("/main", || "main")
            .host("*.example.com", tenants)
            .host("blog.Example.com", blog)
            .on_error(|error: &HandlerError| (error.status(), "rendered"))
            .wrap(b)
    });
    for (host, text, marks) in [
        ("other", "main", "b"),
        ("example.com", "main", "b"),
        ("blog.example.com", "blog", "a"),
        ("BLOG.example.COM:8080", "blog", "a"),
        ("x.example.com", "tenant x.example.com", ""),
        ("x.y.example.com:1", "tenant x.y.example.com:1", ""),
    ] {
        let answer = at_host(&server, host, "/");
        assert_eq!((answer.text(), &*order(&answer)), (text, marks), "{host}");
    }
    let answer = at_host(&server, "blog.example.com", "/main");
    assert_eq!((answer.status, answer.text(), &*order(&answer)), (404, "rendered", "a"));
}

#[test]
fn one_connection_may_ask_several_hosts_with_the_same_path() {
    let server =
        TestServer::start(|_| App::new().get("/", || "main").host("a.example", App::new().get("/", || "a")));
    let mut client = server.connect();
    for (host, text) in [("a.example", "a"), ("b.example", "main"), ("a.example", "a"), ("a.example", "a")] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(client.exchange(request).text(), text);
    }
}

#[test]
fn middleware_has_an_order() {
    let server = TestServer::start(|_| {
        App::new()
            .wrap(a)
            .get("/x", || "x")
            .wrap_route(c)
            .wrap_route(d)
            .post("/x", || "later")
            .get("/y", || "y")
            .wrap(b)
    });
    for (method, path, status, marks) in [
        ("GET", "/x", 200, "cdba"),
        ("HEAD", "/x", 200, "cdba"),
        ("POST", "/x", 200, "ba"),
        ("PUT", "/x", 405, "cdba"),
        ("OPTIONS", "/x", 204, "cdba"),
        ("GET", "/y", 200, "ba"),
        ("PUT", "/y", 405, "ba"),
        ("GET", "/missing", 404, "ba"),
    ] {
        let answer = ask(&server, method, path);
        assert_eq!((answer.status, &*order(&answer)), (status, marks), "{method} {path}");
    }
    assert_eq!(ask(&server, "PUT", "/x").field("allow"), Some("GET, POST, HEAD, OPTIONS"));
}

#[test]
fn middleware_of_a_nested_app_is_inside_of_the_outer_one() {
    let server = TestServer::start(|_| {
        let inner = App::new().get("/x", || "x").wrap_route(a).wrap(b);
        App::new().wrap(d).nest("/in", inner).wrap(c)
    });
    assert_eq!(order(&ask(&server, "GET", "/in/x")), "abcd");
    assert_eq!(order(&ask(&server, "PUT", "/in/x")), "abcd");
    assert_eq!(order(&ask(&server, "GET", "/in/missing")), "cd", "no path of the nested app fits");
}

fn post(server: &TestServer, path: &str, length: usize) -> u16 {
    server.connect().ask("POST", path, &[], &"x".repeat(length)).status
}

#[test]
fn routes_have_limits_of_their_own_and_apps_a_default() {
    async fn length(body: Bytes) -> String {
        body.len().to_string()
    }
    let server = TestServer::with_limits(Limits { body: 10, ..Limits::default() }, |_| {
        let nested =
            App::new().post("/own", length).limits(RouteLimits::new().body(40)).post("/default", length);
        let merged = App::new().post("/merged", length).default_limits(RouteLimits::new().body(30));
        let host = App::new().post("/", length).default_limits(RouteLimits::new().body(50));
        App::new()
            .post("/wide", length)
            .limits(RouteLimits::new().body(100))
            .post("/default", length)
            .default_limits(RouteLimits::new().body(20))
            .nest("/nested", nested)
            .merge(merged)
            .fallback(length)
            .host("other", host)
    });
    for (path, limit) in [
        ("/wide", 100),
        ("/default", 20),
        ("/nested/own", 40),
        ("/nested/default", 20),
        ("/merged", 30),
        ("/missing", 10),
    ] {
        assert_eq!((post(&server, path, limit), post(&server, path, limit + 1)), (200, 413), "{path}");
    }
    let at_host = |n: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: other\r\nContent-Length: {n}\r\n\r\n");
        server.exchange(head + &"x".repeat(n)).status
    };
    assert_eq!((at_host(50), at_host(51)), (200, 413));
    let chunked = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = server.exchange(format!("{head}1e\r\n{}\r\n0\r\n\r\n", "x".repeat(30)));
        (answer.status, answer.says_close())
    };
    assert_eq!((chunked("/merged"), chunked("/default")), ((200, false), (413, true)));
}

fn rendered() -> App {
    App::new()
        .get("/", || "fine")
        .get("/panics", || -> &str { panic!("for the test") })
        .get("/panics-later", async || -> &str { panic!("for the test") })
        .get("/refuses", || {
            HandlerError::new(StatusCode::CONFLICT, "taken").with_header(header::RETRY_AFTER, 7)
        })
        .get("/fails", async || -> HandlerResult<String> { Ok(std::fs::read_to_string("/no/such/file")?) })
        .get("/none", || None::<&str>)
        .get("/status", || StatusCode::IM_A_TEAPOT)
        .get("/own", || (StatusCode::BAD_REQUEST, "the handler's own words"))
        .post("/number", async |body: String| -> HandlerResult<String> {
            let number: u32 = body.parse().map_err(|_| HandlerError::bad_request("no number"))?;
            Ok(number.to_string())
        })
        .limits(RouteLimits::new().body(5))
        .on_error(|error: &HandlerError| {
            let cause = error.cause().is_some();
            let body = format!("{{\"error\": \"{}\", \"cause\": {cause}}}", error.message());
            (error.status(), [(header::CONTENT_TYPE, "application/json"), (header::PRAGMA, "x")], body)
        })
        .wrap(a)
}

/// One answer of each kind: plain, with more than is kept room for, a file, streamed, refused, failed, panicked.
fn all_kinds() -> App {
    let streamed = || {
        let mut chunks = vec!["chunk"];
        let body = Body::from_poll_fn(move |_| {
            Poll::Ready(chunks.pop().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))))
        });
        Response::new(body).with_header("x-streamed", "1").with_trailers([], HeaderMap::new)
    };
    let many_fields =
        || (0..40).fold(Response::new("many"), |many, n| many.with_header(format!("x-{n}").as_str(), n));
    App::new()
        .get("/bare", || ())
        .get("/bare-later", async || {})
        .get("/field", || ([("x-a", "1")], "text"))
        .get("/fields", many_fields)
        .get("/long", || vec![b'x'; 100_000])
        .get("/streamed", streamed)
        .get("/upgrade", || Response::upgrade("x", async |_| {}))
        .get("/not-modified", || (StatusCode::NOT_MODIFIED, [("etag", "\"1\"")], ()))
        .get("/panics", || -> &str { panic!("for the test") })
        .get("/refuses", || {
            HandlerError::new(StatusCode::CONFLICT, "taken").with_header(header::RETRY_AFTER, 7)
        })
        .get("/status", || StatusCode::IM_A_TEAPOT)
        .get("/own", || (StatusCode::BAD_REQUEST, "the handler's own words"))
        .files("/crate", Files::dir(env!("CARGO_MANIFEST_DIR")))
        .on_error(|error: &HandlerError| {
            (error.status(), [(header::PRAGMA, "x")], error.message().to_owned())
        })
}

#[test]
fn an_answer_has_nothing_of_the_one_before_it() {
    fn ask(client: &mut Client, path: &str) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let mut answer = client.exchange(get(path));
        answer.fields.retain(|(name, _)| name != "date");
        (answer.status, answer.fields, answer.body)
    }
    let paths = [
        "/bare",
        "/bare-later",
        "/field",
        "/fields",
        "/long",
        "/streamed",
        "/upgrade",
        "/not-modified",
        "/crate/Cargo.toml",
        "/crate/missing",
        "/missing",
        "/panics",
        "/refuses",
        "/status",
        "/own",
    ];
    let start = || TestServer::start(|_| all_kinds());
    let alone = paths.map(|path| ask(&mut start().connect(), path));
    let server = start();
    let mut client = server.connect();
    for (first, before) in paths.iter().enumerate() {
        for (then, path) in paths.iter().enumerate() {
            assert_eq!(ask(&mut client, before), alone[first], "{before}");
            assert_eq!(ask(&mut client, path), alone[then], "{path} after {before}");
        }
    }
    let nothing = ("content-length".to_owned(), "0".to_owned());
    assert_eq!(alone[0], (200, vec![nothing], Vec::new()));
}

#[test]
fn a_response_is_shown_as_one() {
    let shown = format!("{:?}", Response::new("text").with_header("x-a", "1"));
    assert!(shown.starts_with("Response { status: 200, fields: [(\"x-a\", \"1\")]"), "{shown}");
}

#[test]
fn errors_are_rendered_in_one_place() {
    let server = TestServer::start(|_| rendered());
    for (method, path, status, message, cause) in [
        ("GET", "/missing", 404, "Not Found", false),
        ("DELETE", "/", 405, "Method Not Allowed", false),
        ("GET", "/panics", 500, "Internal Server Error", false),
        ("GET", "/panics-later", 500, "Internal Server Error", false),
        ("GET", "/refuses", 409, "taken", false),
        ("GET", "/fails", 500, "Internal Server Error", true),
        ("GET", "/none", 404, "Not Found", false),
        ("GET", "/status", 418, "I'm a teapot", false),
        ("POST", "/number", 400, "no number", false),
    ] {
        let answer = ask(&server, method, path);
        let text = format!("{{\"error\": \"{message}\", \"cause\": {cause}}}");
        assert_eq!((answer.status, answer.text()), (status, &*text), "{method} {path}");
        let types: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "content-type").collect();
        assert_eq!(types.len(), 1, "{path}");
        assert_eq!(types[0].1, "application/json");
        assert_eq!(answer.field("pragma"), Some("x"));
        let passed = if path.starts_with("/panics") { "" } else { "a" };
        assert_eq!(order(&answer), passed, "fields of middleware stay: {path}");
    }
    assert_eq!(ask(&server, "GET", "/refuses").field("retry-after"), Some("7"));
    assert!(ask(&server, "DELETE", "/").field("allow").is_some());
}

#[test]
fn the_servers_own_refusals_are_rendered_too() {
    let server = TestServer::start(|_| rendered());
    let announced = server.connect().ask("POST", "/number", &[], "123456");
    let text = |message: &str| format!("{{\"error\": \"{message}\", \"cause\": false}}");
    assert_eq!((announced.status, announced.text()), (413, &*text("Payload Too Large")));
    let malformed = server.exchange("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((malformed.status, malformed.text()), (400, &*text("Bad Request")));
    assert!(malformed.says_close());
    let chunks =
        "POST /number HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n0\r\n\r\n";
    let passed = server.exchange(chunks);
    assert_eq!((passed.status, passed.text()), (413, &*text("the body is longer than the limit")));
}

#[test]
fn what_is_no_error_of_the_server_is_not_rendered() {
    let server = TestServer::start(|_| rendered());
    assert_eq!(ask(&server, "GET", "/").text(), "fine");
    let own = ask(&server, "GET", "/own");
    assert_eq!((own.status, own.text(), own.field("pragma")), (400, "the handler's own words", None));
    let head = ask(&server, "HEAD", "/missing");
    assert_eq!((head.status, head.field("content-type")), (404, Some("application/json")));
    assert_eq!(head.field("content-length"), Some("38"));
}

#[test]
fn without_a_renderer_errors_are_plain_text() {
    let server = TestServer::start(|_| {
        App::new().nest("/nested", App::new().get("/", || HandlerError::bad_request("words")))
    });
    let answer = ask(&server, "GET", "/nested");
    assert_eq!((answer.status, answer.text()), (400, "words"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_renderer_that_panics_is_a_plain_500_and_the_connection_goes_on() {
    let server = TestServer::start(|_| {
        App::new().get("/", || "fine").on_error(|error: &HandlerError| -> StatusCode { panic!("{error}") })
    });
    let mut client = server.connect();
    let answer = client.ask("GET", "/missing", &[], "");
    assert_eq!((answer.status, answer.text()), (500, "Internal Server Error"));
    assert_eq!(client.ask("GET", "/", &[], "").text(), "fine");
}

#[test]
fn a_drain_runs_the_hooks_of_all_apps_and_waits_for_them() {
    let (tell, told) = mpsc::channel();
    let released = Arc::new(AtomicBool::new(false));
    let release = Arc::clone(&released);
    let server = TestServer::start(move |_| {
        let hook = |name: &'static str| {
            let (tell, released) = (tell.clone(), Arc::clone(&released));
            move || async move {
                tell.send(name).unwrap();
                while !released.load(Ordering::SeqCst) {
                    lakh_core::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let own = Rc::new(Cell::new(0));
        App::new()
            .on_drain(hook("outer"))
            .on_drain(move || async move { own.set(1) })
            .nest("/n", App::new().get("/", || "").on_drain(hook("nested")))
            .merge(App::new().on_drain(hook("merged")))
            .host("h", App::new().on_drain(hook("host")))
    });
    server.settle();
    assert!(told.try_recv().is_err(), "not before the drain");
    server.running.drain();
    let mut names: Vec<_> = (0..4).map(|_| told.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "merged", "nested", "outer"]);
    assert!(!server.running.join(Duration::ZERO), "the shard waits for them");
    release.store(true, Ordering::SeqCst);
    eventually("the drain has ended", || server.running.join(Duration::from_millis(10)));
}

async fn closed(_: Request, _: Next) -> StatusCode {
    StatusCode::UNAUTHORIZED
}

/// A folder with `index.html` and `a.txt`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "index").unwrap();
    std::fs::write(folder.path().join("a.txt"), "a").unwrap();
    folder
}

#[test]
fn middleware_and_limits_of_files_are_for_all_their_paths() {
    let folder = folder();
    let files = Files::dir(folder.path()).open().unwrap();
    let server = TestServer::start(move |_| {
        App::new()
            .files("/f", files.clone())
            .wrap_route(closed)
            .limits(RouteLimits::new().body(5))
            .files("/", files.clone())
    });
    for path in ["/f", "/f/", "/f/a.txt", "/f/none"] {
        assert_eq!(ask(&server, "GET", path).status, 401, "{path}");
        assert_eq!(post(&server, path, 6), 413, "{path}");
    }
    assert_eq!(ask(&server, "GET", "/a.txt").text(), "a");
}

#[test]
#[should_panic = "this is about a route"]
fn middleware_of_a_route_after_a_nested_app_is_found_at_the_start() {
    let nested = App::new().get("/", || "");
    let _ = App::new().get("/", || "").nest("/nested", nested).wrap_route(closed);
}

#[test]
#[should_panic = "this is about a route"]
fn limits_of_a_route_after_a_nested_fallback_are_found_at_the_start() {
    let nested = App::new().fallback(|| "");
    let _ = App::new().get("/", || "").nest("/nested", nested).limits(RouteLimits::new().body(1));
}

#[test]
#[should_panic = "this is about a route"]
fn middleware_of_a_route_after_a_merged_app_is_found_at_the_start() {
    let _ = App::new().get("/", || "").merge(App::new().get("/a", || "")).wrap_route(closed);
}

#[test]
#[should_panic = "this is about a route"]
fn limits_of_a_route_after_a_host_are_found_at_the_start() {
    let _ = App::new().get("/", || "").host("a.example", App::new()).limits(RouteLimits::new().body(1));
}

#[test]
#[should_panic = "this is about a route"]
fn middleware_of_a_route_after_a_fallback_is_found_at_the_start() {
    let _ = App::new().get("/", || "").fallback(|| "").wrap_route(closed);
}

#[test]
fn files_at_the_root_of_a_nested_app_have_their_index_below_its_prefix() {
    let folder = folder();
    let files = Files::dir(folder.path()).open().unwrap();
    let server = TestServer::start(move |_| {
        let site = App::new().files("/", files.clone()).wrap_route(a).get("/own", || "own");
        let outer = App::new().merge(App::new().nest("/s", site));
        App::new().nest("/deep", outer)
    });
    let redirect = ask(&server, "GET", "/deep/s");
    assert_eq!((redirect.status, redirect.field("location")), (301, Some("/deep/s/")));
    for (path, text, marks) in
        [("/deep/s/", "index", "a"), ("/deep/s/a.txt", "a", "a"), ("/deep/s/own", "own", "")]
    {
        let answer = ask(&server, "GET", path);
        assert_eq!((answer.text(), &*order(&answer)), (text, marks), "{path}");
    }
}

#[test]
fn the_status_that_middleware_sets_is_the_one_that_is_rendered() {
    async fn bad_gateway(request: Request, next: Next) -> Response {
        next.run(request).await.with_status(StatusCode::BAD_GATEWAY)
    }
    async fn as_tuple(request: Request, next: Next) -> (StatusCode, Response) {
        (StatusCode::GONE, next.run(request).await)
    }
    let server = TestServer::start(|_| {
        App::new()
            .get("/error", || HandlerError::internal("for the test"))
            .wrap_route(bad_gateway)
            .get("/status", || StatusCode::IM_A_TEAPOT)
            .wrap_route(bad_gateway)
            .get("/tuple", || HandlerError::bad_request("words"))
            .wrap_route(as_tuple)
            .on_error(|error: &HandlerError| (error.status(), format!("rendered: {}", error.message())))
    });
    for (path, status, text) in [
        ("/error", 502, "rendered: Internal Server Error"),
        ("/status", 502, "rendered: Bad Gateway"),
        ("/tuple", 410, "rendered: words"),
    ] {
        let answer = ask(&server, "GET", path);
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
    }
}

#[test]
fn a_body_that_middleware_puts_into_an_error_is_sent() {
    async fn own_words(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        *response.body_mut() = "the middleware's words".into();
        response
    }
    let server = TestServer::start(|_| rendered().wrap(own_words));
    for path in ["/refuses", "/missing", "/status"] {
        assert_eq!(ask(&server, "GET", path).text(), "the middleware's words", "{path}");
    }
}

#[test]
fn a_header_field_of_an_answer_takes_the_place_of_its_names_others() {
    let server = TestServer::start(|_| {
        App::new().get("/", || {
            "text"
                .into_response()
                .with_header("content-type", "image/svg+xml")
                .with_header("x-a", "1")
                .with_header("X-A", "2")
                .with_header("set-cookie", "a=1")
                .with_header("set-cookie", "b=2")
        })
    });
    let answer = ask(&server, "GET", "/");
    let all = |name: &str| -> Vec<&str> {
        let fields = answer.fields.iter().filter(|(n, _)| n == name);
        fields.map(|(_, value)| &**value).collect()
    };
    assert_eq!(all("content-type"), ["image/svg+xml"]);
    assert_eq!(all("x-a"), ["2"]);
    assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn a_header_field_of_an_error_takes_the_place_of_its_names_others() {
    let refused = HandlerError::bad_request("<p>no</p>")
        .with_header("content-type", "text/html")
        .with_header("x-a", "1")
        .with_header("X-A", 2)
        .with_header("set-cookie", "a=1")
        .with_header("set-cookie", "b=2")
        .into_response();
    let fields: Vec<_> =
        refused.headers().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(
        fields,
        [("content-type", "text/html"), ("x-a", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]
    );
}

#[test]
#[should_panic = "leave the port and the last dot out"]
fn a_host_with_a_port_is_found_at_the_start() {
    let _ = App::new().host("a.example:80", App::new());
}

#[test]
#[should_panic = "has an app already"]
fn two_apps_of_one_host_are_found_at_the_start() {
    let _ = App::new().host("a.example", App::new()).host("A.example", App::new());
}

#[test]
#[should_panic = "has a fallback already"]
fn two_fallbacks_are_found_at_the_start() {
    let _ = App::new().fallback(|| "").fallback(|| "");
}

#[test]
#[should_panic = "has an error renderer already"]
fn two_error_renderers_are_found_at_the_start() {
    let _ = App::new().on_error(|_: &HandlerError| "").on_error(|_: &HandlerError| "");
}

#[test]
#[should_panic = "hosts are for the outermost app"]
fn hosts_of_a_nested_app_are_found_at_the_start() {
    let _ = App::new().nest("/nested", App::new().host("a.example", App::new()));
}

#[test]
#[should_panic = "errors are rendered by the outermost app"]
fn an_error_renderer_of_a_merged_app_is_found_at_the_start() {
    let _ = App::new().merge(App::new().on_error(|_: &HandlerError| ""));
}

#[test]
#[should_panic = "errors are rendered by the outermost app"]
fn an_error_renderer_of_a_hosts_app_is_found_at_the_start() {
    let _ = App::new().host("a.example", App::new().on_error(|_: &HandlerError| ""));
}

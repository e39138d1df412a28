//! The clients for tests: what they see is what a client of the server sees.

use lakh_http::{
    App, Body, Bytes, Files, HandlerError, HandlerResult, HeaderMap, Limits, Method, Redirect, Request,
    RequestBody, Response, RouteLimits, StatusCode, Upgraded,
    extract::{ClientAddr, Form, Json, Path, Query, State},
    middleware::{Next, ProxyHeaders},
    testing::{self, TestClient, TestResponse, TestServer},
};
use serde::{Deserialize, Serialize};
use std::{
    cell::Cell,
    future::poll_fn,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::Poll,
};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct User {
    name: String,
    age: u8,
}

#[derive(Deserialize)]
struct Paging {
    page: u32,
    #[serde(default)]
    tag: Vec<String>,
}

type Hits = Rc<Cell<u32>>;

async fn stamped(request: Request, next: Next) -> Response {
    next.run(request).await.with_header("x-stamp", "yes")
}

fn app() -> App<Hits> {
    App::with_state(Hits::default())
        .get("/", || "hello")
        .get("/users/{id}", |Path(id): Path<u8>| Json(User { name: "Ann".into(), age: id }))
        .post("/users", async |Json(user): Json<User>| (StatusCode::CREATED, user.name))
        .get("/page", |Query(paging): Query<Paging>| format!("{} {:?}", paging.page, paging.tag))
        .post("/form", async |Form(user): Form<User>| Json(user))
        .post("/text", async |text: String| text)
        .get("/hits", |State(hits): State<Hits>| {
            hits.set(hits.get() + 1);
            hits.get().to_string()
        })
        .get("/agent", |headers: HeaderMap| format!("{:?}", headers["user-agent"]))
        .get("/client", |client: ClientAddr| client.0.to_string())
        .get("/fails", || -> HandlerResult<()> { Err(std::io::Error::other("secret"))? })
        .get("/panics", || -> () { panic!("expected in this test") })
        .get("/panics-later", async || -> () { panic!("expected in this test") })
        .get("/early", || Response::empty(StatusCode::CONTINUE))
        .get("/empty", || StatusCode::NO_CONTENT)
        .get("/same", || Response::new("not sent").with_status(StatusCode::NOT_MODIFIED))
        .post("/bytes", async |body: Bytes| body.len().to_string())
        .limits(RouteLimits::new().body(10))
        .post("/mirror", async |body: RequestBody| mirror(body))
        .get("/chunks", || stream(&["one", "", "two"], false))
        .get("/cut", || stream(&["one"], true))
        .get("/login", || ([("set-cookie", "user=ann; Path=/")], Redirect::see_other("/whoami")))
        .get("/logout", || ([("set-cookie", "user=; Max-Age=0")], ""))
        .get("/whoami", |headers: HeaderMap| {
            headers.get("cookie").map_or("nobody".to_owned(), |cookie| cookie.to_str().unwrap().to_owned())
        })
        .any("/method", |method: Method| method.to_string())
        .wrap(stamped)
        .on_error(|error: &HandlerError| (error.status(), format!("rendered: {}", error.message())))
}

/// Sends its chunks one by one, then ends or fails.
fn stream(chunks: &[&'static str], fails: bool) -> Response {
    let mut chunks: Vec<_> = chunks.iter().map(|chunk| Bytes::from_static(chunk.as_bytes())).collect();
    Response::new(Body::from_poll_fn(move |_| {
        Poll::Ready(match chunks.is_empty() {
            false => Some(Ok(chunks.remove(0))),
            true => fails.then(|| Err("expected in this test")),
        })
    }))
}

fn mirror(mut body: RequestBody) -> Response {
    Response::new(Body::from_poll_fn(move |cx| body.poll_chunk(cx)))
}

fn seen<B>(response: &TestResponse<B>) -> (u16, Vec<(String, String)>) {
    let fields = response.headers().iter().filter(|(name, _)| *name != "date");
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields = fields.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    (response.status().as_u16(), fields)
}

#[test]
fn both_clients_see_the_same() {
    let paths = [
        "/",
        "/users/7",
        "/users/x",
        "/missing",
        "/fails",
        "/panics",
        "/panics-later",
        "/early",
        "/empty",
        "/same",
        "/chunks",
        "/bytes",
        "/method",
        "/login",
        "/page",
        "/users/%FF?q=1",
    ];
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::DELETE, Method::CONNECT];
    let server = TestServer::start(|_| app());
    let mut over_wire = Vec::new();
    for (method, path) in methods.iter().flat_map(|method| paths.map(|path| (method, path))) {
        let mut response = server.request(method.clone(), path).send();
        let (status, mut fields) = seen(&response);
        fields.retain(|(name, _)| name != "connection");
        over_wire.push((method.clone(), path, status, fields, response.bytes()));
    }
    testing::run(
        |_| app(),
        async move |client| {
            for (method, path, status, fields, body) in over_wire {
                let mut response = client.request(method.clone(), path).send().await;
                assert_eq!(seen(&response), (status, fields), "{method} {path}");
                assert_eq!(response.bytes().await, body, "{method} {path}");
            }
        },
    );
}

#[test]
fn requests_carry_what_they_were_given() {
    testing::run(
        |_| app(),
        async |client| {
            let mut response =
                client.get("/page").query("page", 2).query("tag", "a&b").query("tag", "ä").send().await;
            assert_eq!(response.text().await, r#"2 ["a&b", "ä"]"#);
            let ann = User { name: "Ann".into(), age: 30 };
            let mut response = client.post("/users").json(&ann).send().await;
            assert_eq!((response.status(), response.text().await), (StatusCode::CREATED, "Ann".to_owned()));
            let mut response = client.post("/form").form([("name", "Ann"), ("age", "30")]).send().await;
            assert_eq!(response.header("content-type"), Some("application/json"));
            assert_eq!(response.json::<User>().await, ann);
            assert_eq!(client.post("/text").text("grüße").send().await.text().await, "grüße");
            let mut response = client.get("/agent").header("user-agent", "test").send().await;
            assert_eq!(response.text().await, "\"test\"");
            assert_eq!(client.get("/hits").send().await.text().await, "1");
            assert_eq!(client.get("/hits").send().await.text().await, "2");
        },
    );
}

#[test]
fn errors_are_rendered_and_panics_are_500() {
    testing::run(
        |_| app(),
        async |client| {
            for (path, status, text) in [
                ("/missing", 404, "rendered: Not Found"),
                ("/fails", 500, "rendered: Internal Server Error"),
                ("/panics", 500, "rendered: Internal Server Error"),
                ("/panics-later", 500, "rendered: Internal Server Error"),
            ] {
                let mut response = client.get(path).send().await;
                assert_eq!(
                    (response.status().as_u16(), response.text().await),
                    (status, text.to_owned()),
                    "{path}"
                );
            }
            assert_eq!(client.get("/missing").send().await.header("x-stamp"), Some("yes"));
        },
    );
}

#[test]
fn bodies_are_held_to_the_limit_of_their_route() {
    testing::run(
        |_| app(),
        async |client| {
            let status =
                async |request: testing::TestRequest<'_, TestClient>| request.send().await.status().as_u16();
            assert_eq!(status(client.post("/bytes").body("0123456789")).await, 200);
            assert_eq!(status(client.post("/bytes").body("0123456789a")).await, 413);
            assert_eq!(status(client.post("/bytes").chunks(["01234", "56789"])).await, 200);
            assert_eq!(status(client.post("/bytes").chunks(["01234", "56789", "a"])).await, 413);
            assert_eq!(status(client.post("/text").body(vec![b'a'; 11])).await, 200);
        },
    );
}

#[test]
fn the_servers_limits_can_be_given() {
    testing::run(
        |_| App::new(),
        async |_| {
            let client = TestClient::with_limits(app(), Limits { body: 3, ..Limits::default() });
            assert_eq!(client.post("/text").text("1234").send().await.status(), 413);
            let long = "a".repeat(20_000);
            assert_eq!(client.get("/").header("x-long", &*long).send().await.status(), 431);
        },
    );
}

#[test]
fn streams_are_read_chunk_by_chunk() {
    testing::run(
        |_| app(),
        async |client| {
            let mut response = client.get("/chunks").send().await;
            assert_eq!(response.header("transfer-encoding"), Some("chunked"));
            assert_eq!(response.chunk().await.unwrap(), "one");
            assert_eq!(response.chunk().await.unwrap(), "two");
            assert_eq!(response.chunk().await, None);
            let mut response = client.get("/cut").send().await;
            assert_eq!(response.try_chunk().await.unwrap().unwrap(), "one");
            assert!(response.try_chunk().await.is_err());
        },
    );
}

#[test]
fn a_handler_gets_the_chunks_of_a_body_as_it_asks_for_them() {
    testing::run(
        |_| app(),
        async |client| {
            let mut response = client.post("/mirror").chunks(["one", "two"]).send().await;
            assert_eq!(response.chunk().await.unwrap(), "one");
            assert_eq!(response.chunk().await.unwrap(), "two");
            assert_eq!(response.chunk().await, None);
        },
    );
}

#[test]
fn another_task_may_read_the_body() {
    let app = || {
        App::new().post("/", async |mut body: RequestBody| {
            let reader =
                lakh_core::spawn(async move { body.bytes().await.map(|bytes| bytes.len().to_string()) });
            reader.await.unwrap()
        })
    };
    testing::run(
        move |_| app(),
        async |client| {
            assert_eq!(client.post("/").chunks(["one", "two"]).send().await.text().await, "6");
        },
    );
}

#[test]
fn cookies_are_kept_if_that_is_asked_for() {
    testing::run(
        |_| app(),
        async |client| {
            assert_eq!(client.get("/login").send().await.header("location"), Some("/whoami"));
            assert_eq!(client.get("/whoami").send().await.text().await, "nobody");
            let client = client.keep_cookies();
            client.get("/login").send().await;
            assert_eq!(client.get("/whoami").send().await.text().await, "user=ann");
            client.get("/logout").send().await;
            assert_eq!(client.get("/whoami").send().await.text().await, "nobody");
        },
    );
    let server = TestServer::start(|_| app()).keep_cookies();
    server.get("/login").send();
    assert_eq!(server.get("/whoami").send().text(), "user=ann");
}

#[test]
fn a_client_has_the_address_that_it_was_given() {
    testing::run(
        |_| app().wrap(ProxyHeaders::trust(["10.0.0.1"])),
        async |client| {
            assert_eq!(client.get("/client").send().await.text().await, "127.0.0.1:1");
            let proxy = client.peer("10.0.0.1:80".parse().unwrap());
            let mut response = proxy.get("/client").header("x-forwarded-for", "192.0.2.1").send().await;
            assert_eq!(response.text().await, "192.0.2.1:0");
        },
    );
}

#[test]
fn files_are_read_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.path().join("long.bin"), &content).unwrap();
    std::fs::write(folder.path().join("short.txt"), "short").unwrap();
    let path = folder.path().to_owned();
    testing::run(
        move |_| App::new().files("/", Files::dir(path)),
        async move |client| {
            assert!(client.get("/long.bin").send().await.bytes().await == content);
            let mut part = client.get("/long.bin").header("range", "bytes=1000-1001").send().await;
            assert_eq!((part.status().as_u16(), part.bytes().await), (206, content[1000..1002].to_vec()));
            assert_eq!(client.get("/short.txt").send().await.text().await, "short");
        },
    );
}

#[test]
fn hooks_run_when_the_shard_drains() {
    let told = Rc::new(Cell::new(false));
    let tell = Rc::clone(&told);
    lakh_core::block_on(async move {
        let client = TestClient::new(App::new().on_drain(async move || tell.set(true)));
        lakh_core::current().handle().drain();
        while !told.get() {
            lakh_core::yield_now().await;
        }
        assert_eq!(client.get("/").send().await.status(), 404);
    })
    .unwrap();
}

#[test]
#[should_panic(expected = "percent-encoded")]
fn a_target_cannot_end_the_line() {
    let server = TestServer::start(|_| App::new());
    let _ = server.get("/ HTTP/1.1\r\nx: y");
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let peer = |client: ClientAddr| client.0.to_string();
    let server =
        TestServer::start(move |_| App::new().get("/", peer).get("/chunks", || stream(&["a"], false)));
    let first = server.get("/").send().text();
    assert_eq!(server.head("/").send().status(), 200);
    assert_eq!(server.get("/chunks").send().text(), "a");
    assert_eq!(server.get("/").send().text(), first);
    let unread = server.get("/").send();
    assert_ne!(server.get("/").send().text(), first, "its answer is not read to the end");
    drop(unread);
}

#[test]
fn the_next_request_waits_for_a_body_that_the_server_did_not_wait_for() {
    let server = TestServer::start(|_| App::new().post("/", |client: ClientAddr| client.0.to_string()));
    let ask = || server.post("/").chunks(["piece"; 300]).send();
    let first = ask().text();
    for _ in 0..20 {
        let mut answer = ask();
        assert_eq!((answer.status().as_u16(), answer.text()), (200, first.clone()));
    }
}

#[test]
fn long_bodies_go_both_ways_at_once_over_the_wire() {
    let server = TestServer::start(|_| app());
    let body: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 253) as u8).collect();
    assert!(server.post("/mirror").body(body.clone()).send().bytes() == body);
}

#[test]
fn a_cut_answer_is_an_error_over_the_wire() {
    let server = TestServer::start(|_| app());
    let mut response = server.get("/cut").send();
    assert_eq!(response.try_chunk().unwrap().unwrap(), "one");
    assert!(response.try_chunk().is_err());
    assert_eq!(server.get("/").send().text(), "hello", "on another connection");
}

#[test]
fn an_upgrade_without_a_connection_is_a_panic_that_says_so() {
    let app = || App::new().get("/", || Response::upgrade("shout", async |_| {}));
    testing::run(
        move |_| app(),
        async |client| {
            let asked = client.get("/").header("connection", "upgrade").header("upgrade", "shout");
            let mut asked = Box::pin(asked.send());
            let polled =
                poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| asked.as_mut().poll(cx)))));
            let panic = polled.await.expect_err("a panic");
            assert!(panic.downcast_ref::<&str>().unwrap().starts_with("upgrades need TestServer"));
        },
    );
}

#[test]
fn what_comes_right_behind_a_101_is_read_first_over_the_wire() {
    let server = TestServer::start(|_| {
        App::new().get("/", || "hello").get("/greets", || {
            Response::upgrade("greet", async |mut stream: Upgraded| {
                stream.write_all(b"welcome").await.unwrap();
                let mut byte = [0];
                stream.read(&mut byte).await.unwrap();
                stream.write_all(&byte).await.unwrap();
            })
        })
    });
    let asked = server.get("/greets").header("connection", "upgrade").header("upgrade", "greet");
    let mut stream = asked.send().into_upgraded();
    let mut word = [0; 7];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"welcome");
    stream.write_all(b"!").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"!");
    assert_eq!(server.get("/").send().text(), "hello", "on a connection of its own");
    let refused = catch_unwind(AssertUnwindSafe(|| server.get("/").send().into_upgraded()));
    assert!(refused.is_err(), "no 101");
}

#[test]
fn trailers_are_there_when_the_body_has_ended_for_those_who_understand_them() {
    let app = || {
        App::new().get("/", || {
            let names = [lakh_http::HeaderName::from_static("x-rows")];
            stream(&["a", "b"], false).with_trailers(names, || {
                let mut fields = HeaderMap::new();
                fields.append("x-rows", 2.into());
                fields.append("content-length", 3.into());
                fields
            })
        })
    };
    testing::run(
        move |_| app(),
        async |client| {
            let mut answer = client.get("/").header("te", "trailers").send().await;
            assert!(answer.trailers().is_none());
            assert_eq!(answer.text().await, "ab");
            let trailers = answer.trailers().unwrap();
            assert_eq!((trailers.len(), &trailers["x-rows"]), (1, &2.into()));
            let mut answer = client.get("/").send().await;
            assert_eq!((answer.text().await.as_str(), answer.trailers()), ("ab", None));
        },
    );
    let server = TestServer::start(move |_| app());
    let mut answer = server.get("/").header("te", "trailers").send();
    assert!(answer.trailers().is_none());
    assert_eq!(answer.text(), "ab");
    let trailers = answer.trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-rows"]), (1, &2.into()));
    let mut answer = server.get("/").send();
    assert_eq!((answer.text().as_str(), answer.trailers()), ("ab", None));
}

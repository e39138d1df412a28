//! Services of tower, over the wire.

mod common;
#[path = "common/tower.rs"]
mod parts;

use bytes::Bytes;
use common::{Answer, TestServer, get};
use http::{Request, Response};
use http_body::Frame;
use lakh_core::pool::Lane;
use lakh_http::{
    App, Body, BodyError, HandlerError, Limits,
    extract::ClientAddr,
    tower::{SendBody, tower_service},
};
use parts::{Failure, Frames, Fut, count, post};
use std::{
    future::{Future, pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower_service::Service;

/// A service made of an async function.
#[derive(Clone)]
struct Fun<F>(F);

impl<F, B, R, O> Service<Request<B>> for Fun<F>
where
    F: Fn(Request<B>) -> R,
    R: Future<Output = Result<Response<O>, Failure>> + 'static,
{
    type Response = Response<O>;
    type Error = Failure;
    type Future = Fut<Response<O>, Failure>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.0(request))
    }
}

fn fun<F, R, O>(f: F) -> Fun<F>
where
    F: Fn(Request<SendBody>) -> R + Clone + 'static,
    R: Future<Output = Result<Response<O>, Failure>> + 'static,
{
    Fun(f)
}

fn text(text: impl Into<String>) -> Result<Response<Body>, Failure> {
    Ok(Response::new(Body::from(text.into())))
}

/// Tells what the service sees of a request.
async fn tell(request: Request<SendBody>) -> Result<Response<Body>, Failure> {
    text(format!("{} {}", request.method(), request.uri()))
}

fn uploads() -> Limits {
    Limits { body: 1 << 30, ..Limits::default() }
}

#[test]
fn a_service_answers_at_a_route_below_a_prefix_and_for_the_rest() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/plain", || "a handler")
            .get("/route/{id}", tower_service(fun(tell)))
            .nest_service("/old/{version}", fun(tell))
            .fallback(tower_service(fun(tell)))
    });
    let ask = |request: &str| server.exchange(request).text().to_owned();
    assert_eq!(ask(&get("/plain")), "a handler");
    assert_eq!(ask(&get("/route/1?a=b")), "GET /route/1?a=b");
    assert_eq!(ask(&post("/old/v1/x/y?q", "")), "POST /x/y?q");
    assert_eq!(ask(&get("/old/v1")), "GET /");
    assert_eq!(ask(&get("/old/v1/")), "GET /");
    assert_eq!(ask(&get("/nowhere")), "GET /nowhere");
    assert_eq!(server.exchange(post("/route/1", "")).status, 405, "the route has GET alone");
}

#[test]
fn head_and_sender_arrive_as_they_were() {
    let server = TestServer::start(|_| {
        App::new().any(
            "/",
            tower_service(fun(async |request: Request<SendBody>| {
                let twice: Vec<_> =
                    request.headers().get_all("x-a").iter().map(|v| v.to_str().unwrap()).collect();
                let ClientAddr(sender) = request.extensions().get().unwrap();
                text(format!("{twice:?} {} {:?}", sender.ip(), request.version()))
            })),
        )
    });
    let answer = server.exchange("PURGE / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\n\r\n");
    assert_eq!(answer.text(), r#"["1", "2"] 127.0.0.1 HTTP/1.1"#);
    assert_eq!(server.exchange("GET /` HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
}

#[test]
fn a_target_that_is_no_uri_is_refused() {
    let server = TestServer::start(|_| App::new().fallback(tower_service(fun(tell))));
    assert_eq!(server.exchange(get("/a`b")).status, 400);
}

#[test]
fn answers_have_the_length_that_is_known_and_no_trailers() {
    let server = TestServer::start(|_| {
        fn trailers() -> Result<Frame<Bytes>, Failure> {
            Ok(Frame::trailers(http::HeaderMap::new()))
        }
        App::new()
            .get("/whole", tower_service(fun(async |_| Ok(Response::new(Frames::of(["whole"]).hint(5))))))
            .get(
                "/parts",
                tower_service(fun(async |_| Ok(Response::new(Frames::of(["", "pa", "", "rts"]).hint(5))))),
            )
            .get("/unknown", tower_service(fun(async |_| Ok(Response::new(Frames::of(["un", "known"]))))))
            .get(
                "/trailers",
                tower_service(fun(async |_| {
                    Ok(Response::new(Frames::of(["a"]).and(trailers()).and(Ok(Frame::data("b".into())))))
                })),
            )
            .get("/none", tower_service(fun(async |_| Ok(Response::new(Frames::default().hint(0))))))
            .get(
                "/said",
                tower_service(fun(async |_| {
                    let response =
                        Response::builder().status(203).header("content-length", "4").header("x-a", "1");
                    Ok(response.header("x-a", "2").body(Frames::of(["sa", "id"])).unwrap())
                })),
            )
    });
    let ask = |path: &str| server.exchange(get(path));
    let seen = |answer: Answer| (answer.field("content-length").map(str::to_owned), answer.text().to_owned());
    assert_eq!(seen(ask("/whole")), (Some("5".into()), "whole".into()));
    assert_eq!(seen(ask("/parts")), (Some("5".into()), "parts".into()));
    assert_eq!(seen(ask("/unknown")), (None, "unknown".into()));
    assert_eq!(seen(ask("/trailers")), (None, "a".into()));
    assert_eq!(seen(ask("/none")), (Some("0".into()), String::new()));
    let said = ask("/said");
    assert_eq!((said.status, said.fields.iter().filter(|(name, _)| name == "x-a").count()), (203, 2));
    assert_eq!(seen(said), (Some("4".into()), "said".into()));
}

#[test]
fn head_tells_the_length_that_get_would_have() {
    let server = TestServer::start(|_| {
        App::new().any(
            "/",
            tower_service(fun(async |_| {
                // As axum answers HEAD: the length is in the head, and the body is gone.
                Ok(Response::builder()
                    .header("content-length", "99")
                    .body(Frames::default().hint(0))
                    .unwrap())
            })),
        )
    });
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("99"));
}

#[test]
fn a_body_that_breaks_its_word_cuts_the_connection() {
    let server = TestServer::start(|_| {
        fn failing() -> Frames {
            Frames::of(["abc"]).and(Err(Failure("on purpose")))
        }
        App::new()
            .get("/short", tower_service(fun(async |_| Ok(Response::new(Frames::of(["abc"]).hint(99_999))))))
            .get("/long", tower_service(fun(async |_| Ok(Response::new(Frames::of(["abc", "def"]).hint(4))))))
            .get("/fails", tower_service(fun(async |_| Ok(Response::new(failing())))))
    });
    for (path, most) in [("/short", "abc"), ("/long", "abc"), ("/fails", "3\r\nabc\r\n")] {
        let mut client = server.connect();
        client.send(get(path));
        let head = client.head();
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(client.rest(), most.as_bytes(), "{path}");
    }
}

#[test]
fn a_request_is_read_when_its_body_is_asked_for_and_no_sooner() {
    const LENGTH: usize = 256 << 20;
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let gate = Arc::new(Mutex::new(None::<Waker>));
    let open = Arc::clone(&gate);
    let server = TestServer::with_limits(uploads(), move |_| {
        let (released, gate) = (Arc::clone(&released), Arc::clone(&gate));
        App::new().post(
            "/",
            tower_service(fun(move |request: Request<SendBody>| {
                let (released, gate) = (Arc::clone(&released), Arc::clone(&gate));
                async move {
                    poll_fn(|cx| {
                        *gate.lock().unwrap() = Some(cx.waker().clone());
                        released.lock().unwrap().try_recv().map_or(Poll::Pending, Poll::Ready)
                    })
                    .await;
                    text(count(request.into_body()).await.unwrap().to_string())
                }
            })),
        )
    });
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"));
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = std::thread::spawn({
        let (sent, mut stream) = (Arc::clone(&sent), client.stream.try_clone().unwrap());
        move || {
            while sent.load(Ordering::SeqCst) < LENGTH {
                std::io::Write::write_all(&mut stream, &[0; 1 << 16]).unwrap();
                sent.fetch_add(1 << 16, Ordering::SeqCst);
            }
        }
    });
    server.wait_in_flight(1);
    server.wait_until_nothing_moves();
    assert!(sent.load(Ordering::SeqCst) < LENGTH / 2, "the rest waits in the client");
    release.send(()).unwrap();
    open.lock().unwrap().take().unwrap().wake();
    assert_eq!(client.answer().text(), LENGTH.to_string());
    sender.join().unwrap();
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let server = TestServer::with_limits(uploads(), |_| {
        App::new()
            .post("/", tower_service(fun(async |r: Request<SendBody>| Ok(Response::new(r.into_body())))))
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n");
    assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
    assert_eq!(client.take(9), b"4\r\nping\r\n", "before the request has ended");
    client.send("4\r\npong\r\n0\r\n\r\n");
    assert_eq!(client.take(14), b"4\r\npong\r\n0\r\n\r\n");
    let body = "x".repeat(1 << 20);
    let answer = client.exchange(post("/", &body));
    assert_eq!((answer.field("content-length"), answer.body.len()), (Some("1048576"), 1 << 20));
}

/// Reads a body on a thread of the pool, with an event loop of its own there.
async fn count_elsewhere(request: Request<SendBody>) -> Result<Response<Body>, Failure> {
    let body = request.into_body();
    let job = move || lakh_core::block_on(async move { count(body).await.unwrap() }).unwrap();
    let count = lakh_core::with(|shard| shard.pool().run(Lane::USER, job)).unwrap();
    text(count.await.unwrap().to_string())
}

#[test]
fn a_body_can_be_read_on_another_thread() {
    let server =
        TestServer::with_limits(uploads(), |_| App::new().post("/", tower_service(fun(count_elsewhere))));
    let mut client = server.connect();
    for length in [0, 1, 3 << 20] {
        let answer = client.exchange(post("/", &"x".repeat(length)));
        assert_eq!(answer.text(), length.to_string());
    }
}

#[test]
fn a_body_that_is_read_beyond_the_answer_is_lost() {
    let (tell, told) = mpsc::channel::<Option<BodyError>>();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().post(
            "/",
            tower_service(fun(move |request: Request<SendBody>| {
                let tell = tell.clone();
                async move {
                    std::thread::spawn(move || {
                        let read = async move { count(request.into_body()).await.err() };
                        tell.send(lakh_core::block_on(read).unwrap()).unwrap();
                    });
                    text("done")
                }
            })),
        )
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(client.answer().text(), "done");
    assert!(told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap().is_lost());
}

#[test]
fn a_body_beyond_its_limit_is_an_error_to_the_service() {
    let limits = Limits { body: 10, ..Limits::default() };
    let server = TestServer::with_limits(limits, |_| {
        App::new().post(
            "/",
            tower_service(fun(async |request: Request<SendBody>| {
                text(count(request.into_body()).await.unwrap_err().to_string())
            })),
        )
    });
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    assert_eq!(server.exchange(chunked).text(), "the body is longer than the limit");
}

/// Is ready the second time it is asked, and only for one call.
#[derive(Clone, Default)]
struct Reluctant {
    asked: usize,
}

impl Service<Request<SendBody>> for Reluctant {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Fut<Response<Body>, Failure>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.asked += 1;
        cx.waker().wake_by_ref();
        if self.asked == 1 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, request: Request<SendBody>) -> Self::Future {
        assert_eq!(self.asked, 2, "called when it was ready");
        Box::pin(tell(request))
    }
}

#[test]
fn a_service_is_called_when_it_is_ready() {
    let server = TestServer::start(|_| App::new().get("/", tower_service(Reluctant::default())));
    let mut client = server.connect();
    assert_eq!(client.exchange(get("/")).text(), "GET /");
    assert_eq!(client.exchange(get("/")).text(), "GET /");
}

#[test]
fn errors_and_panics_are_rendered_like_those_of_handlers() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/error", tower_service(fun(async |_| Err::<Response<Body>, _>(Failure("secret")))))
            .get(
                "/panic",
                tower_service(fun(async |_: Request<SendBody>| -> Result<Response<Body>, _> {
                    panic!("on purpose")
                })),
            )
            .on_error(|error: &HandlerError| {
                (error.status(), format!("{:?}", error.cause().map(ToString::to_string)))
            })
    });
    let mut client = server.connect();
    let answer = client.exchange(get("/error"));
    assert_eq!((answer.status, answer.text()), (500, r#"Some("secret")"#));
    assert_eq!(client.exchange(get("/panic")).status, 500);
    assert_eq!(client.exchange(get("/error")).status, 500, "the connection is kept");
}

#[test]
#[cfg(not(mio_unsupported_force_poll_poll))] // poll(2) tells a hangup only to who asks
fn a_service_whose_client_resets_is_dropped() {
    let server = TestServer::start(|_| {
        App::new().post("/", tower_service(fun(async |_| pending::<Result<Response<Body>, _>>().await)))
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    server.wait_in_flight(1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    server.wait_in_flight(0);
}

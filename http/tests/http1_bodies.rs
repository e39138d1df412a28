//! Bodies on their way in and out over real sockets: whole, in pieces, streamed, slow.

mod common;

use common::{TestServer, eventually, get};
use lakh_http::{
    App, Body, BodyError, Bytes, HandlerError, HandlerResult, Limits, Request, RequestBody, Response,
    StatusCode, middleware::Next,
};
use std::{
    cell::RefCell,
    convert::Infallible,
    future::poll_fn,
    io::Read,
    panic::panic_any,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

fn app() -> App {
    App::new()
        .get("/", || "hello")
        .post("/whole", whole)
        .post("/stream", stream)
        .post("/count", count)
        .post("/ignore", || "ignored")
        .post("/ignore/later", async || "ignored")
}

async fn whole(mut request: Request) -> Result<Bytes, BodyError> {
    request.body_mut().bytes().await
}

/// Sends the body back as it comes.
async fn stream(request: Request) -> Response {
    let mut body = request.into_body();
    Response::new(Body::from_poll_fn(move |cx| body.poll_chunk(cx)))
}

async fn count(mut request: Request) -> Result<String, BodyError> {
    let mut n = 0;
    while let Some(chunk) = request.body_mut().chunk().await {
        n += chunk?.len();
    }
    Ok(n.to_string())
}

fn generous() -> Limits {
    Limits { body: 1 << 30, ..Limits::default() }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 251) as u8).collect()
}

fn with_length(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

fn chunked(path: &str, body: &[u8], chunk: usize) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(chunk) {
        request.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[test]
fn bodies_of_all_sizes_come_back_the_same() {
    let server = TestServer::with_limits(generous(), |_| app());
    let mut client = server.connect();
    for path in ["/whole", "/stream"] {
        for size in [0, 1, 65_536, 5 << 20] {
            let body = noise(size);
            for request in
                [with_length(path, &body), chunked(path, &body, 5000), chunked(path, &body, 1 << 20)]
            {
                // A streamed echo takes no more than is read: both at once.
                let mut sender = client.stream.try_clone().unwrap();
                let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &request));
                let answer = client.answer();
                assert_eq!(answer.status, 200);
                assert!(!answer.says_close());
                assert!(answer.body == body, "{path}, {size} bytes");
                sending.join().unwrap().unwrap();
            }
        }
    }
}

#[test]
fn a_body_may_come_in_odd_pieces() {
    let server = TestServer::start(|_| app());
    let body = noise(3000);
    let mut client = server.connect();
    for piece in [1, 7, 499, 1001] {
        for request in [with_length("/whole", &body), chunked("/stream", &body, 333)] {
            for part in request.chunks(piece) {
                client.send(part);
            }
            assert!(client.answer().body == body, "in pieces of {piece}");
        }
    }
}

#[test]
fn continue_comes_before_the_head_of_an_answer_that_streams_the_body() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.head().status, 200);
    client.send("hello");
    assert_eq!(client.take(15), b"5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.exchange(get("/")).text(), "hello");
}

#[test]
fn a_short_body_that_nobody_reads_is_skipped_and_the_connection_kept() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    for path in ["/ignore", "/ignore/later"] {
        for request in [with_length(path, &noise(200_000)), chunked(path, &noise(200_000), 999)] {
            client.send(request);
            let answer = client.answer();
            assert_eq!((answer.text(), answer.says_close()), ("ignored", false));
        }
    }
}

#[test]
fn a_long_body_that_nobody_reads_ends_the_connection_behind_the_answer() {
    let server = TestServer::with_limits(generous(), |_| app());
    for path in ["/ignore", "/ignore/later"] {
        let mut client = server.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"));
        client.try_send(noise(500_000));
        let answer = client.answer();
        assert_eq!((answer.text(), answer.says_close()), ("ignored", true));
        client.expect_close();
        let mut client = server.connect();
        client.try_send(chunked(path, &noise(900_000), 10_000));
        assert_eq!(client.answer().text(), "ignored");
        client.try_send(get("/"));
        client.finish_sending();
        client.expect_close();
    }
}

#[test]
fn too_many_trailers_are_431_and_malformed_ones_400() {
    let server = TestServer::start(|_| app());
    for (trailers, status) in [("a: b\r\n".repeat(65), 431), ("a b: c\r\n".to_owned(), 400)] {
        for path in ["/whole", "/ignore"] {
            let mut client = server.connect();
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            client.send(format!("{head}1\r\nx\r\n0\r\n{trailers}\r\n"));
            assert_eq!(client.answer().status, status, "{path}");
        }
    }
}

#[test]
fn a_chunked_body_over_the_limit_reaches_the_handler_as_an_error() {
    let server = TestServer::with_limits(Limits { body: 100_000, ..Limits::default() }, |_| app());
    for path in ["/whole", "/count"] {
        let mut client = server.connect();
        client.try_send(chunked(path, &noise(400_000), 1000));
        let answer = client.answer();
        assert_eq!((answer.status, answer.says_close()), (413, true));
        client.expect_close();
    }
}

#[test]
fn what_follows_a_body_over_the_limit_is_not_read_as_chunks_or_requests() {
    // The rest comes later than the limit was passed, and looks like the end and a request.
    let server = TestServer::with_limits(Limits { body: 10, ..Limits::default() }, |_| app());
    for path in ["/ignore", "/ignore/later", "/whole"] {
        server.wait_in_flight(0);
        let mut client = server.connect();
        let request = chunked(path, &noise(20), 20);
        client.send(&request[..request.len() - 5]);
        server.wait_in_flight(1);
        client.try_send(&request[request.len() - 5..]);
        client.try_send(get("/"));
        assert!(client.answer().says_close(), "{path}");
        client.finish_sending();
        client.expect_close();
    }
}

#[test]
fn a_body_that_is_cut_off_is_an_error_for_its_reader() {
    let lost = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&lost);
    let server = TestServer::start(move |_| {
        let seen = Arc::clone(&seen);
        App::new().post("/", move |mut request: Request| {
            let seen = Arc::clone(&seen);
            async move {
                let error = request.body_mut().bytes().await.unwrap_err();
                seen.store(error.is_lost(), Ordering::Relaxed);
                error
            }
        })
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    client.finish_sending();
    let answer = client.answer();
    assert_eq!((answer.status, answer.says_close()), (400, true));
    client.expect_close();
    assert!(lost.load(Ordering::Relaxed));
}

#[test]
fn a_body_that_goes_wrong_in_a_streamed_answer_cuts_it() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.take(10), b"5\r\nhello\r\n");
    client.send("xyz\r\n");
    client.expect_close(); // without the last chunk
}

#[test]
fn a_streamed_answer_that_leaves_much_of_the_body_unread_ends_the_connection() {
    let server = TestServer::with_limits(generous(), |_| {
        app().post("/first", async |request: Request| {
            let mut body = Some(request.into_body());
            Response::new(Body::from_poll_fn(move |cx| {
                let Some(reader) = &mut body else { return Poll::Ready(None) };
                std::task::ready!(reader.poll_chunk(cx)).map(Result::unwrap);
                body = None;
                Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from_static(b"first"))))
            }))
        })
    });
    let mut client = server.connect();
    client.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.try_send(noise(900_000));
    assert_eq!(client.answer().text(), "first");
    client.try_send(noise(100_000));
    client.try_send(get("/"));
    client.finish_sending();
    client.expect_close();
    // Little is skipped, and the connection kept.
    let mut client = server.connect();
    client.send(with_length("/first", &noise(100_000)));
    assert_eq!(client.answer().text(), "first");
    assert_eq!(client.exchange(get("/")).text(), "hello");
}

#[test]
fn a_body_can_be_read_by_another_task_and_ends_with_the_answer() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().post("/", move |request: Request| {
            let tell = tell.clone();
            let mut body = request.into_body();
            lakh_core::spawn_detached(async move {
                tell.send(body.bytes().await.map_err(|error| error.is_lost())).unwrap();
            });
            async {
                lakh_core::sleep(Duration::from_millis(100)).await;
                "done"
            }
        })
    });
    let mut client = server.connect();
    client.send(with_length("/", b"hello"));
    assert_eq!(told.recv().unwrap(), Ok(Bytes::from_static(b"hello")));
    assert_eq!(client.answer().text(), "done");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.answer().text(), "done");
    assert_eq!(told.recv().unwrap(), Err(true), "the reader does not wait for ever");
    client.send("world");
    client.send(with_length("/", b"next"));
    assert_eq!(client.answer().text(), "done");
}

#[test]
fn a_handler_that_pauses_holds_its_client_back() {
    let got = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(AtomicBool::new(false));
    let (counted, gate) = (Arc::clone(&got), Arc::clone(&go));
    let server = TestServer::with_limits(generous(), move |_| {
        let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
        App::new().post("/", move |mut request: Request| {
            let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
            async move {
                while let Some(Ok(chunk)) = request.body_mut().chunk().await {
                    counted.fetch_add(chunk.len(), Ordering::Relaxed);
                    while !gate.load(Ordering::Relaxed) {
                        lakh_core::sleep(Duration::from_millis(5)).await;
                    }
                }
                "done"
            }
        })
    });
    let mut client = server.connect();
    let mut sender = client.stream.try_clone().unwrap();
    let request = with_length("/", &noise(20 << 20));
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &request));
    eventually("a first chunk", || got.load(Ordering::Relaxed) > 0);
    server.observe_for(Duration::from_millis(200));
    assert!(got.load(Ordering::Relaxed) <= 64 * 1024, "no more than one read without being asked");
    assert!(!sending.is_finished(), "the client was held back");
    go.store(true, Ordering::Relaxed);
    assert_eq!(client.answer().text(), "done");
    sending.join().unwrap().unwrap();
}

#[test]
fn a_body_that_was_asked_for_and_then_dropped_is_not_read_on() {
    let dropped = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&dropped);
    let server = TestServer::with_limits(generous(), move |_| {
        let tell = Arc::clone(&tell);
        App::new().post("/", move |mut request: Request| {
            let tell = Arc::clone(&tell);
            async move {
                poll_fn(|cx| Poll::Ready(request.body_mut().poll_chunk(cx).is_pending())).await;
                drop(request);
                tell.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
        })
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    eventually("the body is dropped", || dropped.load(Ordering::Relaxed));
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let part = noise(1 << 20);
        (0..100).all(|_| std::io::Write::write_all(&mut sender, &part).is_ok())
    });
    server.wait_until_nothing_moves();
    assert!(!sending.is_finished(), "the client is held back");
    client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(!sending.join().unwrap(), "not all of it found a place");
}

/// A stream without end that counts how much it was asked for.
fn endless(asked: &Arc<AtomicUsize>, dropped: &Arc<AtomicBool>) -> Response {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (asked, on_drop) = (Arc::clone(asked), SetOnDrop(Arc::clone(dropped)));
    let chunk = Bytes::from(vec![b'x'; 10_000]);
    Response::new(Body::from_poll_fn(move |_| {
        let _ = &on_drop;
        asked.fetch_add(chunk.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok::<_, Infallible>(chunk.clone())))
    }))
}

#[test]
fn a_stream_is_asked_for_no_more_than_the_client_takes_and_the_loop_rests_meanwhile() {
    let (asked, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, flag) = (Arc::clone(&asked), Arc::clone(&dropped));
    let server = TestServer::start(move |_| {
        let (count, flag) = (Arc::clone(&count), Arc::clone(&flag));
        App::new().get("/", move || endless(&count, &flag))
    });
    let mut client = server.connect();
    client.send(get("/"));
    server.wait_in_flight(1);
    server.wait_until_nothing_moves();
    let before = asked.load(Ordering::Relaxed);
    let turns = server.observe_for(Duration::from_millis(300));
    assert!(turns <= 5, "{turns} turns while nothing can move");
    assert_eq!(asked.load(Ordering::Relaxed), before);
    assert!(before < 16 << 20, "{before} bytes"); // what two kernel buffers hold on loopback
    let mut read = vec![0; 1 << 20];
    for _ in 0..16 {
        client.stream.read_exact(&mut read).unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > before, "it goes on when the client reads");
    drop(client);
    eventually("the stream is dropped when its client has gone", || dropped.load(Ordering::Relaxed));
}

#[test]
fn a_big_answer_to_a_client_that_does_not_read_lets_the_loop_rest() {
    let server = TestServer::start(|_| {
        let big = Bytes::from(vec![b'x'; 32 << 20]);
        App::new().get("/", move || big.clone()).get("/small", || vec![b'x'; 10_000])
    });
    let mut big = server.connect();
    big.send(get("/"));
    let mut pipelined = server.connect();
    pipelined.send(get("/small").repeat(1000));
    server.wait_in_flight(2);
    server.wait_until_nothing_moves();
    let turns = server.observe_for(Duration::from_millis(300));
    assert!(turns <= 5, "{turns} turns while nothing can move");
    assert!(big.answer().body.len() == 32 << 20);
    for _ in 0..1000 {
        assert_eq!(pipelined.answer().body.len(), 10_000);
    }
}

#[test]
fn a_stream_of_a_known_length_is_announced_and_held_to_it() {
    let server = TestServer::start(|_| {
        let of = |length: u64| {
            move || {
                let mut chunks = ["ab", "", "cde"].into_iter();
                let chunks = Body::from_poll_fn(move |_| {
                    Poll::Ready(chunks.next().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))))
                });
                let Body::Stream(chunks) = chunks else { unreachable!("it is a stream") };
                Response::new(Body::Sized(length, chunks))
            }
        };
        App::new().get("/exact", of(5)).get("/short", of(6)).get("/long", of(4)).get("/none", of(0))
    });
    let mut client = server.connect();
    for request in [get("/exact"), "GET /exact HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned()] {
        let answer = client.exchange(request);
        assert_eq!((answer.field("content-length"), answer.text()), (Some("5"), "abcde"));
    }
    client.send("HEAD /exact HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("5"));
    assert_eq!(client.exchange(get("/none")).text(), "");
    for (path, sent) in [("/short", "abcde"), ("/long", "ab")] {
        let mut client = server.connect();
        client.send(get(path));
        client.head();
        assert_eq!(client.rest(), sent.as_bytes(), "{path}");
    }
}

#[test]
fn middleware_may_decode_a_request_and_change_an_answer_chunk_by_chunk() {
    let server = TestServer::start(|_| {
        async fn shout(mut request: Request, next: Next) -> Response {
            let mut body = std::mem::take(request.body_mut());
            let Body::Stream(lower) = Body::from_poll_fn(move |cx| {
                body.poll_chunk(cx).map_ok(|chunk| Bytes::from(chunk.to_ascii_uppercase()))
            }) else {
                unreachable!("it is a stream")
            };
            *request.body_mut() = RequestBody::from_stream(lower);
            let mut response = next.run(request).await;
            let mut body = std::mem::take(response.body_mut());
            *response.body_mut() = Body::from_poll_fn(move |cx| {
                body.poll_chunk(cx).map_ok(|chunk| [&chunk[..], b"!"].concat().into())
            });
            response
        }
        App::new().post("/", async |body: Bytes| body).wrap(shout)
    });
    let limit = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n";
    assert_eq!(server.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").text(), "ABC!");
    let mut client = server.connect();
    client.try_send(limit);
    client.try_send(vec![b'x'; 3 << 20]);
    assert_eq!(client.answer().status, 413, "the status of the body's own error is kept");
}

#[test]
fn a_stream_that_fails_or_panics_cuts_its_answer_and_nothing_else() {
    let server = TestServer::start(|_| {
        let failing = |panics: bool| {
            let mut n = 0;
            Response::new(Body::from_poll_fn(move |_| {
                n += 1;
                assert!(!(panics && n == 3), "on purpose");
                Poll::Ready(Some(if n == 3 { Err("on purpose") } else { Ok(Bytes::from_static(b"ab")) }))
            }))
        };
        App::new()
            .get("/", || "hello")
            .get("/fails", move || failing(false))
            .get("/panics", move || failing(true))
    });
    for path in ["/fails", "/panics"] {
        let mut client = server.connect();
        client.send(format!("{}{}", get(path), get("/")));
        assert_eq!(client.head().status, 200);
        assert_eq!(client.rest(), b"2\r\nab\r\n2\r\nab\r\n", "the last chunk is missing");
        assert_eq!(server.exchange(get("/")).text(), "hello");
    }
}

#[test]
fn a_stream_that_waits_is_sent_as_far_as_it_is_and_goes_on_when_it_is_woken() {
    let server = TestServer::start(|_| {
        App::new().get("/", || {
            let mut sleep = Box::pin(lakh_core::sleep(Duration::ZERO));
            let mut left = 3;
            Response::new(Body::from_poll_fn(move |cx| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                std::task::ready!(sleep.as_mut().poll(cx));
                sleep = Box::pin(lakh_core::sleep(Duration::from_millis(100)));
                left -= 1;
                Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from_static(b"tick"))))
            }))
        })
    });
    let mut client = server.connect();
    client.send(get("/"));
    client.head();
    assert_eq!(client.take(9), b"4\r\ntick\r\n");
    client.expect_silence(Duration::from_millis(30));
    assert_eq!(client.take(9), b"4\r\ntick\r\n");
    assert_eq!(client.take(9), b"4\r\ntick\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
#[cfg(not(mio_unsupported_force_poll_poll))] // see http1_gone.rs
fn a_client_that_resets_while_its_handler_works_harms_nobody() {
    let server = TestServer::start(|_| {
        App::new().get("/", || "hello").get("/slow", async || std::future::pending::<&'static str>().await)
    });
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(get("/") + &get("/slow"));
        // Closing with the first answer unread resets the connection.
        client.stream.peek(&mut [0]).unwrap();
    }
    server.wait_in_flight(0);
    assert_eq!(server.exchange(get("/")).text(), "hello");
    server.settle(); // panics are published once a turn
    assert_eq!(server.running.shards().next().unwrap().metrics().panics(), 0);
}

// Panics

#[derive(Debug)]
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("on purpose, in a destructor");
    }
}

#[test]
fn a_panic_in_a_handler_is_500_and_its_connection_goes_on() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/", || "hello")
            .get("/at-once", || -> &'static str { panic!("on purpose") })
            .get("/later", async || -> &'static str {
                lakh_core::yield_now().await;
                panic!("on purpose")
            })
            .get("/destructor", || {
                let guard = PanicsWhenDropped;
                async move {
                    let _guard = Rc::new(RefCell::new(guard));
                    lakh_core::yield_now().await;
                    "never"
                }
            })
            .get("/thrown-at-once", || -> &'static str { panic_any(PanicsWhenDropped) })
            .get("/thrown-later", async || -> &'static str {
                lakh_core::yield_now().await;
                panic_any(PanicsWhenDropped)
            })
            .get("/cause", || -> HandlerResult {
                Err(HandlerError::internal(CauseThatPanicsWhenDropped(PanicsWhenDropped)))
            })
            .post("/body", async |mut request: Request| -> StatusCode {
                let _ = request.body_mut().chunk().await;
                panic!("on purpose")
            })
    });
    for path in ["/at-once", "/later", "/destructor", "/thrown-at-once", "/thrown-later", "/cause"] {
        let mut client = server.connect();
        client.send(format!("{}{}", get("/"), get(path)));
        assert_eq!(client.answer().text(), "hello");
        let answer = client.answer();
        assert_eq!((answer.status, answer.says_close()), (500, false), "{path}");
        assert_eq!(client.exchange(get("/")).text(), "hello");
    }
    let mut client = server.connect();
    client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.answer().status, 500);
    client.send(format!("world{}", get("/")));
    assert_eq!(client.answer().text(), "hello", "the body's rest is skipped");
}

#[derive(Debug)]
struct CauseThatPanicsWhenDropped(#[allow(dead_code)] PanicsWhenDropped);

impl std::fmt::Display for CauseThatPanicsWhenDropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for CauseThatPanicsWhenDropped {}

/// One chunk of five bytes; their number may be announced.
fn stream_that_panics_when_dropped(announced: Option<u64>) -> Response {
    let guard = PanicsWhenDropped;
    let mut chunks = vec!["chunk"];
    let body = Body::from_poll_fn(move |_| {
        let _ = &guard;
        Poll::Ready(chunks.pop().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))))
    });
    Response::new(match (body, announced) {
        (Body::Stream(chunks), Some(length)) => Body::Sized(length, chunks),
        (body, _) => body,
    })
}

#[test]
fn a_stream_whose_destructor_panics_costs_no_answer() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/", || "hello")
            .get("/stream", || stream_that_panics_when_dropped(None))
            .get("/sized", || stream_that_panics_when_dropped(Some(5)))
            .get("/nothing", || stream_that_panics_when_dropped(Some(0)))
            .get("/trailers", || {
                let guard = PanicsWhenDropped;
                Response::new("chunk").with_trailers([], move || {
                    let _guard = guard;
                    lakh_http::HeaderMap::new()
                })
            })
            .get("/informational", || {
                stream_that_panics_when_dropped(None).with_status(StatusCode::PROCESSING)
            })
    });
    let paths = [
        ("/stream", 200, "chunk"),
        ("/sized", 200, "chunk"),
        ("/nothing", 200, ""),
        ("/trailers", 200, "chunk"),
        ("/informational", 500, "Internal Server Error"),
    ];
    for (path, status, text) in paths {
        let mut client = server.connect();
        client.send(format!("{}{}{}", get("/"), get(path), get("/")));
        assert_eq!(client.answer().text(), "hello", "{path}");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().trim_end()), (status, text), "{path}");
        assert_eq!(client.answer().text(), "hello", "{path}");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().status, status, "{path}");
        assert_eq!(client.exchange(get("/")).text(), "hello", "HEAD {path}");
    }
}

//! Clients that go away before their answer is there, and what is noted of it.
#![cfg(not(mio_unsupported_force_poll_poll))] // poll(2) tells a hangup only to who asks

mod common;

use bytes::Bytes;
use common::{Client, TestServer, eventually, get};
use lakh_http::{AccessRecord, App, Body, Request, Response, Server};
use socket2::SockRef;
use std::{
    convert::Infallible,
    future::pending,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// Counts what is alive: handlers at work, streams.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Token(Alive);

impl Alive {
    fn token(&self) -> Token {
        self.0.fetch_add(1, Ordering::SeqCst);
        Token(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `/handler` never answers, `/stream` gives one chunk and never ends.
fn app(alive: &Alive) -> App {
    let (handler, stream) = (alive.clone(), alive.clone());
    App::new()
        .get("/", || "hello")
        .post("/handler", move |_: Request| {
            let token = handler.token();
            async move {
                let _token = token;
                pending::<&'static str>().await
            }
        })
        .get("/stream", move || {
            let token = stream.token();
            let mut first = Some(Bytes::from_static(b"first"));
            Response::new(Body::from_poll_fn(move |_| {
                let _alive = &token;
                let next = first.take().map(Ok::<_, Infallible>);
                next.map_or(Poll::Pending, |chunk| Poll::Ready(Some(chunk)))
            }))
        })
}

fn serve(alive: &Alive) -> TestServer {
    let alive = alive.clone();
    TestServer::start(move |_| app(&alive))
}

/// Closes with a reset.
fn reset(client: Client) {
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_handler_whose_client_resets_is_dropped() {
    let alive = Alive::default();
    let server = serve(&alive);
    let mut client = server.connect();
    client.send("POST /handler HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    eventually("the handler is at work", || alive.count() == 1);
    reset(client);
    eventually("the handler is dropped", || alive.count() == 0);
    server.wait_in_flight(0);
}

#[test]
fn a_stream_whose_client_resets_is_dropped() {
    let alive = Alive::default();
    let server = serve(&alive);
    let mut client = server.connect();
    client.send(get("/stream"));
    assert_eq!(client.head().status, 200);
    reset(client);
    eventually("the stream is dropped", || alive.count() == 0);
    server.wait_in_flight(0);
}

#[test]
fn what_a_handler_has_spawned_goes_on_without_it() {
    let alive = Alive::default();
    let (finish, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = TestServer::start({
        let (alive, finish, finished) = (alive.clone(), finish.clone(), finished.clone());
        move |_| {
            let (alive, finish, finished) = (alive.clone(), finish.clone(), finished.clone());
            App::new().get("/", move || {
                let (token, finish, finished) = (alive.token(), finish.clone(), finished.clone());
                async move {
                    let _token = token;
                    let guard = lakh_core::with(lakh_core::Shard::guard);
                    let task = lakh_core::spawn(async move {
                        while finish.load(Ordering::SeqCst) == 0 {
                            lakh_core::sleep(Duration::from_millis(1)).await;
                        }
                        finished.fetch_add(1, Ordering::SeqCst);
                        drop(guard);
                    });
                    task.await.map(|()| "done").unwrap_or("lost")
                }
            })
        }
    });
    let mut client = server.connect();
    client.send(get("/"));
    eventually("the handler is at work", || alive.count() == 1);
    reset(client);
    eventually("the handler is dropped", || alive.count() == 0);
    server.running.drain();
    assert!(!server.running.join(Duration::ZERO), "the drain waits for the task's guard");
    finish.store(1, Ordering::SeqCst);
    assert!(server.running.join(Duration::from_secs(20)));
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_has_only_finished_sending_is_waited_for() {
    let alive = Alive::default();
    let server = serve(&alive);
    let mut client = server.connect();
    client.send("POST /handler HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    eventually("the handler is at work", || alive.count() == 1);
    client.finish_sending();
    server.settle();
    assert_eq!((alive.count(), server.in_flight()), (1, 1));
}

#[test]
fn requests_that_come_meanwhile_do_not_poll_the_handler() {
    let polls = Arc::new(AtomicUsize::new(0));
    let server = TestServer::start({
        let polls = polls.clone();
        move |_| {
            let polls = polls.clone();
            App::new().get("/", move || {
                let polls = polls.clone();
                std::future::poll_fn(move |_| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    Poll::<&'static str>::Pending
                })
            })
        }
    });
    let mut client = server.connect();
    client.send(get("/"));
    eventually("the handler is polled", || polls.load(Ordering::SeqCst) > 0);
    server.settle();
    let before = polls.load(Ordering::SeqCst);
    client.send(get("/"));
    server.settle();
    assert_eq!(polls.load(Ordering::SeqCst), before);
}

/// What the access log of a server is told: method and target, status, whether it was cut.
type Told = Arc<Mutex<Vec<(String, Option<u16>, bool)>>>;

fn server_that_tells(alive: &Alive) -> (TestServer, Told) {
    let (alive, told) = (alive.clone(), Told::default());
    let records = told.clone();
    let server = Server::new(move |_| app(&alive)).shards(1).on_access(move |_| {
        let records = records.clone();
        Rc::new(move |record: AccessRecord| {
            let status = record.status().map(|status| status.as_u16());
            records.lock().unwrap().push((record.target().to_owned(), status, record.is_cut()));
        })
    });
    let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let addr = running.addrs()[0];
    (TestServer { running, addr }, told)
}

#[test]
fn an_answer_that_is_cut_is_noted_with_what_was_known_of_it() {
    let alive = Alive::default();
    let (server, told) = server_that_tells(&alive);
    let mut client = server.connect();
    client.send(get("/"));
    client.answer();
    client.send(get("/stream"));
    client.head();
    reset(client);
    eventually("the cut stream is noted", || told.lock().unwrap().len() == 2);
    let mut client = server.connect();
    client.send("POST /handler HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    eventually("the handler is at work", || alive.count() == 1);
    reset(client);
    eventually("the cut handler is noted", || told.lock().unwrap().len() == 3);
    let expected = [
        ("/".to_owned(), Some(200), false),
        ("/stream".to_owned(), Some(200), true),
        ("/handler".to_owned(), None, true),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn what_the_end_of_the_server_cuts_is_noted() {
    let alive = Alive::default();
    let (server, told) = server_that_tells(&alive);
    let mut client = server.connect();
    client.send(get("/stream"));
    client.head();
    drop(server); // before its client
    assert_eq!(*told.lock().unwrap(), [("/stream".to_owned(), Some(200), true)]);
    assert_eq!(alive.count(), 0);
}

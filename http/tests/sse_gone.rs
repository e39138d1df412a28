//! Clients of Server-Sent Events that go away.
#![cfg(not(mio_unsupported_force_poll_poll))] // poll(2) tells a hangup only to who asks

mod common;

use common::{Client, eventually, get};
use lakh_http::{
    App,
    sse::{Event, Sender, Sse, channel},
    testing::TestServer,
};
use socket2::SockRef;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Closes with a reset.
fn reset(client: Client) {
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn senders_are_told_when_the_client_has_gone_away() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&count);
        App::new().get("/", move || {
            let (sender, answer) = channel(1);
            sender.push(Event::new("first")).unwrap();
            let count = Arc::clone(&count);
            lakh_core::spawn_detached(async move {
                sender.closed().await;
                assert!(sender.is_closed() && sender.try_send(Event::new("x")).unwrap_err().is_closed());
                count.fetch_add(1, Ordering::SeqCst);
            });
            answer
        })
    });
    let mut client = Client::connect(server.addr());
    client.send(get("/"));
    client.head();
    reset(client);
    eventually("the sender is told", || closed.load(Ordering::SeqCst) == 1);
}

/// Counts when it is dropped.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A stream that sends one event and no more, and counts when its function is dropped.
fn silent(dropped: &Arc<AtomicUsize>) -> Sse {
    let alive = Alive(Arc::clone(dropped));
    Sse::from_async_fn(async move |events: Sender| {
        let _alive = alive;
        events.send(Event::new("first")).await.unwrap();
        pending().await
    })
}

#[test]
fn an_async_function_is_dropped_when_its_client_has_gone_away() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&count);
        App::new().get("/", move || silent(&count))
    });
    let mut client = Client::connect(server.addr());
    client.send(get("/"));
    client.head();
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    reset(client);
    eventually("the function is dropped", || dropped.load(Ordering::SeqCst) == 1);
}

#[test]
fn comments_find_out_that_a_client_has_closed() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&count);
        App::new().get("/", move || silent(&count).keep_alive(Duration::from_millis(5)))
    });
    let mut client = Client::connect(server.addr());
    client.send(get("/"));
    client.head();
    drop(client);
    eventually("the function is dropped", || dropped.load(Ordering::SeqCst) == 1);
}

//! What publishing allocates, and what an idle subscriber keeps: counted by an allocator of our own.
//!
//! One test, so that no other one's server runs beside it.

// mio allocates for its stand-in for epoll.
#![cfg(not(mio_unsupported_force_poll_poll))]

mod common;

use common::*;
use lakh_http::{App, Server, testing::TestServer};
use lakh_ws::{Callbacks, Config, Payload, Socket, Topics, WebSocketRoutes, callbacks};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

struct Counting;

/// Of all threads, ever.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
/// Of all threads, now.
static HELD: AtomicI64 = AtomicI64::new(0);

fn note(allocated: usize, freed: usize) {
    ALLOCATED.fetch_add(allocated as u64, Ordering::Relaxed);
    HELD.fetch_add(allocated as i64 - freed as i64, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator with its arguments unchanged; counting neither allocates
// nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps GlobalAlloc's contract, and System has the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: as above; `ptr` came from System through this allocator.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LONG: usize = 4 << 20;
/// A socket's queue, and a place in it, while its peer has not taken all.
const QUEUE_BYTES: usize = 4096;
/// Of the socket's memory, and of the topic's: of a list that doubles, and of a table by name that has one.
const SUBSCRIPTION_BYTES: i64 = 320;

/// Subscribes when it is told to.
struct Listens;

impl Callbacks for Listens {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        socket.subscribe(message.as_text().unwrap()).unwrap();
        socket.send("subscribed").unwrap();
    }
}

fn open(server: &TestServer, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::open(server, "/")).collect()
}

fn subscribe(clients: &mut [Client], topic: &str) {
    for client in clients {
        client.text(topic);
        client.expect_text("subscribed");
    }
}

/// Bytes that one publish to all subscribers allocates.
fn allocated_by_publishing(topics: &Topics, topic: &str, message: Vec<u8>) -> usize {
    let (subscribers, before) = (topics.subscribers(topic) as u64, topics.metrics().delivered);
    let allocated = ALLOCATED.load(Ordering::Relaxed);
    topics.publish(topic, message).unwrap();
    eventually("all have it", || topics.metrics().delivered == before + subscribers);
    usize::try_from(ALLOCATED.load(Ordering::Relaxed) - allocated).unwrap()
}

#[test]
fn a_message_is_there_once_for_all_subscribers_and_a_subscription_takes_little() {
    const MANY: usize = 1000;
    let topics = Topics::new();
    let config = Config::new().topics(&topics).queue(2 * LONG).idle_timeout(None);
    let factory = move |_: &lakh_core::Shard| App::new().ws_with("/", config.clone(), callbacks(|| Listens));
    let server = TestServer::from_server(Server::new(factory).shards(2));

    for subscribers in [2, 40] {
        let topic = subscribers.to_string();
        let mut clients = open(&server, subscribers);
        subscribe(&mut clients, &topic);
        let message = vec![0; LONG];
        let allocated = allocated_by_publishing(&topics, &topic, message);
        assert!(allocated >= LONG, "the counter counts: {allocated}");
        assert!(allocated < LONG + LONG / 4 + subscribers * QUEUE_BYTES, "{allocated} for {subscribers}");
        println!("{allocated} bytes for a message of {LONG} and {subscribers} subscribers");
        for client in &mut clients {
            assert_eq!(client.frame().unwrap().payload.len(), LONG);
        }
    }

    let mut clients = open(&server, MANY);
    subscribe(&mut clients[..8], "many");
    // Nothing of the clients' own grows any more.
    clients.iter_mut().for_each(Client::expect_alive);
    let before = HELD.load(Ordering::Relaxed);
    subscribe(&mut clients[8..], "many");
    let each = (HELD.load(Ordering::Relaxed) - before) / (MANY as i64 - 8);
    println!("{each} bytes for each subscription");
    assert!(each <= SUBSCRIPTION_BYTES, "{each} bytes for each subscription");
}

//! What publishing allocates, and what is kept by idle subscribers, topics and handles: counted by an allocator of our
//! own.

// mio allocates for its stand-in for epoll.
#![cfg(not(mio_unsupported_force_poll_poll))]

mod common;

use common::*;
use lakh_http::{App, Server, testing::TestServer};
use lakh_ws::{
    Callbacks, Config, DeflateContext, DeflateOptions, Payload, SlowConsumer, Socket, Topics,
    WebSocketRoutes, callbacks, proto::Opcode,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::RefCell,
    slice,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

struct Counting;

/// Of all threads, ever.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
/// Of all threads, now, and the most of it.
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST_HELD: AtomicI64 = AtomicI64::new(0);
/// A test holds it, so that no other one's server runs beside its own.
static ALONE: Mutex<()> = Mutex::new(());

fn held() -> i64 {
    HELD.load(Ordering::Relaxed)
}

fn note(allocated: usize, freed: usize) {
    ALLOCATED.fetch_add(allocated as u64, Ordering::Relaxed);
    let more = allocated as i64 - freed as i64;
    let held = HELD.fetch_add(more, Ordering::Relaxed) + more;
    MOST_HELD.fetch_max(held, Ordering::Relaxed);
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

thread_local! {
    /// Handles that outlive their connections.
    static KEPT: RefCell<Vec<Socket>> = const { RefCell::new(Vec::new()) };
}

/// Subscribes when it is told to, and does what the tests need.
struct Listens;

impl Callbacks for Listens {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        match message.as_text().unwrap() {
            "leave" => socket.subscriptions().iter().for_each(|topic| _ = socket.unsubscribe(topic)),
            "keep" => KEPT.with_borrow_mut(|kept| kept.push(socket.clone())),
            "many" => (0..MANY_MESSAGES).for_each(|_| socket.publish("t", vec![1]).unwrap()),
            "publish and leave" => {
                (0..1000).for_each(|_| socket.publish("t", vec![1; 30_000]).unwrap());
                socket.unsubscribe("t");
            }
            topic => _ = socket.subscribe(topic).unwrap(),
        }
        // Nothing, if the queue is full of a topic's messages.
        let _ = socket.send("done");
    }
}

/// More than a shard lets wait.
const MANY_MESSAGES: usize = 700_000;

fn open(server: &TestServer, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::open(server, "/")).collect()
}

fn subscribe(clients: &mut [Client], topic: &str) {
    tell(clients, topic);
}

fn tell(clients: &mut [Client], what: &str) {
    for client in clients {
        client.text(what);
        client.expect_text("done");
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
    let _alone = ALONE.lock();
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
    subscribe(&mut clients[..8], "all");
    // Nothing of the clients' own grows any more.
    clients.iter_mut().for_each(Client::expect_alive);
    let before = held();
    subscribe(&mut clients[8..], "all");
    let each = (held() - before) / (MANY as i64 - 8);
    println!("{each} bytes for each subscription");
    assert!(each <= SUBSCRIPTION_BYTES, "{each} bytes for each subscription");
    tell(&mut clients[8..], "leave");
    let left = held() - before;
    println!("{left} bytes when they have left");
    assert!(left < 4096, "{left} bytes when they have left");
}

/// One that misses what does not fit in its short queue.
fn slow_subscriber(topics: &Topics) -> (TestServer, Client) {
    let config =
        Config::new().topics(topics).queue(1000).slow_consumer(SlowConsumer::Drop).idle_timeout(None);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Listens)));
    let mut client = Client::open(&server, "/");
    tell(slice::from_mut(&mut client), "t");
    (server, client)
}

#[test]
fn what_waits_in_topics_is_no_more_than_it_may_be_however_short_it_is() {
    let _alone = ALONE.lock();
    let topics = Topics::new();
    let (_server, mut client) = slow_subscriber(&topics);
    let before = held();
    MOST_HELD.store(before, Ordering::Relaxed);
    client.text("many");
    eventually("all are given out", || {
        let metrics = topics.metrics();
        metrics.delivered + metrics.dropped == MANY_MESSAGES as u64
    });
    let most = MOST_HELD.load(Ordering::Relaxed) - before;
    println!("{most} bytes for what waits");
    assert!((40 << 20..70 << 20).contains(&most), "{most} bytes for what waits");
}

#[test]
fn messages_that_nobody_is_left_to_get_are_not_put_together() {
    let _alone = ALONE.lock();
    const LEN: u64 = 1000 * 30_000;
    let topics = Topics::new();
    let (_server, mut client) = slow_subscriber(&topics);
    let (before, allocated) = (held(), ALLOCATED.load(Ordering::Relaxed));
    client.text("publish and leave");
    eventually("it has left", || topics.metrics().dropped > 900);
    eventually("all is forgotten", || held() < before + (1 << 20));
    let allocated = ALLOCATED.load(Ordering::Relaxed) - allocated;
    // As they are given to it, and as frames.
    assert!(allocated < 2 * LEN + LEN / 2, "{allocated} for {LEN}");
}

#[test]
fn a_handle_that_is_kept_keeps_no_context_of_its_connection() {
    let _alone = ALONE.lock();
    const COUNT: i64 = 20;
    let takeover = DeflateContext { takeover: true, window_bits: 15 };
    let config = Config::new().deflate(DeflateOptions { send: takeover, receive: takeover });
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Listens)));
    let left = Left::of(&server);
    let before = held();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut clients: Vec<Client> = (0..COUNT).map(|_| Client::open_with(&server, "/", offer, b"")).collect();
    for client in &mut clients {
        client.text("keep");
        assert_eq!(client.frame().unwrap().opcode, Opcode::Text);
    }
    assert!(held() - before > COUNT * 400_000, "the counter counts");
    drop(clients);
    left.expect_the_same(&server);
    let each = (held() - before) / COUNT;
    println!("{each} bytes for each handle");
    assert!(each < 10_000, "{each} bytes for each handle");
    on_shard(&server, || KEPT.take().len());
}

//! A shard that gets more than it can do refuses what has waited for too long.
#![cfg(target_os = "linux")] // elsewhere nobody knows how long that is

mod common;

use common::{Answer, Client, TestServer, eventually, get};
use lakh_http::{AccessRecord, App, Limits, Server};
use std::{
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_millis(20);

/// A server whose `/block` blocks the shard until it is let go.
struct Overloaded {
    // Dropped first, and whatever blocks the server with it.
    go: SyncSender<()>,
    server: TestServer,
    blocked: Arc<AtomicUsize>,
    /// Calls of the other handler.
    served: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<AccessRecord>>>,
}

impl Overloaded {
    fn start(queue_age: Option<Duration>) -> Self {
        let (go, gate) = mpsc::sync_channel(8);
        let gate: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(gate));
        let (blocked, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count_blocked, count_served, records) =
            (Arc::clone(&blocked), Arc::clone(&served), Arc::clone(&seen));
        let server = Server::new(move |_| {
            let (gate, blocked) = (Arc::clone(&gate), Arc::clone(&count_blocked));
            let (first, second) = (Arc::clone(&count_served), Arc::clone(&count_served));
            App::new()
                .get("/block", move || {
                    blocked.fetch_add(1, SeqCst);
                    gate.lock().unwrap().recv().unwrap();
                    "unblocked"
                })
                .get("/", move || {
                    first.fetch_add(1, SeqCst);
                    "served"
                })
                .post("/", move || {
                    second.fetch_add(1, SeqCst);
                    "served"
                })
        });
        let server = server.shards(1).watchdog(None).limits(Limits { queue_age, ..Limits::default() });
        let server = server.on_access(move |_| {
            let records = Arc::clone(&records);
            Rc::new(move |record| records.lock().unwrap().push(record))
        });
        let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        let addr = running.addrs()[0];
        Overloaded { go, server: TestServer { running, addr }, blocked, served, seen }
    }

    /// Sends what blocks the shard, on a connection of its own; once the shard is, or will be, at it.
    fn block(&self) -> Client {
        let mut client = self.server.connect();
        client.send(get("/block"));
        client
    }

    fn wait_blocked(&self, times: usize) {
        eventually("the shard is blocked", || self.blocked.load(SeqCst) == times);
    }

    /// Lets the handler go that blocks.
    fn go(&self) {
        self.go.send(()).unwrap();
    }

    /// Blocks the shard twice, each time for longer than the limit: since the second block began, whose request was
    /// late, it is late for longer than the limit. What `send` sends waits meanwhile.
    fn overload<T>(&self, send: impl FnOnce() -> T) -> T {
        let blocked = self.blocked.load(SeqCst);
        let _first = self.block();
        self.wait_blocked(blocked + 1);
        let _second = self.block();
        wait_for_age();
        self.go();
        self.wait_blocked(blocked + 2);
        let sent = send();
        wait_for_age();
        sent
    }

    fn shed(&self) -> u64 {
        self.server.running.metrics().map(|shard| shard.shed()).sum()
    }
}

/// Until what was sent before is older than the limit, by the kernel's coarsest tick.
fn wait_for_age() {
    let since = Instant::now();
    eventually("time has passed", || since.elapsed() > 2 * LIMIT + Duration::from_millis(20));
}

fn sent(server: &Overloaded, request: impl AsRef<[u8]>) -> Client {
    let mut client = server.server.connect();
    client.send(request);
    client
}

/// All that a client gets, but for the date.
fn bytes(client: &mut Client) -> String {
    let text = String::from_utf8(client.rest()).unwrap();
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\n\
    content-length: 19\r\n\
    connection: close\r\n\
    \r\n\
    Service Unavailable";

#[test]
fn what_has_waited_for_too_long_is_refused_on_new_connections_and_old_ones() {
    let server = Overloaded::start(Some(LIMIT));
    let mut kept = sent(&server, get("/"));
    assert_eq!(kept.answer().status, 200);
    let mut fresh = server.overload(|| {
        // What follows in the pipeline is not answered.
        kept.send(get("/").repeat(2));
        sent(&server, get("/"))
    });
    server.go();
    assert_eq!(bytes(&mut kept), REFUSAL);
    assert_eq!(bytes(&mut fresh), REFUSAL);
    assert_eq!((server.shed(), server.served.load(SeqCst)), (2, 1), "no handler ran");
}

#[test]
fn a_shard_that_has_caught_up_refuses_nobody() {
    let server = Overloaded::start(Some(LIMIT));
    let mut refused = server.overload(|| sent(&server, get("/")));
    server.go();
    assert_eq!(refused.answer().status, 503);
    server.server.settle();
    wait_for_age();
    assert_eq!(server.server.exchange(get("/")).status, 200);
    // The route of a refused request is not taken for that of the next one.
    assert_eq!(server.server.exchange(get("/nowhere")).status, 404);
    assert_eq!(server.shed(), 1);
}

#[test]
fn a_single_stall_refuses_nobody() {
    let server = Overloaded::start(Some(LIMIT));
    let _blocks = server.block();
    server.wait_blocked(1);
    let mut waiting: Vec<_> = (0..3).map(|_| sent(&server, get("/"))).collect();
    wait_for_age();
    server.go();
    assert!(waiting.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!(server.shed(), 0);
}

#[test]
fn without_a_limit_everything_is_answered_however_late() {
    let server = Overloaded::start(None);
    let mut waiting = server.overload(|| [sent(&server, get("/")), sent(&server, get("/"))]);
    server.go();
    assert!(waiting.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!((server.shed(), server.served.load(SeqCst)), (0, 2));
}

#[test]
fn the_body_of_a_refused_request_is_neither_asked_for_nor_read() {
    let server = Overloaded::start(Some(LIMIT));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n";
    let [mut expects, mut sends] = server.overload(|| {
        let expects = sent(&server, format!("{head}Expect: 100-continue\r\n\r\n"));
        // More than is read at once.
        [expects, sent(&server, format!("{head}\r\n{}", "b".repeat(80_000)))]
    });
    server.go();
    eventually("both are refused", || server.shed() == 2);
    server.server.settle();
    // Who sends on before it reads gets no reset: that would show at the second attempt.
    for client in [&mut expects, &mut sends] {
        (0..2).for_each(|_| client.send(vec![b'b'; 1000]));
    }
    assert_eq!(bytes(&mut expects), REFUSAL);
    assert_eq!(bytes(&mut sends), REFUSAL);
    assert_eq!((server.shed(), server.served.load(SeqCst)), (2, 0));
}

#[test]
fn a_refusal_to_head_has_no_body_and_is_told_to_the_log() {
    let server = Overloaded::start(Some(LIMIT));
    let mut head = server.overload(|| sent(&server, "HEAD /?a HTTP/1.1\r\nHost: a\r\n\r\n"));
    server.go();
    assert_eq!(bytes(&mut head), REFUSAL.strip_suffix("Service Unavailable").unwrap());
    server.server.settle();
    let seen = server.seen.lock().unwrap();
    let told: Vec<_> =
        seen.iter().map(|record| (record.target(), record.status().unwrap().as_u16())).collect();
    assert_eq!(told, [("/block", 200), ("/block", 200), ("/?a", 503)]);
}

#[test]
fn a_drain_answers_what_has_waited() {
    let server = Overloaded::start(Some(LIMIT));
    let mut kept = sent(&server, get("/"));
    kept.answer();
    let mut fresh = server.overload(|| {
        kept.send(get("/"));
        sent(&server, get("/"))
    });
    server.server.running.drain();
    server.go();
    let ends = |answer: Answer| (answer.status, answer.says_close());
    assert_eq!([ends(kept.answer()), ends(fresh.answer())], [(200, true), (200, true)]);
    assert_eq!(server.shed(), 0);
}

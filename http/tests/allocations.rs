//! What a request allocates in the steady state, and what an idle connection keeps: counted on
//! the shards' threads by an allocator of our own.
//!
//! One test, so that no other one's server runs beside it.

// mio allocates for its stand-in for epoll.
#![cfg(not(mio_unsupported_force_poll_poll))]

mod common;

use common::{Client, TestServer, get};
use lakh_http::{App, Head, Request, Response, Upgraded};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Set on the shard's thread by its app's factory.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn is_counted() -> bool {
    COUNTED.try_with(Cell::get).unwrap_or(false)
}

fn note(allocations: u64, bytes: i64) {
    if is_counted() {
        ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes on to the system's allocator with its arguments unchanged; counting
// neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller keeps GlobalAlloc's contract, and System has the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: as above; `ptr` came from System through this allocator.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: usize = 1000;

/// An idle connection's share of the heap: its task, its state, its places in the shard's tables.
/// mio's sockets are larger in debug builds, and tables grow by doubling.
const IDLE_BYTES: i64 = if cfg!(debug_assertions) { 256 } else { 192 };

/// One that waits in its handler, an async function with a buffer of two bytes.
const UPGRADED_BYTES: i64 = if cfg!(debug_assertions) { 384 } else { 320 };

async fn echo(mut stream: Upgraded) {
    let mut buffer = [0; 2];
    while let Ok(1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer).await.unwrap();
    }
}

fn app() -> App {
    App::new()
        .get("/upgrade", || Response::upgrade("x", echo))
        .get("/plaintext", || "Hello, World!")
        .get("/users/{id}/posts/{post}", |head: &Head<'_>| match head.param("id").as_deref() {
            Some("7") => "seven",
            _ => "another",
        })
        .get("/later", async |request: Request| request.head().path().len().to_string())
        .post("/echo", async |mut request: Request| request.body_mut().bytes().await)
}

/// The twelve fields that a browser sends.
fn browser() -> String {
    [
        "GET /plaintext?from=browser HTTP/1.1",
        "Host: localhost:8080",
        "Connection: keep-alive",
        "sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"",
        "sec-ch-ua-mobile: ?0",
        "sec-ch-ua-platform: \"Linux\"",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Mode: navigate",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9",
        "Cookie: session=0123456789abcdef; theme=dark",
        "",
        "",
    ]
    .join("\r\n")
}

#[test]
fn requests_allocate_nothing_and_idle_connections_keep_little() {
    let server = TestServer::start(|_| {
        COUNTED.set(true);
        app()
    });
    for (what, request) in [
        ("plaintext", get("/plaintext")),
        ("path parameters", get("/users/7/posts/9?q")),
        ("a browser's fields", browser()),
        ("not found", get("/missing")),
        ("16 pipelined", get("/plaintext").repeat(16)),
    ] {
        let count = allocations(&server, &request);
        assert_eq!(count, 0, "{what}: allocations in {REQUESTS} rounds");
    }
    assert!(allocations(&server, &get("/later")) >= 1000, "the counter counts: a future is allocated");
    let per_connection = idle_bytes(&server);
    assert!(per_connection <= IDLE_BYTES, "{per_connection} bytes for each idle connection");
    println!("{per_connection} bytes for each idle connection");
    let per_connection = upgraded_bytes(&server);
    assert!(per_connection <= UPGRADED_BYTES, "{per_connection} bytes for each upgraded connection");
    println!("{per_connection} bytes for each upgraded connection");
}

/// Heap bytes for each of many connections that have left HTTP and wait.
fn upgraded_bytes(server: &TestServer) -> i64 {
    const FEW: i64 = 64;
    const MANY: i64 = 1024;
    let open = |n: i64| -> Vec<Client> {
        (0..n)
            .map(|_| {
                let mut client = server.connect();
                client.exchange(get("/later"));
                client
                    .send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi");
                assert_eq!(client.head().status, 101);
                assert_eq!(client.take(2), b"hi");
                client
            })
            .collect()
    };
    let few = open(FEW);
    let before = BYTES.load(Ordering::Relaxed);
    let many = open(MANY);
    let bytes = BYTES.load(Ordering::Relaxed) - before;
    drop((few, many));
    bytes / MANY
}

/// Allocations of the shard in so many rounds, after some that warm it up.
fn allocations(server: &TestServer, request: &str) -> u64 {
    let depth = request.matches("GET ").count();
    let mut client = server.connect();
    let mut rounds = |n: usize| {
        for _ in 0..n {
            client.send(request);
            for _ in 0..depth {
                client.answer();
            }
        }
    };
    rounds(100);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    rounds(REQUESTS);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Heap bytes for each of many connections that have had answers to all kinds of requests.
fn idle_bytes(server: &TestServer) -> i64 {
    const FEW: i64 = 64;
    const MANY: i64 = 1024; // the shard's tables are exactly full with them, or nearly so
    let open = |n: i64| -> Vec<Client> {
        (0..n)
            .map(|_| {
                let mut client = server.connect();
                client.exchange(get("/plaintext"));
                client.exchange(get("/later"));
                let big = "x".repeat(60_000);
                client
                    .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", big.len()));
                client.send(&big);
                assert_eq!(client.answer().body.len(), big.len());
                client.send("GET /plain");
                client.send("text HTTP/1.1\r\nHost: a\r\n\r\n");
                client.answer();
                client
            })
            .collect()
    };
    let few = open(FEW);
    let before = BYTES.load(Ordering::Relaxed);
    let many = open(MANY);
    let bytes = BYTES.load(Ordering::Relaxed) - before;
    drop((few, many));
    bytes / MANY
}

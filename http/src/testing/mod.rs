//! Testing a service: in the test's own thread without sockets, or over a real port.
//!
//! [`TestClient`] asks an [`App`] directly. Its requests are bytes that the server's own parser
//! reads, and they take the way that a connection's take: routes, middleware, limits of bodies,
//! extractors, handlers, rendered errors, panics that become 500. What it leaves out is the
//! connection: pipelining, deadlines, clients that go away; and upgrades, which are a panic and need the other one.
//! [`run`] makes a test of it:
//!
//! ```
//! use lakh_http::{App, extract::Json, testing};
//!
//! fn app() -> App {
//!     App::new()
//!         .get("/", || "hello")
//!         .post("/sum", async |Json(numbers): Json<Vec<i64>>| Json(numbers.iter().sum::<i64>()))
//! }
//!
//! // #[test]
//! fn numbers_are_added() {
//!     testing::run(|_| app(), async |client| {
//!         let mut answer = client.post("/sum").json(&[1, 2, 3]).send().await;
//!         assert_eq!(answer.status(), 200);
//!         assert_eq!(answer.json::<i64>().await, 6);
//!     });
//! }
//! # numbers_are_added();
//! ```
//!
//! [`TestServer`] is a server on a port of its own with a blocking client of the same methods; it
//! needs no shard, and tests what the other leaves out ([`TestResponse::into_upgraded`] for other protocols):
//!
//! ```
//! use lakh_http::{App, testing::TestServer};
//!
//! let server = TestServer::start(|_| App::new().get("/", || "hello"));
//! assert_eq!(server.get("/").send().text(), "hello");
//! ```
//!
//! Both are made for tests: what cannot be done is a panic that says so, and an answer of more than
//! 64 MiB is one.

mod client;
mod cookies;
mod in_process;
mod request;
mod response;
mod server;
mod wire;

pub use client::TestClient;
pub use in_process::InProcess;
pub use request::TestRequest;
pub use response::TestResponse;
pub use server::TestServer;
pub use wire::{OverWire, UpgradedWire};

use crate::App;
use lakh_core::Shard;
use std::time::Duration;

/// Ends a test that hangs; no test is meant to come near it.
const SAFETY_NET: Duration = Duration::from_secs(60);
/// Bytes of a body that is read as a whole.
const BODY_AT_MOST: usize = 64 << 20;

/// Runs a test of an app on a shard of its own, on this thread.
///
/// `app` makes the service, as [`Server::new`](crate::Server::new) has it. Other tasks that it or
/// its handlers have spawned end with the test.
///
/// # Panics
/// If the test panics, if it takes more than a minute, and on a thread that runs a shard already.
pub fn run<S: 'static>(
    app: impl FnOnce(&Shard) -> App<S> + 'static,
    test: impl AsyncFnOnce(TestClient) + 'static,
) {
    let tested = lakh_core::block_on(async move {
        let client = TestClient::new(app(&lakh_core::current()));
        lakh_core::timeout(SAFETY_NET, test(client)).await
    });
    tested.expect("a shard for the test").expect("the test hangs");
}

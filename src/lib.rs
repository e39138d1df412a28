//! Lakh (one hundred thousand): a framework for network servers that hold a hundred thousand
//! connections and more on one machine.
//!
//! One event loop runs on each core, with its own sockets, tasks and memory. Network I/O uses no
//! other threads; what blocks (files, hashing, your own slow code) goes to one bounded pool.
//!
//! ```no_run
//! use lakh::http::{App, Head, Server};
//!
//! fn main() -> std::io::Result<()> {
//!     Server::new(|_shard| {
//!         App::new()
//!             .get("/", || "Hello, World!")
//!             .get("/hello/{name}", |head: &Head<'_>| format!("Hello, {}!", head.param("name").unwrap()))
//!     })
//!     .bind("127.0.0.1:8080")?
//!     .run()?;
//!     Ok(())
//! }
//! ```
//!
//! This crate is a facade: [`core`] is the runtime, [`net`] has TCP and UDP sockets, [`http`] the
//! HTTP server and static files, [`ws`] WebSockets and topics, [`fs`] files that no shard waits for, [`process`] child
//! processes, [`signal`] signals, [`password`] hashes, password files and random tokens, [`compress`] gzip, deflate, brotli
//! and zstd, [`diagnostics`] what a running program is at.
//! The [`guide`] begins with an empty folder. With the feature `tokio`, `lakh::tokio` runs futures that need tokio; with
//! the feature `tower`, [`http`] serves services of tower (an axum `Router`) and uses its layers.

#![forbid(unsafe_code)]

pub mod guide;

/// WebSocket connections and topics: the crate `lakh-ws`. The [guide](crate::guide::websockets) has a chapter of them.
// A module, and not the crate by another name: the compiler tells who has forgotten `WebSocketRoutes` where to import
// it from, and would say `lakh::lakh_ws`, which is not there.
#[cfg(feature = "ws")]
pub mod ws {
    #[doc(inline)]
    pub use lakh_ws::*;
}

#[cfg(feature = "compress")]
pub use lakh_compress as compress;
pub use lakh_core as core;
pub use lakh_http as http;
pub use lakh_net as net;
#[cfg(feature = "password")]
pub use lakh_password as password;

#[cfg(unix)]
pub use lakh_core::AsyncFd;
#[cfg(feature = "tokio")]
pub use lakh_core::tokio;
pub use lakh_core::{
    InputError, Interval, MissedTicks, block_on, blocking, blocking_on, diagnostics, drain_requested, fs,
    interval, interval_at, map_chunks, pool, process, shield, signal, sleep, sleep_until, spawn,
    spawn_detached, timeout, tty,
};

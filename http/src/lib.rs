//! HTTP/1.1 servers on Lakh's event loops.
//!
//! ```no_run
//! use lakh_http::{App, Head, Request, Server};
//!
//! Server::new(|_shard| {
//!     App::new()
//!         .get("/", || "Hello, World!")
//!         .get("/hello/{name}", |head: &Head<'_>| format!("Hello, {}!", head.param("name").unwrap()))
//!         .post("/echo", async |mut request: Request| request.body_mut().bytes().await)
//! })
//! .bind("127.0.0.1:8080")?
//! .run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Limits and deadlines are on by default ([`Limits`]). This crate does no TLS, and it compresses
//! answers when it is asked to ([`middleware::Compress`]).

#![forbid(unsafe_code)]

mod access;
mod addr;
mod app;
#[doc(hidden)]
pub mod bench;
mod body;
mod connection;
pub mod cookies;
pub mod diagnostics;
mod error;
mod extensions;
pub mod extract;
pub mod files;
mod guard;
mod handler;
mod head_start;
mod host;
mod into_response;
mod limits;
mod metrics;
pub mod middleware;
mod overload;
pub mod proto;
mod request;
mod response;
mod router;
mod server;
mod service;
pub mod sse;
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod upgrade;

pub use access::AccessRecord;
pub use addr::IntoAddr;
pub use app::App;
pub use body::{BodyError, RequestBody};
pub use bytes::Bytes;
pub use error::{HandlerError, HandlerResult};
pub use files::Files;
pub use handler::{Answer, Handler, Incoming, Outcome};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
pub use into_response::{HeaderFields, Html, IntoResponse, Redirect};
pub use limits::{Limits, RouteLimits};
pub use metrics::ServiceMetrics;
pub use request::{Head, Request, Scheme};
pub use response::{Body, Chunks, Response, StreamError};
pub use server::{Running, Server};
pub use sse::Sse;
pub use upgrade::Upgraded;

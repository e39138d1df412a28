//! WebSocket connections and topics on Lakh's event loops.
//!
//! A route of an HTTP app opens WebSockets by [`WebSocketRoutes::ws`]. Its handler is an async function that receives
//! and sends ([`WebSocket`]), or a set of [`Callbacks`], which keep no future in memory. [`Topics`] carry messages to
//! all who are subscribed, on all shards. [`connect`] opens a WebSocket as a client.
//!
//! ```
//! use lakh_http::App;
//! use lakh_ws::{WebSocket, WebSocketRoutes};
//!
//! let app = App::new().ws("/echo", async |mut socket: WebSocket| {
//!     while let Some(message) = socket.recv().await {
//!         if socket.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! });
//! ```
//!
//! The protocol itself, without I/O, is [`proto`].

#![forbid(unsafe_code)]

mod client;
mod config;
mod connection;
mod local;
mod message;
mod metrics;
mod pace;
pub mod proto;
mod route;
mod session;
mod socket;
mod topics;

pub use client::{Connect, ConnectError, connect};
pub use config::{Config, SlowConsumer};
pub use message::{Message, Payload};
pub use metrics::SocketMetrics;
pub use proto::{
    CloseCode,
    deflate::{DeflateContext, DeflateOptions},
};
pub use route::{CallbackHandler, Opening, WebSocketHandler, WebSocketRoutes, callbacks};
pub use session::{Callbacks, RecvFuture, SocketEvent, WebSocket};
pub use socket::{CloseInfo, SendError, SendFuture, Socket};
pub use topics::{PublishError, Relay, SubscribeError, Topics, TopicsMetrics};
pub use tungstenite::Utf8Bytes;

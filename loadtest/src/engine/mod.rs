//! The engine: connections on shards, and the coordinator that starts them, looks at them and ends them.
//!
//! # How a protocol plugs in
//!
//! - Over a stream of bytes (HTTP, WebSocket, TCP): a type that is a `client::Protocol`. It writes requests and
//!   reads answers. A `Connection` (`engine/connection.rs`) does the rest for it: connecting, the pace, timeouts,
//!   making lost connections anew, and counting, by what the protocol puts into its `client::Sink`. Begin with a
//!   module beside `client/http/` and a line in [`Run::start`].
//! - Over anything else (datagrams): a type that is a `client::Client`, with a future of its own in the place of
//!   `Connection` and the same `Local`: `Local::take_request` deals the requests out, in a closed loop and in an open
//!   one, and `Local::count_answer` and the like count.
//! - What comes without having been asked for (broadcasts): `client::Client::received` tells of it in each report.
//!
//! # Who does what
//!
//! Nothing is shared between shards. Each counts into a tally of its own, which its clerk sends to the coordinator
//! once a second, and begins anew. The coordinator says two things to all shards: when requests begin (once every
//! connection that is wanted from the beginning has been tried), and that the run has ended. In between, a run has up to
//! three parts on the same connections: they only stand, requests are answered, messages are published.

mod clock;
mod connection;
mod control;
mod dealer;
mod flight;
mod idle;
mod local;
mod news;
mod run;
mod shard;
mod share;
mod tables;
#[cfg(test)]
mod tests;

/// Said of a server that has much sent to it, and takes nothing.
pub(crate) const DOES_NOT_READ: &str = "the server asks for answers, and does not read them";

pub(crate) use clock::{Nanos, nanos};
pub(crate) use idle::{NOT_IDLE, Ticket};
pub(crate) use local::{Buffers, Local, cause_of, from_source};
pub use news::{News, Phase};
pub use run::{Run, Stop};

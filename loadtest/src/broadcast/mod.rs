//! Messages that a server gives to many: who should get them, who got them, and when.
//!
//! One connection publishes, all others receive ([`Published`] is what they know of it). Each shard counts its
//! receivers ([`Receivers`]) and tells the coordinator once a second, which adds them up message by message
//! ([`Collector`]). A message's delays are kept until all have it, or until so many are under way that the oldest
//! one is taken as it is.

mod collector;
mod published;
mod receivers;
mod spread;

pub(crate) use collector::Collector;
pub(crate) use published::Published;
pub(crate) use receivers::{Received, Receivers};
pub(crate) use spread::Spread;

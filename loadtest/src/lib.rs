//! Load tests with up to a million connections from one machine, over HTTP, WebSocket, TCP and UDP.
//!
//! A [`Plan`] says what to do, a run does it, an [`Outcome`] is what came of it. Nothing here prints, or reads a
//! command line: the `lakh load` command does.

#![forbid(unsafe_code)]

mod broadcast;
mod client;
pub mod doctor;
pub mod engine;
mod memory;
pub mod numbers;
pub mod plan;
pub mod preflight;
pub mod progress;
pub mod report;
mod request_list;
mod schedule;
mod sources;
pub mod stats;
mod target;
pub mod template;
pub mod threshold;
pub mod units;
mod usage;

#[cfg(test)]
mod made_up;

pub use engine::{Run, Stop};
pub use plan::Plan;
pub use request_list::RequestList;
pub use sources::{Network, ParseNetworkError};
pub use stats::{Outcome, Tally};
pub use target::TargetError;

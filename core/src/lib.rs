//! Lakh's runtime: one event loop per core, nothing shared between them.
//!
//! A [`Runtime`] starts *shards*: threads that each run an event loop of their own, with their own
//! sockets, tasks and timers. A task never leaves its shard, so it needs neither `Send` nor locks.
//! Work that blocks (files, hashing) goes to one bounded [`pool`] that all shards share.
//!
//! ```
//! use std::time::Duration;
//!
//! let answer = lakh_core::block_on(async {
//!     let slow = lakh_core::spawn(async {
//!         lakh_core::sleep(Duration::from_millis(10)).await;
//!         21
//!     });
//!     2 * slow.await.unwrap()
//! })?;
//! assert_eq!(answer, 42);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! This crate knows no protocol and has no sockets of its own: those are in `lakh-net`.
//! It does not move tasks between threads, and it does not make blocking code harmless: a task
//! that blocks stops its whole shard.

#![deny(unsafe_code)]

#[cfg(unix)]
mod async_fd;
mod blocking;
pub mod diagnostics;
pub mod fs;
pub mod histogram;
mod input_error;
mod interval;
mod metrics;
pub mod pool;
mod precise;
pub mod process;
mod reactor;
mod runtime;
mod shard;
mod shield;
pub mod signal;
mod slab;
pub mod stderr;
mod sync;
pub mod sys;
mod task;
mod time;
pub mod timer;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod tty;
mod unwind;
mod wait_slot;
mod wakers;
mod watchdog;

#[cfg(unix)]
pub use async_fd::AsyncFd;
pub use blocking::{Blocking, blocking, blocking_on, map_chunks};
pub use input_error::InputError;
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use metrics::ShardMetrics;
pub use pool::Pool;
pub use precise::PreciseTimer;
pub use reactor::{Direction, Registration, SourceId};
pub use runtime::{Builder, DrainReport, Runtime};
pub use shard::{
    Hook, MAILBOX_CAPACITY, More, POLL_BUDGET, SendError, Shard, ShardHandle, WorkGuard, block_on, current,
    drain_requested, poll_budget, spawn, spawn_detached, try_with, with, yield_now, yield_to_others,
};
pub use shield::shield;
pub use stderr::warn;
pub use task::{JoinError, JoinHandle, Named, Waiter, named};
pub use time::{CoarseTimer, Elapsed, Sleep, sleep, sleep_until, timeout};
pub use wait_slot::WaitSlot;
pub use wakers::{WakerKey, Wakers};
pub use watchdog::{Stall, WorkName};

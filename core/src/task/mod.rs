//! Tasks: the futures that a shard owns and polls.
//!
//! A task is `!Send` and never leaves its shard: it is polled and dropped at home only, whatever
//! thread drops its last waker. What wakers share is a small [`Link`] apart from the future.
//!
//! Checks beyond the plain tests, from the workspace's root:
//!
//! - Every interleaving of the models of this module, of the shard's sleep and end, and of the pool:
//!   `RUSTFLAGS="--cfg loom" cargo test -p lakh-core --release --lib --target-dir target/loom loom_`
//! - Undefined behaviour, leaks and data races, without a kernel poller:
//!   `cargo +nightly miri test -p lakh-core --lib task::`

mod join;
mod link;
mod named;
mod polled;
mod set;
#[cfg(all(test, not(loom)))]
mod tests;
mod told;
mod waiter;

pub(crate) use join::joinable;
pub use join::{JoinError, JoinHandle};
pub(crate) use link::{Link, LinkList};
pub use named::{Named, named};
pub(crate) use set::{Asked, TaskRef, Tasks};
pub(crate) use told::{boxed, boxed_teller};
pub use waiter::Waiter;
pub(crate) use waiter::Waiters;

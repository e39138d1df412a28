//! Tasks: the futures that a shard owns and polls.
//!
//! A task is `!Send` and never leaves its shard: it is polled and dropped at home only, whatever
//! thread drops its last waker. What wakers share is a small [`Link`] apart from the future.

mod join;
mod link;
mod set;
mod waiter;

pub(crate) use join::joinable;
pub use join::{JoinError, JoinHandle};
pub(crate) use link::{Link, LinkList};
pub(crate) use set::{TaskRef, Tasks};
pub use waiter::Waiter;
pub(crate) use waiter::Waiters;

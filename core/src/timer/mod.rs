//! Timers.
//!
//! [`wheel`] holds deadlines by the million and takes the time as an argument; it reads no clock and
//! wakes nobody. A shard drives two of them, one with ticks of a millisecond for sleeps and
//! timeouts, one with ticks of a second for idle deadlines.

pub mod wheel;

pub use wheel::{State, TimerKey, Wheel};

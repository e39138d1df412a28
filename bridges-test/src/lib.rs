//! Nothing but tests: `tests/`, and the examples of the guide.

#[doc = include_str!("../../docs/guide/bridges.md")]
pub mod guide {}

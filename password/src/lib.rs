//! Password hashes and random tokens.
//!
//! Hashing is slow on purpose, and computes. It runs on the pool's [cpu lane](lakh_core::pool::Lane::CPU), never on
//! a shard, and a [`Hasher`] bounds the memory that it takes and how many wait for it.
//!
//! ```
//! # lakh_core::block_on(async {
//! let stored = lakh_password::hash("correct horse").await?.to_string();
//!
//! // Later, for a name that somebody claims; `None` for a name that nobody has.
//! let verdict = lakh_password::verify("correct horse", Some(&stored.parse()?)).await?;
//! assert!(verdict.is_right() && !verdict.needs_rehash());
//! assert!(!lakh_password::verify("guessed", None).await?.is_right());
//! # Ok::<(), lakh_password::Error>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! [`Htpasswd`] is the file of names and hashes that other servers have, too. [`random`] has keys and tokens.
//!
//! It stores nothing, limits no rate, and knows no protocol.

#![forbid(unsafe_code)]

mod algorithm;
mod error;
mod gate;
mod hasher;
mod htpasswd;
pub mod random;
mod recent;
mod stored;
mod together;

pub use algorithm::{Algorithm, MAX_PASSWORD};
pub use error::Error;
pub use hasher::{Hasher, Verdict, hash, verify};
pub use htpasswd::Htpasswd;
pub use stored::PasswordHash;

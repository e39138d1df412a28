//! The content codings of HTTP (RFC 9110, 8.4): gzip, deflate, brotli and zstd, both ways.
//!
//! ```
//! use lakh_compress::{Coding, Level};
//!
//! # lakh_core::block_on(async {
//! let text = "Lakh ".repeat(10_000);
//! let packed = lakh_compress::compress(Coding::Gzip, Level::Balanced, text.clone()).await?;
//! assert!(packed.len() < 1000);
//!
//! let unpacked = lakh_compress::decompress(Coding::Gzip, packed, 100_000).await?;
//! assert_eq!(unpacked, text);
//! # Ok::<(), lakh_compress::Error>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! There are three ways to it:
//!
//! - [`compress`] and [`decompress`] for bytes in memory;
//! - [`Encode`] and [`Decode`], which are streams of chunks around streams of chunks;
//! - [`Encoder`] and [`Decoder`], which compute on the thread that calls them, for code that is on the pool already.
//!
//! The first two run on a shard. What is short is done there and then, since to hand it over would cost more; the rest
//! goes to the pool's [cpu lane](lakh_core::pool::Lane::CPU), a piece at a time, so that a long body does not hold up
//! the others of the lane.
//!
//! Whoever decompresses says how many bytes may come out: a megabyte of zeros is a kilobyte of gzip, and less than
//! that of the others.
//!
//! It reads no archives (zip, tar), has no dictionaries of one's own, and knows no protocol.

#![forbid(unsafe_code)]

mod coding;
mod decoder;
mod encoder;
mod error;
mod stream;
mod whole;

pub use coding::{Coding, Level, UnknownCoding};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{Error, StreamError};
pub use stream::{Decode, Encode};
pub use whole::{compress, decompress};

/// What is given to a worker at a time, before or after it is compressed.
const PIECE: usize = 64 * 1024;
/// What a shard compresses or decompresses by itself.
const INLINE: usize = 4 * 1024;

//! permessage-deflate (RFC 7692).
//!
//! A context that is taken over is dictionary and state of one direction of one connection, and lives as long as the
//! connection does. Without it, one compressor and one decompressor serve a whole shard ([`SharedDeflate`]), and an idle
//! connection takes nothing; that is the default, and the handshake says so to the peer.
//!
//! What a context of one's own takes, in bytes, by its window bits (zlib-rs 0.6, at every level):
//!
//! | window bits | 15 | 14 | 13 | 12 | 11 | 10 | 9 |
//! |---|---|---|---|---|---|---|---|
//! | [`Compressor`] | 380,032 | 314,496 | 281,728 | 265,344 | 257,152 | 253,056 | 251,008 |
//! | [`Inflater`] | 47,552 | 47,552 | 47,552 | 47,552 | 47,552 | 47,552 | 47,552 |
//!
//! A compressor is mostly a hash table and room for output, for which zlib's memory level (8) cannot be chosen; neither
//! grows with what is sent. So a thousand connections with contexts of their own take 430 MB at most.
mod codec;
mod extensions;
mod negotiate;

pub use codec::{CompressError, Compressor, Inflater, SharedDeflate};
pub use extensions::ExtensionError;
pub use negotiate::{answer_offers, check_answer, offer};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateContext {
    /// Whether each message is compressed with what the former ones have left: smaller messages, and memory for each
    /// connection. A topic's messages, which are compressed once for all, then go to it as they are.
    pub takeover: bool,
    /// The size of the window, as a power of two: 9 to 15. Others are taken for the nearest of these.
    pub window_bits: u8,
}

impl DeflateContext {
    /// No takeover, and the largest window.
    pub const SHARED: DeflateContext = DeflateContext { takeover: false, window_bits: 15 };

    fn bits(&self) -> u8 {
        self.window_bits.clamp(SMALLEST_WINDOW, LARGEST_WINDOW)
    }
}

/// What a route or a client wants of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// What we compress.
    pub send: DeflateContext,
    /// What the peer compresses.
    pub receive: DeflateContext,
}

impl Default for DeflateOptions {
    /// Shared contexts in both directions.
    fn default() -> Self {
        DeflateOptions { send: DeflateContext::SHARED, receive: DeflateContext::SHARED }
    }
}

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// What we compress. If the window has 8 bits, nothing: [`Deflate::compresses`].
    pub send: DeflateContext,
    /// What the peer compresses.
    pub receive: DeflateContext,
}

impl Deflate {
    /// Whether we compress at all.
    ///
    /// A peer may ask for a window of 256 bytes, and zlib has no such compressor: with 8 bits it silently takes 9. Every
    /// message may be sent as it is (RFC 7692, 6), so to such peers all are.
    pub fn compresses(&self) -> bool {
        self.send.window_bits >= SMALLEST_WINDOW
    }
}

/// zlib's smallest window; the protocol's is 8.
const SMALLEST_WINDOW: u8 = 9;
const LARGEST_WINDOW: u8 = 15;

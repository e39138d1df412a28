//! Compressing and inflating messages, by zlib-rs.
use std::borrow::Cow;
use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{DeflateContext, LARGEST_WINDOW, SMALLEST_WINDOW};
use crate::proto::Event;
use crate::proto::error::{Kind, ProtocolError};
use crate::proto::utf8::validate;

/// What a flush ends with, and a compressed message does without (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// The least room to compress or inflate into.
const LEAST_ROOM: usize = 256;
/// Streams of one message: each that ends takes as long as inflating some hundred bytes.
const STREAMS: usize = 64;

/// Compresses messages, for one connection or for all whose context is not taken over.
#[derive(Debug)]
pub struct Compressor {
    deflate: Compress,
    takeover: bool,
}

impl Compressor {
    /// `level` is zlib's, 0 to 9.
    pub fn new(level: u8, context: DeflateContext) -> Self {
        let level = Compression::new(u32::from(level.min(9)));
        let deflate = Compress::new_with_window_bits(level, false, context.bits());
        Compressor { deflate, takeover: context.takeover }
    }

    /// Appends `payload`, compressed, to `out`. Random bytes become up to an eighth longer.
    ///
    /// # Errors
    ///
    /// zlib failed, which it has no reason to. `out` is as it was; the connection's context is lost.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        if payload.is_empty() {
            // An empty block; zlib would not flush twice what has nothing in between (RFC 7692, 7.2.3.6).
            out.push(0);
            return Ok(());
        }
        let start = out.len();
        let result = self.flush(payload, out);
        if result.is_err() {
            out.truncate(start);
        }
        if result.is_err() || !self.takeover {
            self.deflate.reset();
        }
        result
    }

    fn flush(&mut self, mut payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let start = out.len();
        loop {
            out.reserve(payload.len() / 2 + LEAST_ROOM);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(payload, out, FlushCompress::Sync);
            let taken = self.deflate.total_in() - before;
            payload = &payload[taken as usize..];
            let full = out.len() == out.capacity();
            match status {
                Ok(Status::Ok) if full => {}
                // Without room left it may or may not have been the end: the next call says so.
                Ok(Status::Ok | Status::BufError) if payload.is_empty() => break,
                _ => return Err(CompressError(())),
            }
        }
        if !out[start..].ends_with(&TAIL) {
            return Err(CompressError(()));
        }
        out.truncate(out.len() - TAIL.len());
        Ok(())
    }
}

/// zlib could not compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressError(());

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message could not be compressed")
    }
}

impl std::error::Error for CompressError {}

/// Inflates messages, for one connection or for all whose context is not taken over.
#[derive(Debug)]
pub struct Inflater {
    inflate: Decompress,
    takeover: bool,
}

impl Inflater {
    /// For what a peer compresses with such a context.
    pub fn new(context: DeflateContext) -> Self {
        // Of another size than the largest, a window would be allocated anew for each message.
        let bits = if context.takeover { context.bits() } else { LARGEST_WINDOW };
        let inflate = Decompress::new_with_window_bits(false, bits);
        Inflater { inflate, takeover: context.takeover }
    }

    /// Appends a compressed message's content to `out`.
    ///
    /// # Errors
    ///
    /// 1009 as soon as it has more than `limit` bytes, and `out` not many more than that; 1007 if it cannot be inflated,
    /// or is made of more than 64 streams.
    pub fn inflate(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let (start, mut streams) = (out.len(), STREAMS);
        let mut result = Ok(());
        for part in [payload, &TAIL] {
            result = result.and_then(|()| self.feed(part, start, limit, &mut streams, out));
        }
        if !self.takeover {
            self.inflate.reset(false);
        }
        result
    }

    /// Inflates what [`Event::Compressed`] holds: `out` is cleared and then holds the content.
    ///
    /// # Errors
    ///
    /// As [`inflate`](Inflater::inflate) has them, and 1007 for text that is not UTF-8.
    pub fn message<'a>(
        &mut self,
        text: bool,
        payload: &[u8],
        limit: usize,
        out: &'a mut Vec<u8>,
    ) -> Result<Event<'a>, ProtocolError> {
        out.clear();
        self.inflate(payload, limit, out)?;
        Ok(if text { Event::Text(Cow::Borrowed(validate(out)?)) } else { Event::Binary(Cow::Borrowed(out)) })
    }

    fn feed(
        &mut self,
        mut part: &[u8],
        start: usize,
        limit: usize,
        streams: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        loop {
            let len = out.len() - start;
            if len > limit {
                return Err(ProtocolError(Kind::MessageTooLarge));
            }
            // One byte more than may be, to see that there are too many.
            let room = len.max(part.len()).max(LEAST_ROOM).min((limit - len).saturating_add(1));
            out.reserve_exact(room);
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(part, out, FlushDecompress::None);
            let taken = self.inflate.total_in() - before;
            part = &part[taken as usize..];
            let full = out.len() == out.capacity();
            match status {
                Ok(Status::StreamEnd) if *streams > 0 => {
                    *streams -= 1;
                    self.go_on_behind_the_end(&out[start..])?;
                }
                Ok(Status::Ok) if full || !part.is_empty() => continue,
                Ok(Status::Ok | Status::BufError) if part.is_empty() => {}
                _ => return Err(ProtocolError(Kind::Inflate)),
            }
            if part.is_empty() {
                let over = out.len() - start > limit;
                return if over { Err(ProtocolError(Kind::MessageTooLarge)) } else { Ok(()) };
            }
        }
    }

    /// A peer may end its stream of blocks within a message and begin another one (RFC 7692, 7.2.3.5), which may look
    /// back on the former one. What came before this message is lost to it, which is an error where it is looked at.
    #[cold]
    fn go_on_behind_the_end(&mut self, content: &[u8]) -> Result<(), ProtocolError> {
        self.inflate.reset(false);
        let window = content.len().saturating_sub(1 << LARGEST_WINDOW);
        match self.inflate.set_dictionary(&content[window..]) {
            Ok(_) => Ok(()),
            Err(_) => Err(ProtocolError(Kind::Inflate)),
        }
    }
}

/// The compressors and the decompressor of a shard, for all connections that take no context over.
///
/// Each is made when it is needed first; there are at most seven compressors, one for each size of a window.
#[derive(Debug)]
pub struct SharedDeflate {
    level: u8,
    compressors: [Option<Box<Compressor>>; (LARGEST_WINDOW - SMALLEST_WINDOW + 1) as usize],
    inflater: Option<Box<Inflater>>,
}

impl SharedDeflate {
    /// `level` is zlib's, 0 to 9.
    pub fn new(level: u8) -> Self {
        SharedDeflate { level, compressors: Default::default(), inflater: None }
    }

    /// The compressor for windows of this size.
    pub fn compressor(&mut self, window_bits: u8) -> &mut Compressor {
        let context = DeflateContext { takeover: false, window_bits };
        let level = self.level;
        let place = &mut self.compressors[usize::from(context.bits() - SMALLEST_WINDOW)];
        place.get_or_insert_with(|| Box::new(Compressor::new(level, context)))
    }

    /// The decompressor, for windows of any size.
    pub fn inflater(&mut self) -> &mut Inflater {
        self.inflater.get_or_insert_with(|| Box::new(Inflater::new(DeflateContext::SHARED)))
    }
}

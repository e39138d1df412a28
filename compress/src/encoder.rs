//! Compressing, on whatever thread calls.

use crate::{Coding, Error, Level};
use brotli::enc::{
    StandardAlloc,
    encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct},
};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::fmt;
use zstd::stream::raw::{CParameter, InBuffer, Operation as _, OutBuffer};

/// The least room to compress into.
const LEAST_ROOM: usize = 1024;
const LARGEST_WINDOW: u8 = 15;

/// Compresses a stream of bytes as it comes, on the thread that calls. It is at the end after
/// [`finish`](Self::finish).
///
/// ```
/// use lakh_compress::{Coding, Decoder, Encoder, Level};
///
/// let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
/// let mut encoder = Encoder::new(Coding::Zstd, Level::Fast)?;
/// encoder.encode(b"first, ", &mut packed)?;
/// encoder.flush(&mut packed)?; // whoever has `packed` can read "first, " from here on
/// encoder.encode(b"second", &mut packed)?;
/// encoder.finish(&mut packed)?;
///
/// let mut decoder = Decoder::new(Coding::Zstd, 1000)?;
/// decoder.decode(&mut &packed[..], &mut unpacked, 1000)?;
/// decoder.finish()?;
/// assert_eq!(unpacked, b"first, second");
/// # Ok::<(), lakh_compress::Error>(())
/// ```
pub struct Encoder {
    coding: Coding,
    state: State,
}

enum State {
    Deflate(Compress),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(zstd::stream::raw::Encoder<'static>),
}

/// What becomes of the bytes that the encoder would rather keep for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Flush,
    Finish,
}

impl Encoder {
    /// An encoder holds its window and tables for as long as it lives, many times more of [`Level::Best`].
    ///
    /// # Errors
    /// The library refuses, which it has no reason to.
    pub fn new(coding: Coding, level: Level) -> Result<Self, Error> {
        let deflate = Compression::new(level.of_deflate());
        let state = match coding {
            Coding::Gzip => State::Deflate(Compress::new_gzip(deflate, LARGEST_WINDOW)),
            Coding::Deflate => State::Deflate(Compress::new(deflate, true)),
            Coding::Brotli => State::Brotli(Box::new(brotli(level))),
            Coding::Zstd => State::Zstd(zstd(level).map_err(|_| Error::encoder(coding))?),
        };
        Ok(Encoder { coding, state })
    }

    /// Compresses `input`, and appends what is ready to `output`; the rest waits for more.
    ///
    /// # Errors
    /// Those of the library, which it has no reason for; and if the encoder is at its end.
    pub fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
        self.run(input, Then::Keep, output)
    }

    /// Appends all that is not ready yet, at the cost of some bytes: the other side can read all that was encoded.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn flush(&mut self, output: &mut Vec<u8>) -> Result<(), Error> {
        self.run(&[], Then::Flush, output)
    }

    /// Appends the end.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), Error> {
        self.run(&[], Then::Finish, output)
    }

    pub(crate) fn run(&mut self, input: &[u8], then: Then, output: &mut Vec<u8>) -> Result<(), Error> {
        let done = match &mut self.state {
            State::Deflate(deflate) => run_deflate(deflate, input, then, output),
            State::Brotli(brotli) => run_brotli(brotli, input, then, output),
            State::Zstd(zstd) => run_zstd(zstd, input, then, output).ok(),
        };
        done.ok_or_else(|| Error::encoder(self.coding))
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

fn brotli(level: Level) -> BrotliEncoderStateStruct<StandardAlloc> {
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.of_brotli());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, level.window());
    state
}

fn zstd(level: Level) -> std::io::Result<zstd::stream::raw::Encoder<'static>> {
    let mut encoder = zstd::stream::raw::Encoder::new(level.of_zstd())?;
    encoder.set_parameter(CParameter::WindowLog(level.window()))?;
    Ok(encoder)
}

fn run_deflate(deflate: &mut Compress, mut input: &[u8], then: Then, output: &mut Vec<u8>) -> Option<()> {
    let flush = match then {
        Then::Keep => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    loop {
        output.reserve(input.len() / 4 + LEAST_ROOM);
        let before = deflate.total_in();
        let status = deflate.compress_vec(input, output, flush).ok()?;
        input = &input[(deflate.total_in() - before) as usize..];
        let has_room = output.len() < output.capacity();
        match (status, then) {
            (Status::StreamEnd, _) => return (input.is_empty() && then == Then::Finish).then_some(()),
            // Nothing was left to be done.
            (Status::BufError, Then::Keep | Then::Flush) if input.is_empty() => return Some(()),
            (Status::Ok, Then::Keep | Then::Flush) if input.is_empty() && has_room => return Some(()),
            (Status::BufError, _) if has_room => return None,
            _ => {}
        }
    }
}

fn run_brotli(
    brotli: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    then: Then,
    output: &mut Vec<u8>,
) -> Option<()> {
    let operation = match then {
        Then::Keep => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut at) = (input.len(), 0);
    loop {
        // It is given no room, and its own buffer is emptied: no copy is made of it in between.
        let done = brotli.compress_stream(
            operation,
            &mut left,
            input,
            &mut at,
            &mut 0,
            &mut [],
            &mut 0,
            &mut None,
            &mut |_, _, _, _| (),
        );
        while brotli.has_more_output() {
            // What it gives is longer than what it means.
            let mut length = 0;
            let ready = brotli.take_output(&mut length);
            output.extend_from_slice(&ready[..length]);
        }
        let ended = then != Then::Finish || brotli.is_finished();
        match done {
            true if left == 0 && ended => return Some(()),
            true => {}
            false => return None,
        }
    }
}

fn run_zstd(
    zstd: &mut zstd::stream::raw::Encoder<'static>,
    input: &[u8],
    then: Then,
    output: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut input = InBuffer::around(input);
    loop {
        output.reserve(input.src.len() / 4 + LEAST_ROOM);
        let end = output.len();
        let mut room = OutBuffer::around_pos(output, end);
        let left = match then {
            _ if input.pos() < input.src.len() => zstd.run(&mut input, &mut room).map(|_| 1)?,
            Then::Keep => 0,
            Then::Flush => zstd.flush(&mut room)?,
            Then::Finish => zstd.finish(&mut room, true)?,
        };
        if left == 0 {
            return Ok(());
        }
    }
}

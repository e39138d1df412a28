//! Decompressing, on whatever thread calls.

use crate::{Coding, Error};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;
use zstd::stream::raw::{DParameter, InBuffer, Operation as _, OutBuffer};

const LARGEST_WINDOW: u8 = 15;
/// The logarithm of zstd's largest window, which is memory that the sender chooses (RFC 9659).
const LARGEST_ZSTD_WINDOW: u32 = 23;

/// Decompresses a stream of bytes as it comes, on the thread that calls, up to a limit.
///
/// gzip may have several members and zstd several frames, one behind the other: their contents follow each other. What
/// else stands behind the end is malformed. For an example see [`Encoder`](crate::Encoder).
pub struct Decoder {
    coding: Coding,
    state: State,
    limit: u64,
    given: u64,
    at: At,
}

enum State {
    Deflate(Decompress),
    Brotli(Box<Brotli>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Middle,
    /// Of what could be all.
    End,
}

impl Decoder {
    /// Lets at most `limit` bytes come out. It holds the window that the sender has chosen: at most 32 KiB
    /// for gzip and deflate, 16 MiB for brotli, 8 MiB for zstd.
    ///
    /// # Errors
    /// The library refuses, which it has no reason to.
    pub fn new(coding: Coding, limit: u64) -> Result<Self, Error> {
        let state = match coding {
            Coding::Gzip => State::Deflate(Decompress::new_gzip(LARGEST_WINDOW)),
            Coding::Deflate => State::Deflate(Decompress::new(true)),
            Coding::Brotli => State::Brotli(Box::new(brotli())),
            Coding::Zstd => State::Zstd(zstd().map_err(|_| Error::malformed(coding))?),
        };
        Ok(Decoder { coding, state, limit, given: 0, at: At::Start })
    }

    /// Takes bytes from the front of `input`, and appends at most `room` bytes to `output`.
    ///
    /// There is more to come without further input as long as all of the room is used.
    ///
    /// # Errors
    /// [`is_malformed`](Error::is_malformed), or [`is_too_long`](Error::is_too_long). What was appended before that
    /// stays. The decoder is of no use any more.
    pub fn decode(&mut self, input: &mut &[u8], output: &mut Vec<u8>, room: usize) -> Result<(), Error> {
        // One byte beyond the limit, to see that there is one.
        let allowed = usize::try_from((self.limit - self.given).saturating_add(1)).unwrap_or(usize::MAX);
        let start = output.len();
        let most = start.saturating_add(room.min(allowed));
        let result = self.fill(input, output, most);
        self.given += (output.len() - start) as u64;
        if self.given > self.limit {
            output.pop();
            self.given = self.limit;
            return Err(Error::too_long(self.limit));
        }
        result
    }

    /// Says whether what has come was whole.
    ///
    /// # Errors
    /// [`is_truncated`](Error::is_truncated): it ended too early, or before it began.
    pub fn finish(&self) -> Result<(), Error> {
        match self.at {
            At::End => Ok(()),
            At::Start | At::Middle => Err(Error::truncated(self.coding)),
        }
    }

    /// Until the input is used up or the output has `most` bytes.
    fn fill(&mut self, input: &mut &[u8], output: &mut Vec<u8>, most: usize) -> Result<(), Error> {
        loop {
            if self.at == At::End && !input.is_empty() {
                self.begin_another()?;
            }
            let (before, had) = (output.len(), input.len());
            if self.at == At::End || before == most {
                return Ok(());
            }
            if had > 0 {
                self.at = At::Middle;
            }
            // Zeroed in parts, and not all that might come.
            output.resize(most.min(before + STRIDE), 0);
            let step = step(&mut self.state, input, &mut output[before..]);
            let Some((written, ended)) = step else {
                output.truncate(before);
                return Err(Error::malformed(self.coding));
            };
            output.truncate(before + written);
            if ended {
                self.at = At::End;
            } else if written == 0 && input.len() == had {
                return Ok(());
            }
        }
    }

    fn begin_another(&mut self) -> Result<(), Error> {
        match (&mut self.state, self.coding) {
            (State::Deflate(inflate), Coding::Gzip) => *inflate = Decompress::new_gzip(LARGEST_WINDOW),
            (State::Zstd(_), _) => {}
            _ => return Err(Error::malformed(self.coding)),
        }
        self.at = At::Middle;
        Ok(())
    }
}

/// Output at a time.
const STRIDE: usize = 16 * 1024;

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Decoder");
        debug.field("coding", &self.coding).field("given", &self.given).field("limit", &self.limit);
        debug.finish_non_exhaustive()
    }
}

/// How much was written, and whether that was the end; `None` if it is malformed.
fn step(state: &mut State, input: &mut &[u8], output: &mut [u8]) -> Option<(usize, bool)> {
    let (taken, written, ended) = match state {
        State::Deflate(inflate) => {
            let (taken, given) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(input, output, FlushDecompress::None).ok()?;
            let (taken, given) = (inflate.total_in() - taken, inflate.total_out() - given);
            (taken as usize, given as usize, status == Status::StreamEnd)
        }
        State::Brotli(brotli) => {
            let (mut left, mut at, mut room, mut written) = (input.len(), 0, output.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut at,
                input,
                &mut room,
                &mut written,
                output,
                &mut 0,
                brotli,
            );
            match result {
                BrotliResult::ResultFailure => return None,
                BrotliResult::ResultSuccess => (at, written, true),
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => (at, written, false),
            }
        }
        State::Zstd(zstd) => {
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(output);
            let hint = zstd.run(&mut from, &mut to).ok()?;
            (from.pos(), to.pos(), hint == 0)
        }
    };
    *input = &input[taken..];
    Some((written, ended))
}

fn brotli() -> Brotli {
    let alloc = StandardAlloc::default;
    BrotliState::<_, _, _>::new_strict(alloc(), alloc(), alloc())
}

fn zstd() -> std::io::Result<zstd::stream::raw::Decoder<'static>> {
    let mut decoder = zstd::stream::raw::Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(LARGEST_ZSTD_WINDOW))?;
    Ok(decoder)
}

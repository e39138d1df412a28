//! Bytes in memory.

use crate::{Coding, Decoder, Encoder, Error, INLINE, Level, PIECE, encoder::Then};
use bytes::Bytes;
use lakh_core::pool::{Lane, Step};

/// Compresses bytes: short ones at once, longer ones on the pool's [cpu lane](Lane::CPU), by pieces between which
/// other jobs of the lane have their turn.
///
/// # Errors
/// [`is_full`](Error::is_full) if the lane has no room; the pool has shut down.
///
/// # Cancel safety
/// Dropping the future ends the work after the piece that is being compressed.
///
/// # Panics
/// Outside a shard.
pub async fn compress(coding: Coding, level: Level, bytes: impl Into<Bytes>) -> Result<Bytes, Error> {
    let bytes = bytes.into();
    if bytes.len() <= level.inline() {
        let mut output = Vec::new();
        Encoder::new(coding, level)?.run(&bytes, Then::Finish, &mut output)?;
        return Ok(output.into());
    }
    on_the_lane(Compressing { coding, level, encoder: None, left: bytes, output: Vec::new() }).await
}

/// Decompresses bytes, of which at most `limit` may come out; few at once, more on the pool's
/// [cpu lane](Lane::CPU), by pieces.
///
/// # Errors
/// [`is_too_long`](Error::is_too_long), [`is_malformed`](Error::is_malformed) or
/// [`is_truncated`](Error::is_truncated); [`is_full`](Error::is_full) if the lane has no room; the pool has shut down.
///
/// # Cancel safety
/// Dropping the future ends the work after the piece that is being decompressed.
///
/// # Panics
/// Outside a shard.
pub async fn decompress(coding: Coding, bytes: impl Into<Bytes>, limit: u64) -> Result<Bytes, Error> {
    let decoder = Decoder::new(coding, limit)?;
    let mut work = Decompressing { decoder, left: bytes.into(), output: Vec::new() };
    // Whether little comes out is only seen when it has come out.
    if work.left.len() <= INLINE
        && let Step::Done(done) = work.step(INLINE)
    {
        return done;
    }
    on_the_lane(work).await
}

async fn on_the_lane(mut work: impl Work) -> Result<Bytes, Error> {
    let job = lakh_core::with(|shard| shard.pool().run_steps(Lane::CPU, None, move || work.step(PIECE)))?;
    job.await?
}

trait Work: Send + 'static {
    /// Works on `most` bytes of what is longer, input or output.
    fn step(&mut self, most: usize) -> Step<Result<Bytes, Error>>;
}

struct Compressing {
    coding: Coding,
    level: Level,
    /// Made by the first step: what waits in the queue has none.
    encoder: Option<Encoder>,
    left: Bytes,
    output: Vec<u8>,
}

impl Work for Compressing {
    fn step(&mut self, most: usize) -> Step<Result<Bytes, Error>> {
        let piece = self.left.split_to(most.min(self.left.len()));
        let then = if self.left.is_empty() { Then::Finish } else { Then::Keep };
        let encoder = match self.encoder.take() {
            Some(encoder) => Ok(encoder),
            None => Encoder::new(self.coding, self.level),
        };
        let done = encoder.and_then(|mut encoder| {
            encoder.run(&piece, then, &mut self.output)?;
            self.encoder = Some(encoder);
            Ok(())
        });
        match done {
            Ok(()) if then == Then::Keep => Step::Again,
            done => Step::Done(done.map(|()| std::mem::take(&mut self.output).into())),
        }
    }
}

struct Decompressing {
    decoder: Decoder,
    left: Bytes,
    output: Vec<u8>,
}

impl Work for Decompressing {
    fn step(&mut self, most: usize) -> Step<Result<Bytes, Error>> {
        let before = self.output.len();
        let mut input = &self.left[..];
        let done = self.decoder.decode(&mut input, &mut self.output, most);
        self.left = self.left.slice(self.left.len() - input.len()..);
        let filled = self.output.len() - before == most;
        match done {
            Ok(()) if filled => Step::Again,
            Ok(()) => {
                let output = std::mem::take(&mut self.output);
                Step::Done(self.decoder.finish().map(|()| output.into()))
            }
            Err(error) => Step::Done(Err(error)),
        }
    }
}

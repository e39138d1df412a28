use super::{ROUNDS, Worker};
use crate::{Coding, Decoder, Error, INLINE, PIECE, StreamError};
use bytes::Bytes;
use futures_core::Stream;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The chunks of a stream, decompressed up to a limit, in chunks of at most 64 KiB.
///
/// It decompresses no further than somebody takes: of a bomb there are 64 KiB in memory. If the cpu lane is full, it
/// goes on by itself, 4 KiB at a time.
///
/// ```
/// use futures_core::Stream;
/// use lakh_compress::{Coding, Decode, StreamError};
/// # use bytes::Bytes;
///
/// fn unpacked<S, E>(chunks: S) -> Result<impl Stream<Item = Result<Bytes, StreamError<E>>>, lakh_compress::Error>
/// where
///     S: Stream<Item = Result<Bytes, E>> + Unpin,
/// {
///     Decode::new(chunks, Coding::Gzip, 10_000_000)
/// }
/// ```
///
/// # Panics
/// When it is polled outside a shard.
pub struct Decode<S> {
    source: Option<S>,
    coding: Coding,
    worker: Worker<Decoder, Result<Unpacked, Error>>,
    /// Of the source, not yet decompressed.
    input: Bytes,
    /// There may be more to come without further input.
    is_filled: bool,
}

struct Unpacked {
    output: Vec<u8>,
    /// How much of the input was taken.
    taken: usize,
    is_filled: bool,
}

impl<S> Decode<S> {
    /// Decompresses what `source` gives, of which at most `limit` bytes may come out.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn new(source: S, coding: Coding, limit: u64) -> Result<Self, Error> {
        let worker = Worker::new(Decoder::new(coding, limit)?);
        Ok(Decode { source: Some(source), coding, worker, input: Bytes::new(), is_filled: false })
    }
}

impl<S, E> Stream for Decode<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let result = ready!(this.poll_unpacked(cx));
        if !matches!(result, Ok(Some(_))) {
            this.source = None;
        }
        Poll::Ready(result.transpose())
    }
}

impl<S, E> Decode<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    fn poll_unpacked(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError<E>>> {
        for _ in 0..ROUNDS {
            let unpacked = match ready!(self.worker.poll_job(cx)) {
                Some(unpacked) => Some(unpacked.and_then(|unpacked| unpacked)),
                None => {
                    let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
                    if self.input.is_empty() && !self.is_filled {
                        match ready!(Pin::new(source).poll_next(cx)) {
                            Some(chunk) => self.input = chunk.map_err(StreamError::Source)?,
                            None => {
                                let whole = self.worker.state().finish();
                                return Poll::Ready(whole.map(|()| None).map_err(StreamError::Coding));
                            }
                        }
                    }
                    self.unpack().transpose()
                }
            };
            let Some(unpacked) = unpacked.transpose().map_err(StreamError::Coding)? else { continue };
            self.is_filled = unpacked.is_filled;
            self.input = self.input.slice(unpacked.taken..);
            if !unpacked.output.is_empty() {
                return Poll::Ready(Ok(Some(unpacked.output.into())));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Decompresses a piece, or has it decompressed, which gives `None`.
    fn unpack(&mut self) -> Result<Option<Unpacked>, Error> {
        // A short piece of which much comes out is found out by the first call.
        if self.input.len() > INLINE || self.is_filled {
            let piece = self.input.slice(..self.input.len().min(PIECE));
            if self.worker.hand_over(move |decoder| unpack(decoder, &piece, PIECE))? {
                return Ok(None);
            }
        }
        let piece = self.input.slice(..self.input.len().min(INLINE));
        unpack(&mut self.worker.state(), &piece, INLINE).map(Some)
    }
}

fn unpack(decoder: &mut Decoder, piece: &[u8], room: usize) -> Result<Unpacked, Error> {
    let (mut left, mut output) = (piece, Vec::new());
    decoder.decode(&mut left, &mut output, room)?;
    let (taken, is_filled) = (piece.len() - left.len(), output.len() == room);
    Ok(Unpacked { output, taken, is_filled })
}

impl<S> fmt::Debug for Decode<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decode").field("coding", &self.coding).finish_non_exhaustive()
    }
}

use super::{ROUNDS, Worker};
use crate::{Coding, Encoder, Error, Level, PIECE, StreamError, encoder::Then};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The chunks of a stream, compressed.
///
/// When the stream has nothing more for the moment, all that it has given is flushed: whoever reads the compressed
/// chunks waits for nothing that is there. Small chunks that come together are compressed together.
///
/// It holds an [`Encoder`] from the first chunk on, 64 KiB of chunks that wait, and what it has compressed of these.
/// It asks for more when its own chunks are taken. If the cpu lane is full, it goes on by itself,
/// 64 KiB at a time: else the stream would end.
///
/// ```
/// use futures_core::Stream;
/// use lakh_compress::{Coding, Encode, Level, StreamError};
/// # use bytes::Bytes;
///
/// fn packed<S, E>(chunks: S) -> impl Stream<Item = Result<Bytes, StreamError<E>>>
/// where
///     S: Stream<Item = Result<Bytes, E>> + Unpin,
/// {
///     Encode::new(chunks, Coding::Brotli, Level::Balanced)
/// }
/// ```
///
/// # Panics
/// When it is polled outside a shard.
pub struct Encode<S> {
    source: Option<S>,
    packer: Packer,
    /// Of the source, not yet compressed.
    input: Bytes,
    /// What has come behind it.
    next: Option<Bytes>,
    /// The source has nothing more.
    is_all: bool,
}

struct Packer {
    coding: Coding,
    level: Level,
    worker: Worker<Option<Encoder>, Result<Vec<u8>, Error>>,
    /// Bytes that were taken since the last flush, which the encoder may not have dealt with.
    held: usize,
}

impl<S> Encode<S> {
    /// Compresses what `source` gives.
    pub fn new(source: S, coding: Coding, level: Level) -> Self {
        let packer = Packer { coding, level, worker: Worker::new(None), held: 0 };
        Encode { source: Some(source), packer, input: Bytes::new(), next: None, is_all: false }
    }
}

impl<S, E> Stream for Encode<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let result = ready!(this.poll_packed(cx));
        if !matches!(result, Ok(Some(_))) {
            // Nothing comes after the end, nor after an error.
            this.source = None;
        }
        Poll::Ready(result.transpose())
    }
}

impl<S, E> Encode<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    fn poll_packed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError<E>>> {
        for _ in 0..ROUNDS {
            let packed = match ready!(self.packer.worker.poll_job(cx)) {
                Some(packed) => Some(packed.and_then(|packed| packed)),
                None if self.source.is_none() => return Poll::Ready(Ok(None)),
                None => {
                    let then = ready!(self.poll_input(cx)).map_err(StreamError::Source)?;
                    if then == Then::Finish {
                        self.source = None;
                    }
                    self.packer.pack(&mut self.input, then).transpose()
                }
            };
            match packed.transpose().map_err(StreamError::Coding)? {
                Some(packed) if !packed.is_empty() => return Poll::Ready(Ok(Some(packed.into()))),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gathers a piece, and says what is to become of it.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<Then, E>> {
        for _ in 0..ROUNDS {
            if self.input.is_empty() {
                self.input = self.next.take().unwrap_or_default();
            }
            if self.input.len() >= PIECE || self.next.is_some() {
                return Poll::Ready(Ok(Then::Keep));
            }
            if self.is_all {
                return Poll::Ready(Ok(Then::Finish));
            }
            let Some(source) = &mut self.source else { return Poll::Ready(Ok(Then::Finish)) };
            match Pin::new(source).poll_next(cx) {
                Poll::Ready(Some(chunk)) => self.add(chunk?),
                Poll::Ready(None) => self.is_all = true,
                Poll::Pending if self.input.is_empty() && self.packer.held == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(Then::Flush)),
            }
        }
        Poll::Ready(Ok(Then::Keep))
    }

    /// Copies what is short behind what is there.
    fn add(&mut self, chunk: Bytes) {
        if self.input.is_empty() {
            self.input = chunk;
        } else if self.input.len() + chunk.len() <= PIECE {
            let mut both = BytesMut::from(std::mem::take(&mut self.input));
            both.extend_from_slice(&chunk);
            self.input = both.freeze();
        } else {
            self.next = Some(chunk);
        }
    }
}

impl Packer {
    /// Compresses a piece of `input`, or has it compressed, which gives `None`. Of a long input, the rest stays.
    fn pack(&mut self, input: &mut Bytes, then: Then) -> Result<Option<Vec<u8>>, Error> {
        let piece = input.split_to(input.len().min(PIECE));
        self.held += piece.len();
        let (coding, level, few) = (self.coding, self.level, self.level.inline());
        if self.held > few {
            let whole = piece.clone();
            if self.worker.hand_over(move |encoder| pack(encoder, coding, level, &whole, then))? {
                self.settle(then);
                return Ok(None);
            }
        }
        let packed = pack(&mut self.worker.state(), coding, level, &piece, then);
        self.settle(then);
        packed.map(Some)
    }

    fn settle(&mut self, then: Then) {
        if then != Then::Keep {
            self.held = 0;
        }
    }
}

fn pack(
    encoder: &mut Option<Encoder>,
    coding: Coding,
    level: Level,
    piece: &[u8],
    then: Then,
) -> Result<Vec<u8>, Error> {
    let encoder = match encoder {
        Some(encoder) => encoder,
        none => none.insert(Encoder::new(coding, level)?),
    };
    let mut output = Vec::new();
    encoder.run(piece, then, &mut output)?;
    Ok(output)
}

impl<S> fmt::Debug for Encode<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encode").field("coding", &self.packer.coding).finish_non_exhaustive()
    }
}

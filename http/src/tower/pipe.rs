//! A request's body for those who need it to be `Send`.
//!
//! The body itself cannot leave its shard. What leaves is one end of a pipe that holds one chunk at most; the
//! other end stays with the exchange, which polls the body whenever a chunk is asked for.

use crate::body::{BodyError, BodyFault, RequestBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// The body of a request, for a service: it is `Send`, and may be read on another thread.
///
/// A chunk is read from the connection when it is asked for. The body ends with the answer: who still reads then
/// gets an error with [`is_lost`](BodyError::is_lost). Trailers are dropped.
pub struct SendBody {
    source: Source,
    /// How many bytes are left, if that is known.
    left: Option<u64>,
}

enum Source {
    /// Not on the way: taken, or there never was one.
    Memory(Option<Bytes>),
    Pipe(Arc<Pipe>),
}

/// What both ends share. Each field is touched by both, under the lock; wakers are woken outside of it.
#[derive(Default)]
struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    chunk: Option<Bytes>,
    end: Option<Result<(), BodyError>>,
    /// The reader waits for a chunk.
    wanted: bool,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that stays with the exchange.
pub(super) struct Pump {
    body: RequestBody,
    pipe: Arc<Pipe>,
}

impl SendBody {
    /// Splits a body into the end that may leave, and, if it is not in memory, the end that stays.
    pub(super) fn new(mut body: RequestBody) -> (Self, Option<Pump>) {
        let left = body.length();
        match body.take_memory() {
            Some(bytes) => {
                let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
                (SendBody { source: Source::Memory(bytes), left }, None)
            }
            None => {
                let pipe = Arc::<Pipe>::default();
                let pump = Pump { body, pipe: Arc::clone(&pipe) };
                (SendBody { source: Source::Pipe(pipe), left }, Some(pump))
            }
        }
    }
}

impl http_body::Body for SendBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.source {
            Source::Memory(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Source::Pipe(pipe) => pipe.poll_read(cx),
        };
        if let (Poll::Ready(Some(Ok(chunk))), Some(left)) = (&next, &mut self.left) {
            *left = left.saturating_sub(chunk.len() as u64);
        }
        next.map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for SendBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBody").field("left", &self.left).finish()
    }
}

impl Pipe {
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let reader = cx.waker().clone();
        let (old, pump) = {
            let mut state = self.lock();
            if let Some(chunk) = state.chunk.take() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match &state.end {
                Some(Ok(())) => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.clone()))),
                None => {}
            }
            let was_wanted = std::mem::replace(&mut state.wanted, true);
            // Who is polled by the same task polls the pump next.
            let pump = state.pump.take_if(|pump| !was_wanted && !pump.will_wake(cx.waker()));
            (state.reader.replace(reader), pump)
        };
        drop(old);
        if let Some(pump) = pump {
            pump.wake();
        }
        Poll::Pending
    }
}

impl Pump {
    /// Moves a chunk if one is asked for. Ready if it has, or the body has ended: the reader, if it is polled by
    /// the same task, can go on and is not woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_wanted(cx) {
            return Poll::Pending;
        }
        let next = std::task::ready!(self.body.poll_chunk(cx));
        let reader = {
            let mut state = self.pipe.lock();
            state.wanted = false;
            match next {
                Some(Ok(chunk)) => state.chunk = Some(chunk),
                Some(Err(error)) => state.end = Some(Err(error)),
                None => state.end = Some(Ok(())),
            }
            state.reader.take()
        };
        if let Some(reader) = reader.filter(|reader| !reader.will_wake(cx.waker())) {
            reader.wake();
        }
        Poll::Ready(())
    }

    /// Whether the other end can still be read.
    pub(super) fn is_read(&self) -> bool {
        Arc::strong_count(&self.pipe) > 1 && self.pipe.lock().end.is_none()
    }

    /// If it is not, its waker is kept.
    fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let waker = cx.waker().clone();
        let (wanted, old) = {
            let mut state = self.pipe.lock();
            (state.wanted && state.end.is_none(), state.pump.replace(waker))
        };
        drop(old);
        wanted
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.pipe.lock();
            state.end.get_or_insert(Err(BodyError(BodyFault::Lost)));
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

//! The encoders that are shipped: those of `lakh-compress`.

use crate::{Body, StreamError};
use bytes::Bytes;
use futures_core::Stream;
use lakh_compress::{Coding, Encode, Level, compress};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Encoders at a time, on each shard, since each holds a window and tables.
const AT_ONCE: usize = 256;

/// What the encoders of one `Compress` share.
#[derive(Clone)]
pub(super) struct Encoders {
    level: Level,
    free: Rc<Cell<usize>>,
}

impl Encoders {
    pub(super) fn new(level: Level) -> Self {
        Encoders { level, free: Rc::new(Cell::new(AT_ONCE)) }
    }

    /// The body as it was if there is no room, or nothing gained.
    pub(super) async fn encode(self, coding: Coding, body: Body) -> Result<Body, Body> {
        let Some(permit) = self.enter() else { return Err(body) };
        let bytes = match body {
            Body::Bytes(bytes) => bytes,
            Body::Static(bytes) => Bytes::from_static(bytes),
            other => {
                let chunks = Encode::new(Chunks(other), coding, self.level);
                return Ok(Body::stream(Encoded { chunks, _permit: permit }));
            }
        };
        match compress(coding, self.level, bytes.clone()).await {
            Ok(encoded) if encoded.len() < bytes.len() => Ok(encoded.into()),
            Ok(_) | Err(_) => Err(bytes.into()),
        }
    }

    fn enter(&self) -> Option<Permit> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Permit(Rc::clone(&self.free)))
    }
}

/// Leave to have an encoder.
struct Permit(Rc<Cell<usize>>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A body's chunks, whatever it is made of.
struct Chunks(Body);

impl Stream for Chunks {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_chunk(cx)
    }
}

struct Encoded {
    chunks: Encode<Chunks>,
    _permit: Permit,
}

impl Stream for Encoded {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.chunks).poll_next(cx);
        next.map_err(|error| match error {
            lakh_compress::StreamError::Source(error) => error,
            other => format!("a body cannot be encoded: {other}").into(),
        })
    }
}

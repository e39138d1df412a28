//! Bodies and errors of services of tower.
#![allow(dead_code)] // each test binary uses a part
#![allow(unreachable_pub)]

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

pub type Fut<T, E> = Pin<Box<dyn Future<Output = Result<T, E>>>>;

#[derive(Debug)]
pub struct Failure(pub &'static str);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failure {}

/// Frames, and what is said about their length.
#[derive(Default)]
pub struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, Failure>>,
    hint: SizeHint,
}

impl Frames {
    pub fn of<const N: usize>(texts: [&'static str; N]) -> Self {
        let frames = texts.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
        Frames { frames: frames.into(), hint: SizeHint::default() }
    }

    pub fn hint(self, length: u64) -> Self {
        Frames { hint: SizeHint::with_exact(length), ..self }
    }

    pub fn and(mut self, frame: Result<Frame<Bytes>, Failure>) -> Self {
        self.frames.push_back(frame);
        self
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

pub async fn chunk<B: http_body::Body + Unpin>(body: &mut B) -> Option<Result<B::Data, B::Error>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().ok().expect("no trailers")))
}

pub async fn count<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) -> Result<usize, B::Error> {
    let mut count = 0;
    while let Some(bytes) = chunk(&mut body).await {
        count += bytes?.len();
    }
    Ok(count)
}

pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

//! A child's standard streams, as this side has them.

use super::imp::{self, ReadEnd, WriteEnd};
use crate::reactor::{Direction, Registration};
use futures_io::{AsyncRead, AsyncWrite};
use mio::event::Source;
use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    pin::Pin,
    process::Stdio,
    task::{Context, Poll, ready},
};

/// What is read at least in one call, where all is wanted.
const CHUNK: usize = 16 * 1024;

/// The end of a pipe that is written to: a child's standard input (pipe(7)).
///
/// A pipe holds 64 KiB that the child has not read; then writing waits. Dropping it is the end of the child's input. It
/// belongs to the shard that has started the child.
pub struct PipeWriter {
    // Dropped first: the shard forgets the pipe before its descriptor is closed and reused. Neither is there once
    // it is closed.
    registration: Option<Registration>,
    end: Option<WriteEnd>,
}

impl PipeWriter {
    pub(super) fn new(mut end: WriteEnd) -> io::Result<Self> {
        let registration = Registration::socket(&mut end, true)?;
        Ok(PipeWriter { registration: Some(registration), end: Some(end) })
    }

    /// Ready with what the pipe has taken of `buf`, as soon as that is something.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut end| end.write(buf))
    }

    /// Writes what the pipe takes, once it takes something.
    ///
    /// Cancel safe: a dropped future has written nothing.
    ///
    /// # Errors
    /// `BrokenPipe` if the child does not read any more; those of write(2).
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, buf)).await
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel safe: a dropped future may have written a part, and does not say how much.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// For another child: as its standard output, say.
    ///
    /// # Errors
    /// Those of ioctl(2); `BrokenPipe` once it is closed.
    pub fn into_stdio(mut self) -> io::Result<Stdio> {
        match (self.registration.take(), self.end.take()) {
            (Some(registration), Some(end)) => hand_on(registration, end),
            _ => Err(closed()),
        }
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&WriteEnd) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match (&self.registration, &self.end) {
            (Some(registration), Some(end)) => registration.poll_io(Direction::Write, cx, || write(end)),
            _ => Poll::Ready(Err(closed())),
        }
    }
}

/// Whoever has it next has the same pipe: this side's poll must know nothing of it any more.
fn hand_on<E: Source + Into<imp::Open>>(registration: Registration, mut end: E) -> io::Result<Stdio> {
    registration.deregister(&mut end)?;
    imp::into_stdio(end)
}

fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl AsyncWrite for PipeWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        PipeWriter::poll_write(&mut self, cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut end| end.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration = None;
        self.end = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter").field("is_open", &self.end.is_some()).finish()
    }
}

/// The end of a pipe that is read from: a child's standard output or error (pipe(7)).
///
/// What is not read fills the pipe (64 KiB), and then the child waits. It belongs to the shard that has started the
/// child.
pub struct PipeReader {
    // Dropped first: the shard forgets the pipe before its descriptor is closed and reused.
    registration: Registration,
    end: ReadEnd,
}

impl PipeReader {
    pub(super) fn new(mut end: ReadEnd) -> io::Result<Self> {
        let registration = Registration::socket(&mut end, true)?;
        Ok(PipeReader { registration, end })
    }

    /// Ready with what is there, at most as much as `buf` has room for; 0 bytes are the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Read, cx, || (&self.end).read(buf))
    }

    /// Reads once something is there; 0 bytes are the end: whoever had the other end has closed it. These are the child
    /// and all to whom it has given it.
    ///
    /// Cancel safe: a dropped future has read nothing.
    ///
    /// # Errors
    /// Those of read(2).
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Reads up to the end.
    ///
    /// Not cancel safe: what was read is lost.
    ///
    /// # Errors
    /// `FileTooLarge` if more than `limit` bytes come; those of read(2).
    pub async fn read_to_end(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match poll_fn(|cx| self.poll_gather(cx, &mut bytes, limit)).await? {
            true => Ok(bytes),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    /// Reads to the end, which is true, or beyond the limit.
    pub(super) fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<bool>> {
        while bytes.len() <= limit {
            let before = bytes.len();
            bytes.resize(before + CHUNK, 0);
            let read = self.poll_read(cx, &mut bytes[before..]);
            let length = match &read {
                Poll::Ready(Ok(length)) => *length,
                _ => 0,
            };
            bytes.truncate(before + length);
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(true));
            }
        }
        Poll::Ready(Ok(false))
    }

    /// For another child: as its standard input, say.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn into_stdio(self) -> io::Result<Stdio> {
        hand_on(self.registration, self.end)
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        PipeReader::poll_read(&mut self, cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Read, cx, || (&self.end).read_vectored(bufs))
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReader").finish_non_exhaustive()
    }
}

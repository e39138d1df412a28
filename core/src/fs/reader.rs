//! Reading ahead: a worker fills a few chunks, and the shard takes them.

use super::{FileError, held::Held, job::discarding};
use crate::{
    pool::{Job, Lane, PoolFull, Room, Step},
    sys::file::read_at,
};
use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    fmt, fs,
    future::{Future, poll_fn},
    io,
    ops::Range,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// Bytes of a chunk.
const CHUNK: usize = 128 * 1024;
/// Chunks that are read before anybody takes them.
const AHEAD: usize = 2;

/// The bytes of a [`File`](super::File), chunk by chunk; from [`File::reader`](super::File::reader).
///
/// A job of the file lane reads 128 KiB and goes to the end of its queue, until two chunks wait here; it comes back
/// when they have been taken. So a reader that nobody reads costs 256 KiB and no worker.
///
/// A full lane does not end it: it waits for room. Dropping it takes the job back.
///
/// ```
/// use lakh_core::fs::{File, FileError};
///
/// async fn count_lines(path: &str) -> Result<usize, FileError> {
///     let mut reader = File::open(path).await?.reader(..);
///     let mut lines = 0;
///     while let Some(chunk) = reader.chunk().await {
///         lines += chunk?.iter().filter(|byte| **byte == b'\n').count();
///     }
///     Ok(lines)
/// }
/// ```
pub struct FileReader {
    held: Arc<Held<fs::File>>,
    path: Arc<Path>,
    ahead: Arc<Mutex<Ahead>>,
    job: Option<Job<io::Result<()>>>,
    /// Its place among those who wait for a full pool.
    room: Option<Room>,
    /// Said once the chunks before it have been taken.
    failed: Option<FileError>,
    /// What is left of a chunk that was read in parts.
    rest: Bytes,
}

/// Shared by a reader and its job.
#[derive(Debug)]
struct Ahead {
    chunks: VecDeque<Bytes>,
    left: Range<u64>,
    waiter: Option<Waker>,
}

impl FileReader {
    pub(super) fn new(held: Arc<Held<fs::File>>, path: Arc<Path>, left: Range<u64>) -> Self {
        let ahead = Arc::new(Mutex::new(Ahead { chunks: VecDeque::new(), left, waiter: None }));
        FileReader { held, path, ahead, job: None, room: None, failed: None, rest: Bytes::new() }
    }

    /// The next bytes; `None` at the end of the file or of the range.
    ///
    /// Cancel safe: what was read meanwhile comes with the next call.
    ///
    /// # Errors
    /// What the system says, or that the pool has shut down or lost the job. Nothing comes after it.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, FileError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Ready with what [`chunk`](Self::chunk) gives. As the body of an answer:
    /// `Body::from_poll_fn(move |cx| reader.poll_chunk(cx))`.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FileError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.rest))));
        }
        loop {
            let runs = self.poll_job(cx);
            let waiter = runs.then(|| cx.waker().clone());
            let mut ahead = locked(&self.ahead);
            let chunk = ahead.chunks.pop_front();
            let is_over = ahead.left.is_empty();
            let old = if chunk.is_none() { std::mem::replace(&mut ahead.waiter, waiter) } else { None };
            drop(ahead);
            drop(old);
            if let Some(chunk) = chunk {
                if !runs && !is_over && self.failed.is_none() {
                    // What the pool refuses now it may take with the next call.
                    let _ = self.start();
                }
                return Poll::Ready(Some(Ok(chunk)));
            }
            if runs {
                return Poll::Pending;
            }
            if let Some(error) = self.failed.take() {
                locked(&self.ahead).left = 0..0;
                return Poll::Ready(Some(Err(error.doing("read", &self.path))));
            }
            if is_over {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_start(cx)) {
                self.failed = Some(error);
            }
        }
    }

    /// Whether a job runs.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(job) = &mut self.job else { return false };
        let Poll::Ready(outcome) = Pin::new(job).poll(cx) else { return true };
        self.job = None;
        self.failed = outcome.map_err(FileError::from).and_then(|read| Ok(read?)).err();
        false
    }

    /// As [`start`](Self::start), once the pool has room.
    fn poll_start(&mut self, cx: &Context<'_>) -> Poll<Result<(), FileError>> {
        self.room = None;
        match self.start() {
            Err(refused) if refused.is_full() => {
                let (pool, group) = (self.held.pool(), self.held.group());
                self.room = pool.wait_for_room(Lane::FILE, group, cx.waker().clone());
                if self.room.is_none() {
                    // There is room by now.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            started => Poll::Ready(started.map_err(FileError::from)),
        }
    }

    fn start(&mut self) -> Result<(), PoolFull> {
        let (held, ahead) = (Arc::clone(&self.held), Arc::clone(&self.ahead));
        let group = self.held.group();
        let step = discarding(group, move || read_ahead(&held, &ahead));
        self.job = Some(self.held.pool().run_steps(Lane::FILE, group, step)?);
        Ok(())
    }
}

impl futures_io::AsyncRead for FileReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.rest.is_empty() {
            match ready!(self.poll_chunk(cx)) {
                Some(chunk) => self.rest = chunk?,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let length = buf.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buf[..length]);
        Poll::Ready(Ok(length))
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One chunk. For workers.
fn read_ahead(file: &fs::File, ahead: &Mutex<Ahead>) -> Step<io::Result<()>> {
    let left = {
        let ahead = locked(ahead);
        if ahead.chunks.len() >= AHEAD || ahead.left.is_empty() {
            return Step::Done(Ok(()));
        }
        ahead.left.clone()
    };
    let wanted = usize::try_from(left.end - left.start).unwrap_or(CHUNK).min(CHUNK);
    let mut bytes = vec![0; wanted];
    let read = match read_at(file, &mut bytes, left.start) {
        Ok(read) => read,
        Err(error) => return Step::Done(Err(error)),
    };
    bytes.truncate(read);
    let mut ahead = locked(ahead);
    if read == 0 {
        ahead.left = 0..0;
        return Step::Done(Ok(()));
    }
    ahead.left.start += read as u64;
    ahead.chunks.push_back(bytes.into());
    let goes_on = ahead.chunks.len() < AHEAD && !ahead.left.is_empty();
    let waiter = ahead.waiter.take();
    drop(ahead);
    if let Some(waiter) = waiter {
        waiter.wake();
    }
    if goes_on { Step::Again } else { Step::Done(Ok(())) }
}

fn locked(ahead: &Mutex<Ahead>) -> MutexGuard<'_, Ahead> {
    ahead.lock().unwrap_or_else(PoisonError::into_inner)
}

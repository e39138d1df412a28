//! Sending a part of an open file.
//!
//! On the shard only what is in memory: `sendfile` where the page cache holds the bytes, a read that does
//! not wait where nothing tells. The rest is read by the pool, a chunk at a time.

use super::{
    open::{OpenFile, Reach},
    range::Part,
};
use crate::response::StreamError;
use bytes::Bytes;
use futures_core::Stream;
use lakh_core::{
    Sleep,
    pool::{Job, Lane},
    sys::file::{cached_bytes, read_at, read_at_nowait},
};
use lakh_net::{TcpStream, sys::send_file};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Bytes that one connection sends in one turn of the shard, by one call of sendfile if the kernel takes
/// them: a fraction of a millisecond. Each call ends with a push, so short ones are dear.
const SENT_PER_TURN: u64 = 1024 * 1024;
/// Bytes that are looked for in the page cache at once, and how many if not all of those are there.
const LOOKED_FOR_AT_ONCE: u64 = 2 * 1024 * 1024;
const LOOKED_FOR_AT_LEAST: u64 = 256 * 1024;
/// Bytes that are read into memory at once. A slow client keeps them there.
const READ_AT_ONCE: u64 = 128 * 1024;
/// A full pool is asked again after so long, and so often.
const ASKED_AGAIN: (Duration, u32) = (Duration::from_millis(50), 200);

/// A part of an open file, as the body of an answer.
pub struct FileBody {
    file: Arc<OpenFile>,
    at: u64,
    left: u64,
}

impl FileBody {
    pub(super) fn new(file: Arc<OpenFile>, part: Part) -> Self {
        FileBody { file, at: part.start, left: part.len }
    }

    /// How many bytes there are to send.
    pub fn length(&self) -> u64 {
        self.left
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("at", &self.at).field("left", &self.left).finish()
    }
}

/// Sends a [`FileBody`]: exactly its bytes, or an error, after which the connection is cut.
pub(crate) struct FileSender {
    body: FileBody,
    /// Up to here the page cache holds the file, as far as is known.
    cached_until: u64,
    way: Way,
    /// It is the whole file, and so far it was in memory.
    warms: bool,
    work: Option<Box<Work>>,
    /// The turn in which was last sent, and how much in it.
    turn: Instant,
    sent_in_turn: u64,
    waits_for_peer: bool,
}

/// How bytes that are in memory get to the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the page cache, which says what it holds.
    Sendfile,
    /// By a read that fails if it would wait.
    ReadNowait,
    /// Not on the shard.
    Pool,
}

/// What is done about bytes that are not in memory, or were not.
enum Work {
    /// A worker reads.
    Reading { job: Job<io::Result<Vec<u8>>>, deadline: Sleep },
    /// What was read waits for the peer to take it, from `sent` on.
    Read { bytes: Vec<u8>, sent: usize },
    /// The pool is full.
    Refused { until: Sleep, times: u32 },
}

impl FileSender {
    pub(crate) fn new(body: FileBody) -> Self {
        FileSender {
            way: match body.file.reach() {
                Reach::Sendable => Way::Sendfile,
                Reach::Local => Way::ReadNowait,
                Reach::Pool => Way::Pool,
            },
            warms: body.at == 0 && body.left == body.file.size(),
            cached_until: body.at,
            body,
            work: None,
            turn: now(),
            sent_in_turn: 0,
            waits_for_peer: false,
        }
    }

    /// Sends more of it; gives the number of bytes. Cancel safe: progress is kept here.
    pub(crate) fn poll_send(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.waits_for_peer = false;
        if self.has_had_its_turn() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = ready!(self.poll_some(stream, cx))?;
        self.body.at += n as u64;
        self.body.left -= n as u64;
        self.sent_in_turn += n as u64;
        if self.is_done() && self.warms {
            self.body.file.set_warm(true);
        }
        Poll::Ready(Ok(n))
    }

    /// The next bytes are about to be sent from the page cache, in this turn of the shard.
    pub(crate) fn follows_at_once(&mut self) -> bool {
        self.work.is_none() && !self.has_had_its_turn() && self.is_cached()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body.left == 0
    }

    /// It is the socket that must become writable.
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.waits_for_peer
    }

    fn has_had_its_turn(&mut self) -> bool {
        let turn = now();
        if self.turn != turn {
            self.turn = turn;
            self.sent_in_turn = 0;
        }
        self.sent_in_turn >= SENT_PER_TURN
    }

    fn poll_some(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let is_cached = self.work.is_none() && self.is_cached();
            match self.work.as_deref_mut() {
                None if is_cached => {
                    let known = self.body.left.min(self.cached_until - self.body.at);
                    let len = known.min(SENT_PER_TURN - self.sent_in_turn);
                    match send_file(stream, self.body.file.file(), self.body.at, len as usize, cx) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Err(has_shrunk())),
                        Poll::Ready(Err(error)) if is_no_way(&error) => self.way = Way::ReadNowait,
                        sent => return self.noting_the_peer(sent),
                    }
                }
                None => self.read(Vec::new(), 0)?,
                Some(Work::Reading { .. } | Work::Refused { .. }) => ready!(self.poll_read(cx))?,
                Some(Work::Read { bytes, sent }) if *sent == bytes.len() => {
                    let bytes = std::mem::take(bytes);
                    self.work = None;
                    if !self.is_cached() {
                        self.read(bytes, 0)?;
                    }
                }
                Some(Work::Read { bytes, sent }) => {
                    let written = stream.poll_write(cx, &bytes[*sent..]);
                    match written {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Poll::Ready(Ok(n)) => *sent += n,
                        _ => {}
                    }
                    return self.noting_the_peer(written);
                }
            }
        }
    }

    /// Goes on with what is being read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.work.as_deref_mut() {
            Some(Work::Reading { job, deadline }) => match Pin::new(job).poll(cx) {
                Poll::Ready(Ok(read)) => Poll::Ready(read.and_then(|bytes| self.has_read(bytes))),
                Poll::Ready(Err(lost)) => Poll::Ready(Err(io::Error::other(lost))),
                Poll::Pending => {
                    ready!(Pin::new(deadline).poll(cx));
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
            },
            Some(Work::Refused { until, times }) => {
                ready!(Pin::new(until).poll(cx));
                let times = *times;
                Poll::Ready(self.read(Vec::new(), times))
            }
            None | Some(Work::Read { .. }) => Poll::Ready(Ok(())),
        }
    }

    /// The next bytes in memory, for whoever does not send them as they are. Cancel safe: progress is kept here.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.way == Way::Sendfile {
            self.way = Way::ReadNowait;
        }
        loop {
            match self.work.take().map(|work| *work) {
                Some(Work::Read { bytes, .. }) => {
                    self.body.at += bytes.len() as u64;
                    self.body.left -= bytes.len() as u64;
                    return Poll::Ready(Ok(bytes.into()));
                }
                None => self.read(Vec::new(), 0)?,
                unfinished => {
                    self.work = unfinished.map(Box::new);
                    ready!(self.poll_read(cx))?;
                }
            }
        }
    }

    fn noting_the_peer<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        self.waits_for_peer = sent.is_pending();
        sent
    }

    /// Whether the next bytes can be sent from the page cache without waiting for a disk.
    fn is_cached(&mut self) -> bool {
        if self.way != Way::Sendfile {
            return false;
        }
        if self.body.at < self.cached_until {
            return true;
        }
        let file = Arc::clone(&self.body.file);
        let (size, end) = (file.size(), self.body.at + self.body.left);
        if size <= LOOKED_FOR_AT_ONCE && file.is_in_memory_at(now(), || self.is_held(0, size)) {
            self.cached_until = end;
            return true;
        }
        for len in [LOOKED_FOR_AT_ONCE, LOOKED_FOR_AT_LEAST] {
            let len = len.min(self.body.left);
            if self.is_held(self.body.at, len) {
                self.cached_until = self.body.at + len;
                return true;
            }
            if self.way != Way::Sendfile {
                return false;
            }
        }
        self.warms = false;
        self.body.file.set_warm(false);
        false
    }

    /// Whether the page cache holds these bytes; if it does not say, they are read.
    fn is_held(&mut self, offset: u64, len: u64) -> bool {
        match cached_bytes(self.body.file.file(), offset, len) {
            Ok(is_held) => is_held && self.has_arrived(offset + len - 1),
            Err(_) => {
                self.way = Way::ReadNowait;
                false
            }
        }
    }

    /// Whether the byte at `offset` is not just being read ahead: the page cache counts such pages as held.
    fn has_arrived(&self, offset: u64) -> bool {
        self.body.file.is_warm()
            || match read_at_nowait(self.body.file.file(), &mut [0], offset) {
                Ok(_) => true,
                // As on tmpfs, where nothing is read ahead.
                Err(error) => error.kind() == io::ErrorKind::Unsupported,
            }
    }

    /// Reads the next bytes into `buffer`: here what is in memory, else on the pool, which has refused `times`
    /// times before.
    fn read(&mut self, mut buffer: Vec<u8>, times: u32) -> io::Result<()> {
        buffer.resize(self.body.left.min(READ_AT_ONCE) as usize, 0);
        if self.way == Way::ReadNowait {
            match read_at_nowait(self.body.file.file(), &mut buffer, self.body.at) {
                Ok(n) => {
                    buffer.truncate(n);
                    return self.has_read(buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => self.way = Way::Pool,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.read_on_pool(buffer, times)
    }

    fn read_on_pool(&mut self, mut buffer: Vec<u8>, times: u32) -> io::Result<()> {
        let (file, at) = (Arc::clone(&self.body.file), self.body.at);
        let read = move || {
            let n = read_at(file.file(), &mut buffer, at)?;
            buffer.truncate(n);
            Ok(buffer)
        };
        self.warms = false;
        let group = self.body.file.group();
        let job = lakh_core::with(|shard| shard.pool().run_in_group(Lane::FILE, group, read));
        let work = match job {
            Ok(job) => Work::Reading { job, deadline: lakh_core::sleep(self.body.file.patience()) },
            Err(full) if full.is_full() && times < ASKED_AGAIN.1 => {
                Work::Refused { until: lakh_core::sleep(ASKED_AGAIN.0), times: times + 1 }
            }
            Err(refused) => return Err(io::Error::other(refused)),
        };
        self.work = Some(Box::new(work));
        Ok(())
    }

    fn has_read(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Err(has_shrunk());
        }
        self.work = Some(Box::new(Work::Read { bytes, sent: 0 }));
        Ok(())
    }
}

impl Stream for FileSender {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done() {
            return Poll::Ready(None);
        }
        self.poll_bytes(cx).map(|read| Some(read.map_err(Into::into)))
    }
}

fn now() -> Instant {
    lakh_core::with(lakh_core::Shard::now)
}

/// The announced length cannot be kept.
fn has_shrunk() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// The filesystem, or the system, has no sendfile.
fn is_no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        fs::File,
        future::poll_fn,
        io::{Read, Write},
    };

    const LEN: usize = 3 << 20;

    /// Sends a part of `content` in this way, and gives what arrives and how the sending ended.
    fn sent(content: &[u8], part: Part, reach: Reach, cut: Option<u64>) -> (Vec<u8>, io::Result<()>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let other: File = file.try_clone().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let reader = std::thread::spawn(move || {
            let mut arrived = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut arrived).map(|_| arrived)
        });
        let open = OpenFile::new(file, content.len() as u64, reach, None, Duration::from_secs(10));
        let result = lakh_core::block_on(async move {
            let stream = TcpStream::connect(addr).await?;
            let mut sender = FileSender::new(FileBody::new(Arc::new(open), part));
            while !sender.is_done() {
                poll_fn(|cx| sender.poll_send(&stream, cx)).await?;
                if let Some(len) = cut {
                    other.set_len(len)?;
                }
            }
            Ok(())
        });
        (reader.join().unwrap().unwrap(), result.unwrap())
    }

    fn content() -> Vec<u8> {
        (0..LEN as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn each_way_sends_the_part_and_nothing_else() {
        let content = content();
        for reach in [Reach::Pool, Reach::Local, Reach::Sendable] {
            for (start, end) in [(0, LEN), (1, LEN - 1), (777, 778), (LEN - 1, LEN), (100_000, 1_000_000)] {
                let part = Part { start: start as u64, len: (end - start) as u64 };
                let (arrived, result) = sent(&content, part, reach, None);
                result.unwrap();
                assert!(arrived == content[start..end], "{reach:?}, {start}..{end}");
            }
        }
    }

    #[test]
    fn each_way_gives_the_part_to_whoever_changes_it() {
        let content = content();
        for reach in [Reach::Pool, Reach::Local, Reach::Sendable] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            let open = OpenFile::new(file, LEN as u64, reach, None, Duration::from_secs(10));
            let part = Part { start: 7, len: 1_000_000 };
            let read = lakh_core::block_on(async move {
                let mut body = crate::Body::File(Box::new(FileBody::new(Arc::new(open), part)));
                let mut read = Vec::new();
                while let Some(bytes) = poll_fn(|cx| body.poll_chunk(cx)).await {
                    read.extend_from_slice(&bytes.unwrap());
                    assert_eq!(body.length(), Some(1_000_000 - read.len() as u64));
                }
                read
            });
            assert!(read.unwrap() == content[7..1_000_007], "{reach:?}");
        }
    }

    #[test]
    fn each_way_ends_with_an_error_when_the_file_shrinks() {
        let content = content();
        for reach in [Reach::Pool, Reach::Local, Reach::Sendable] {
            let part = Part { start: 0, len: LEN as u64 };
            let (arrived, result) = sent(&content, part, reach, Some(10));
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{reach:?}");
            assert!(arrived.len() < LEN);
        }
    }
}

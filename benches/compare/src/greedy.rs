//! Clients that never have enough: requests, an upload and a download without an end.
//!
//! Each has threads of its own, at the lowest priority, so that they take what processor the load leaves
//! and do not hold it up.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::{self, Head};
use crate::{Context, Result, sys};

/// Requests, or bytes of an upload, that are written at once.
const BATCH: usize = 64;
const PIECE: usize = 64 * 1024;
/// Bytes that are received, and dropped, at once.
const RECEIVE: usize = 1024 * 1024;
/// A body that no window is long enough for.
const ENDLESS: u64 = 1 << 40;
/// A server that lets a greedy client wait for so long has starved it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Three of them; they end when it is dropped.
pub struct Greedy {
    streams: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
    answers: Arc<AtomicU64>,
    uploaded: Arc<AtomicU64>,
    downloaded: Arc<AtomicU64>,
}

/// Bytes that they have moved: of answers to the pipelined requests, of the upload, of the download.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    pub answers: u64,
    pub uploaded: u64,
    pub downloaded: u64,
}

impl Greedy {
    /// Pipelines requests for `path`, posts to `/upload` and gets `/download`.
    pub fn start(address: SocketAddr, path: &str, head: Head) -> Result<Greedy> {
        let mut greedy = Greedy {
            streams: Vec::new(),
            threads: Vec::new(),
            answers: Arc::default(),
            uploaded: Arc::default(),
            downloaded: Arc::default(),
        };
        let host = address.to_string();
        let requests = http::request(path, &host, head).repeat(BATCH);
        let pipelined = greedy.connect(address)?;
        greedy.write(&pipelined, requests, Arc::default())?;
        greedy.read(&pipelined, Arc::clone(&greedy.answers))?;
        let upload = greedy.connect(address)?;
        let line = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {ENDLESS}\r\n\r\n");
        (&upload).write_all(line.as_bytes()).context(|| "upload".to_owned())?;
        greedy.write(&upload, vec![b'u'; PIECE], Arc::clone(&greedy.uploaded))?;
        let download = greedy.connect(address)?;
        (&download)
            .write_all(&http::request("/download", &host, Head::Bare))
            .context(|| "download".to_owned())?;
        greedy.read(&download, Arc::clone(&greedy.downloaded))?;
        Ok(greedy)
    }

    /// So far.
    pub fn moved(&self) -> Moved {
        Moved {
            answers: self.answers.load(Ordering::Relaxed),
            uploaded: self.uploaded.load(Ordering::Relaxed),
            downloaded: self.downloaded.load(Ordering::Relaxed),
        }
    }

    fn connect(&mut self, address: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::connect(address).context(|| format!("connecting to {address}"))?;
        let set = || "a greedy client".to_owned();
        stream.set_read_timeout(Some(PATIENCE)).context(set)?;
        stream.set_write_timeout(Some(PATIENCE)).context(set)?;
        let _ = sys::use_reno(&stream); // a saving where it is there
        sys::reset_on_close(&stream).context(set)?;
        self.streams.push(stream.try_clone().context(set)?);
        Ok(stream)
    }

    /// Writes `bytes` again and again.
    fn write(&mut self, stream: &TcpStream, bytes: Vec<u8>, count: Arc<AtomicU64>) -> Result<()> {
        let mut stream = stream.try_clone().context(|| "a greedy client".to_owned())?;
        self.spawn(move || {
            let written = stream.write_all(&bytes).is_ok();
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            written
        });
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream, count: Arc<AtomicU64>) -> Result<()> {
        let stream = stream.try_clone().context(|| "a greedy client".to_owned())?;
        self.spawn(move || {
            let got = sys::recv_and_drop(stream.as_raw_fd(), RECEIVE);
            count.fetch_add(got.max(0) as u64, Ordering::Relaxed);
            got > 0
        });
        Ok(())
    }

    /// `go_on` says when it is over: its stream has been shut down, or the server has given it up.
    fn spawn(&mut self, mut go_on: impl FnMut() -> bool + Send + 'static) {
        self.threads.push(std::thread::spawn(move || {
            sys::yield_to_others();
            while go_on() {}
        }));
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Both); // fails only if the server has closed it
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // it has nothing to tell
        }
    }
}

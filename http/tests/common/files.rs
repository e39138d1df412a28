//! A folder of files, a server of it, and a client that takes as much as it is told to.

use lakh_http::{App, Files, Running, Server};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// A client that waits longer than this has met a server that hangs.
pub const HANGS: Duration = Duration::from_secs(20);

/// A folder, and a server of it.
pub struct Site {
    pub temp: TempDir,
    pub server: Running,
    pub addr: SocketAddr,
}

impl Site {
    pub fn new() -> Self {
        Self::with(|files| files)
    }

    pub fn with(set: impl FnOnce(Files) -> Files) -> Self {
        Self::prepared(|_| {}, set)
    }

    pub fn prepared(prepare: impl FnOnce(&Path), set: impl FnOnce(Files) -> Files) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs::create_dir(&root).unwrap();
        prepare(temp.path());
        let files = set(Files::dir(&root)).open().unwrap();
        let mut site = Self::serving(Server::new(move |_| App::new().files("/", files.clone())));
        site.temp = temp;
        site
    }

    pub fn serving(server: Server) -> Self {
        let server = server.shards(1).bind("127.0.0.1:0").unwrap().start().unwrap();
        let addr = server.addrs()[0];
        Site { temp: tempfile::tempdir().unwrap(), server, addr }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join("root").join(name)
    }

    /// A file that was last written long ago.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        age(&path);
        path
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        Client { stream, read: Vec::new() }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.get_with(target, "")
    }

    /// `fields` are whole lines.
    pub fn get_with(&self, target: &str, fields: &str) -> Answer {
        self.ask("GET", target, fields)
    }

    pub fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        self.connect().ask(method, target, fields)
    }

    pub fn status(&self, target: &str) -> u16 {
        self.get(target).status
    }
}

pub struct Client {
    pub stream: TcpStream,
    /// Read, but not yet taken.
    pub read: Vec<u8>,
}

impl Client {
    pub fn send(&mut self, method: &str, target: &str, fields: &str) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    pub fn ask(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        self.send(method, target, fields);
        let mut answer = self.head();
        let has_body = method != "HEAD" && ![204, 304].contains(&answer.status);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = if has_body { self.take(length) } else { Vec::new() };
        answer
    }

    pub fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill(64 * 1024) > 0, "the connection has ended: {}", self.read.escape_ascii());
        };
        let head = String::from_utf8_lossy(&self.read[..end + 4]).into_owned();
        self.read.drain(..end + 4);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a head");
        Answer { status, head, body: Vec::new() }
    }

    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.fill(64 * 1024) > 0, "{} of {length} bytes have come", self.read.len());
        }
        self.read.drain(..length).collect()
    }

    pub fn fill(&mut self, at_most: usize) -> usize {
        let start = self.read.len();
        self.read.resize(start + at_most, 0);
        let n = self.stream.read(&mut self.read[start..]).expect("an answer in time");
        self.read.truncate(start + n);
        n
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Head lines but for the date.
    pub fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.head.lines().filter(|l| !l.starts_with("date:")).collect();
        lines.sort_unstable();
        lines
    }
}

/// In 2001.
pub fn age(path: &Path) {
    set_modified(path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
}

pub const AGED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

pub fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub const SMALL: usize = 600;
pub const LARGE: usize = 300_000;

//! The load generator: one thread, one epoll, closed loop.
//!
//! Each connection sends `depth` requests in one write, waits for all their answers, and sends again. Every
//! answer is checked by length, status and body; anything unexpected ends the run with an error.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::http::{self, Shape};
use crate::sys::{self, Epoll, Event};
use crate::{Context, Error, Result};

/// What is sent.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One request, whole.
    pub request: Vec<u8>,
    /// Requests sent together on a connection.
    pub depth: usize,
    /// Ask the kernel again at once instead of sleeping: the server never pays for waking the generator.
    pub spin: bool,
}

/// Connections that have each had one answer.
pub struct Opened {
    streams: Vec<TcpStream>,
    pub shape: Shape,
}

/// A stretch of load.
pub struct Window {
    pub answers: u64,
    pub wall: Duration,
    pub latency: Histogram,
    /// The generator's own time.
    pub cpu: Duration,
}

pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    shape: Shape,
    plan: Plan,
    /// `depth` requests in a row; one batch for each connection if their requests differ.
    batches: Vec<Vec<u8>>,
    buffer: Box<[u8]>,
    events: Box<[Event]>,
    /// Requests that may still be sent.
    allowance: u64,
    answers: u64,
    outstanding: u64,
    latency: Histogram,
    last_answer: Instant,
}

struct Connection {
    stream: TcpStream,
    sent_at: Instant,
    /// Answers to come.
    outstanding: usize,
    /// Bytes of the batch that the kernel has not yet taken.
    unsent: std::ops::Range<usize>,
    /// The beginning of an answer that came in pieces, until it can be checked.
    partial: Vec<u8>,
    /// Bytes of a checked answer's body that are still to come.
    skip: usize,
}

const PATIENCE: Duration = Duration::from_secs(10);
const OPENED_AT_ONCE: usize = 256;
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Bytes of a checked answer that the kernel is told to drop at once.
const DROPPED_AT_ONCE: usize = 1024 * 1024;
const UNLIMITED: u64 = u64::MAX;

/// Connects `count` times and has one answer on each connection.
pub fn open(address: SocketAddr, count: usize, request: &[u8]) -> Result<Opened> {
    let mut shape = None;
    let streams = connect_all(address, count, request, |first, batch| {
        for (index, stream) in batch.iter().enumerate() {
            let number = first + index;
            let answer = first_answer(stream).context(|| format!("connection {number}"))?;
            let expected = shape.get_or_insert_with(|| answer.clone());
            if *expected != answer {
                return Err(Error::new(format!("connection {number} got an answer of another shape")));
            }
        }
        Ok(())
    })?;
    let shape = shape.ok_or_else(|| Error::new("no connections were asked for"))?;
    Ok(Opened { streams, shape })
}

/// Connects `count` times and writes `request` on each connection. `greet` gets them batch by batch, with the
/// number of the first.
pub(crate) fn connect_all(
    address: SocketAddr,
    count: usize,
    request: &[u8],
    mut greet: impl FnMut(usize, &[TcpStream]) -> Result<()>,
) -> Result<Vec<TcpStream>> {
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    while streams.len() < count {
        let first = streams.len();
        for number in first..count.min(first + OPENED_AT_ONCE) {
            streams.push(connect(address, request).context(|| format!("connection {number} to {address}"))?);
        }
        greet(first, &streams[first..])?;
    }
    Ok(streams)
}

fn connect(address: SocketAddr, request: &[u8]) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    let _ = sys::use_reno(&stream); // a saving where it is there
    stream.set_read_timeout(Some(PATIENCE))?;
    sys::reset_on_close(&stream)?;
    (&stream).write_all(request)?;
    Ok(stream)
}

fn first_answer(mut stream: &TcpStream) -> Result<Shape> {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).context(|| "no answer".to_owned())? {
            0 => return Err(Error::new("the server closed the connection instead of answering")),
            got => answer.extend_from_slice(&buffer[..got]),
        }
        let Some(shape) = Shape::learn(&answer)? else { continue };
        if answer.len() > shape.total() {
            return Err(Error::new("the server sent more than one answer to one request"));
        }
        if answer.len() == shape.total() {
            return Ok(shape);
        }
    }
}

impl Opened {
    pub(crate) fn new(streams: Vec<TcpStream>, shape: Shape) -> Opened {
        Opened { streams, shape }
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub fn append(&mut self, more: Opened) -> Result<()> {
        if self.shape != more.shape {
            return Err(Error::new("the answer's shape has changed"));
        }
        self.streams.extend(more.streams);
        Ok(())
    }

    /// Fails unless every connection is still open and silent.
    pub fn expect_idle(&self) -> Result<()> {
        for (number, stream) in self.streams.iter().enumerate() {
            expect_silence(stream).context(|| format!("idle connection {number}"))?;
        }
        Ok(())
    }

    /// The same connections, on which answers will look otherwise.
    pub fn expecting(self, shape: Shape) -> Opened {
        Opened { shape, ..self }
    }

    /// Sends `request` `depth` times on every connection and waits for the answers: a peak of traffic.
    pub fn peak(self, request: Vec<u8>, depth: usize, rounds: u64) -> Result<Opened> {
        let total = (self.len() * depth) as u64 * rounds;
        let mut load = Load::new(self, Plan { request, depth, spin: false })?;
        load.exactly(total)?;
        load.into_opened()
    }
}

impl Load {
    pub fn new(opened: Opened, plan: Plan) -> Result<Load> {
        let epoll = Epoll::new().context(|| "epoll_create".to_owned())?;
        let mut connections = Vec::with_capacity(opened.len());
        for (number, stream) in opened.streams.into_iter().enumerate() {
            let add = || format!("connection {number}");
            stream.set_nonblocking(true).context(add)?;
            let interest = sys::EPOLLIN | sys::EPOLLOUT | sys::EPOLLET;
            epoll.add(stream.as_raw_fd(), interest, number as u64).context(add)?;
            connections.push(Connection::new(stream));
        }
        let batch = |connection: usize| {
            let numbers = connection * plan.depth..(connection + 1) * plan.depth;
            let requests: Option<Vec<_>> = numbers.map(|n| http::numbered(&plan.request, n)).collect();
            requests.map(|requests| requests.concat())
        };
        let batches: Option<Vec<_>> = (0..connections.len()).map(batch).collect();
        let batches = batches.filter(|batches| !batches.is_empty());
        let batches = batches.unwrap_or_else(|| vec![plan.request.repeat(plan.depth)]);
        Ok(Load {
            epoll,
            events: vec![Event { events: 0, u64: 0 }; connections.len().clamp(1, 1024)].into(),
            connections,
            shape: opened.shape,
            batches,
            plan,
            buffer: vec![0; RECEIVE_BUFFER].into(),
            allowance: 0,
            answers: 0,
            outstanding: 0,
            latency: Histogram::default(),
            last_answer: Instant::now(),
        })
    }

    /// Keeps every connection busy for `length`. Requests are still under way at the end, as at the start of
    /// a following window, so that windows can be measured one after the other.
    pub fn for_time(&mut self, length: Duration) -> Result<Window> {
        self.run(UNLIMITED, |_, elapsed| elapsed >= length)
    }

    /// Like `for_time`, until `count` answers were received.
    pub fn for_answers(&mut self, count: u64) -> Result<Window> {
        self.run(UNLIMITED, |answers, _| answers >= count)
    }

    /// Sends exactly `count` requests and waits for all answers.
    pub fn exactly(&mut self, count: u64) -> Result<Window> {
        self.run(count, |answers, _| answers >= count)
    }

    /// Waits for the answers under way.
    pub fn settle(&mut self) -> Result<Window> {
        let missing = self.outstanding;
        self.run(0, |answers, _| answers >= missing)
    }

    pub fn into_opened(mut self) -> Result<Opened> {
        self.settle()?;
        let streams = self.connections.into_iter().map(|connection| connection.stream).collect();
        let opened = Opened { streams, shape: self.shape };
        for stream in &opened.streams {
            stream.set_nonblocking(false).context(|| "connection".to_owned())?;
        }
        Ok(opened)
    }

    fn run(&mut self, allowance: u64, done: impl Fn(u64, Duration) -> bool) -> Result<Window> {
        let start = Instant::now();
        let cpu = sys::thread_cpu().context(|| "clock".to_owned())?;
        self.allowance = allowance;
        self.answers = 0;
        self.latency = Histogram::default();
        self.last_answer = start;
        for index in 0..self.connections.len() {
            if self.connections[index].outstanding == 0 {
                self.send_batch(index, Instant::now())?;
            }
        }
        while !done(self.answers, start.elapsed()) {
            self.turn()?;
        }
        Ok(Window {
            answers: self.answers,
            wall: start.elapsed(),
            latency: std::mem::take(&mut self.latency),
            cpu: sys::thread_cpu().context(|| "clock".to_owned())?.saturating_sub(cpu),
        })
    }

    fn turn(&mut self) -> Result<()> {
        let timeout_ms = if self.plan.spin { 0 } else { 50 };
        let got = self.epoll.wait(&mut self.events, timeout_ms).context(|| "epoll_wait".to_owned())?;
        for number in 0..got {
            let Event { events, u64: index } = self.events[number];
            self.handle_event(index as usize, events as libc::c_int)
                .context(|| format!("connection {index}"))?;
        }
        if got == 0 && self.last_answer.elapsed() > PATIENCE {
            return Err(Error::new(format!("no answer for {PATIENCE:?}")));
        }
        Ok(())
    }

    fn handle_event(&mut self, index: usize, events: libc::c_int) -> Result<()> {
        if !self.connections[index].unsent.is_empty() && events & sys::EPOLLOUT != 0 {
            self.connections[index].flush(&self.batches[index % self.batches.len()])?;
        }
        if events & (sys::EPOLLIN | sys::EPOLLERR | sys::EPOLLHUP) != 0 {
            self.receive(index)
        } else {
            Ok(())
        }
    }

    /// Reads until the socket is drained, which a short read says.
    fn receive(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let mut complete = 0;
        loop {
            let fd = connection.stream.as_raw_fd();
            // Of a long body only the length matters from here on. Copying it would make the generator the
            // slower of the two.
            let drop = connection.skip.min(DROPPED_AT_ONCE);
            let (wanted, got) = if drop >= RECEIVE_BUFFER {
                (drop, sys::recv_and_drop(fd, drop))
            } else {
                (self.buffer.len(), sys::recv(fd, &mut self.buffer))
            };
            match got {
                0 => return Err(Error::new("the server closed the connection")),
                got if got < 0 => {
                    let error = std::io::Error::last_os_error();
                    if error.kind() == std::io::ErrorKind::WouldBlock {
                        break;
                    }
                    return Err(Error::new(error.to_string()));
                }
                got => {
                    let got = got as usize;
                    complete += if drop >= RECEIVE_BUFFER {
                        connection.handle_dropped(got)
                    } else {
                        connection.handle_bytes(&self.buffer[..got], &self.shape)?
                    };
                    if got < wanted {
                        break;
                    }
                }
            }
        }
        if complete > 0 { self.handle_answers(index, complete) } else { Ok(()) }
    }

    fn handle_answers(&mut self, index: usize, complete: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        if complete > connection.outstanding {
            return Err(Error::new("more answers than requests"));
        }
        let now = Instant::now();
        connection.outstanding -= complete;
        self.latency.record(now.duration_since(connection.sent_at), complete as u64);
        self.answers += complete as u64;
        self.outstanding -= complete as u64;
        self.last_answer = now;
        if connection.outstanding == 0 { self.send_batch(index, now) } else { Ok(()) }
    }

    fn send_batch(&mut self, index: usize, now: Instant) -> Result<()> {
        let count = self.allowance.min(self.plan.depth as u64);
        if count == 0 {
            return Ok(());
        }
        if self.allowance != UNLIMITED {
            self.allowance -= count;
        }
        self.outstanding += count;
        let connection = &mut self.connections[index];
        connection.outstanding = count as usize;
        connection.sent_at = now;
        connection.unsent = 0..count as usize * self.plan.request.len();
        connection.flush(&self.batches[index % self.batches.len()])
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            sent_at: Instant::now(),
            outstanding: 0,
            unsent: 0..0,
            partial: Vec::new(),
            skip: 0,
        }
    }

    fn flush(&mut self, batch: &[u8]) -> Result<()> {
        while !self.unsent.is_empty() {
            let sent = sys::send(self.stream.as_raw_fd(), &batch[self.unsent.clone()]);
            if sent < 0 {
                let error = std::io::Error::last_os_error();
                if error.kind() == std::io::ErrorKind::WouldBlock {
                    return Ok(());
                }
                return Err(Error::new(format!("sending: {error}")));
            }
            self.unsent.start += sent as usize;
        }
        Ok(())
    }

    /// Like `handle_bytes`, of bytes of a body that nobody has seen.
    fn handle_dropped(&mut self, count: usize) -> usize {
        self.skip -= count;
        usize::from(self.skip == 0)
    }

    /// Takes in bytes and returns how many answers they completed.
    fn handle_bytes(&mut self, mut bytes: &[u8], shape: &Shape) -> Result<usize> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                complete += usize::from(self.skip == 0);
                continue;
            }
            let wanted = shape.checked() - self.partial.len();
            let Some((piece, rest)) = bytes.split_at_checked(wanted) else {
                self.partial.extend_from_slice(bytes);
                break;
            };
            bytes = rest;
            self.check(piece, shape)?;
            self.skip = shape.total() - shape.checked();
            complete += usize::from(self.skip == 0);
        }
        Ok(complete)
    }

    fn check(&mut self, piece: &[u8], shape: &Shape) -> Result<()> {
        if self.partial.is_empty() {
            return if shape.check(piece) { Ok(()) } else { Err(unexpected(piece)) };
        }
        self.partial.extend_from_slice(piece);
        let answer = std::mem::take(&mut self.partial);
        if shape.check(&answer) { Ok(()) } else { Err(unexpected(&answer)) }
    }
}

/// Fails unless the connection is open and has nothing to read.
pub(crate) fn expect_silence(stream: &TcpStream) -> Result<()> {
    let look = || "looking for bytes".to_owned();
    stream.set_nonblocking(true).context(look)?;
    let seen = stream.peek(&mut [0]);
    stream.set_nonblocking(false).context(look)?;
    match seen {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(Error::new(error.to_string())),
        Ok(0) => Err(Error::new("closed by the server")),
        Ok(_) => Err(Error::new("got bytes that nobody asked for")),
    }
}

pub(crate) fn unexpected(answer: &[u8]) -> Error {
    let start = String::from_utf8_lossy(&answer[..answer.len().min(60)]).escape_debug().to_string();
    Error::new(format!("an answer differs from the first one in status, length or body: \"{start}…\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> (Connection, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Connection::new(stream), listener)
    }

    fn answer(body: usize) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + body, b'b');
        answer
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        for body in [0, 13, 5000] {
            let one = answer(body);
            let shape = Shape::learn(&one).unwrap().unwrap();
            let stream = one.repeat(3);
            for size in [1, 2, 7, one.len() - 1, one.len(), one.len() + 1, stream.len()] {
                let (mut connection, _listener) = connection();
                let pieces = stream.chunks(size);
                let count: usize = pieces.map(|piece| connection.handle_bytes(piece, &shape).unwrap()).sum();
                assert_eq!(count, 3, "body {body} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_different_answer_is_an_error_however_it_is_cut() {
        let one = answer(13);
        let shape = Shape::learn(&one).unwrap().unwrap();
        let stream =
            [one.clone(), String::from_utf8(one).unwrap().replace("200", "503").into_bytes()].concat();
        for size in [1, 9, stream.len()] {
            let (mut connection, _listener) = connection();
            let outcome: Result<Vec<usize>> =
                stream.chunks(size).map(|piece| connection.handle_bytes(piece, &shape)).collect();
            assert!(outcome.unwrap_err().to_string().contains("503"), "pieces of {size}");
        }
    }
}

//! The floor: receive, count blank lines, send that many constant answers.
//!
//! Nothing that answers HTTP with `recv` and `send` over epoll can be cheaper, because this does not even look
//! at the request. It is what the other servers' costs are divided by.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::sys::{self, Epoll, Event};
use lakh_compare::{Context, Error, Result};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/plain\r\n\
    content-length: 13\r\n\
    server: lakh\r\n\
    date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    \r\n\
    Hello, World!";

const BLANK_LINE: &[u8; 4] = b"\r\n\r\n";
/// Bytes that are carried over from one receive to the next: a blank line less one.
const CARRY: usize = BLANK_LINE.len() - 1;
const RECEIVE: usize = 16 * 1024;
const ANSWERS_AT_ONCE: usize = 256;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("floor", run())
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    if flags.shards != 1 {
        return Err(Error::new(format!("--shards is {}, but the floor has one thread", flags.shards)));
    }
    let files = sys::raise_open_files().context(|| "open files".to_owned())?;
    let signals = sys::signal_descriptor().context(|| "signals".to_owned())?;
    let listen = || format!("cannot listen on {}", flags.listen);
    let listener = TcpListener::bind(flags.listen).context(listen)?;
    sys::listen(listener.as_raw_fd(), 4096).context(listen)?;
    listener.set_nonblocking(true).context(listen)?;
    println!("listening on http://{}", listener.local_addr().context(listen)?);
    Floor::new(&listener, signals.as_raw_fd(), files)?.serve()
}

struct Floor {
    epoll: Epoll,
    listener: RawFd,
    signals: RawFd,
    /// By descriptor: the last bytes received, if they may begin a blank line.
    carried: Vec<[u8; CARRY]>,
    answers: Vec<u8>,
}

impl Floor {
    fn new(listener: &TcpListener, signals: RawFd, files: u64) -> Result<Floor> {
        let listener = listener.as_raw_fd();
        let epoll = Epoll::new().context(|| "epoll_create".to_owned())?;
        for fd in [listener, signals] {
            epoll.add(fd, sys::EPOLLIN, fd as u64).context(|| "epoll_ctl".to_owned())?;
        }
        let carried = vec![[0; CARRY]; files.min(1 << 21) as usize];
        Ok(Floor { epoll, listener, signals, carried, answers: ANSWER.repeat(ANSWERS_AT_ONCE) })
    }

    fn serve(&mut self) -> Result<()> {
        let mut events = [Event { events: 0, u64: 0 }; 1024];
        let mut buffer = vec![0_u8; CARRY + RECEIVE];
        loop {
            let got = self.epoll.wait(&mut events, -1).context(|| "epoll_wait".to_owned())?;
            for event in &events[..got] {
                let fd = event.u64 as RawFd;
                if fd == self.listener {
                    self.accept();
                } else if fd == self.signals {
                    return Ok(());
                } else if !self.answer(fd, &mut buffer) {
                    self.carried[fd as usize] = [0; CARRY];
                    sys::close(fd);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok(fd) = sys::accept(self.listener) {
            let usable = (fd as usize) < self.carried.len() && sys::set_nodelay(fd).is_ok();
            if !usable || self.epoll.add(fd, sys::EPOLLIN | sys::EPOLLET, fd as u64).is_err() {
                sys::close(fd);
            }
        }
    }

    /// Answers what has come in; false when the connection is to be closed.
    fn answer(&mut self, fd: RawFd, buffer: &mut [u8]) -> bool {
        loop {
            let got = sys::recv(fd, &mut buffer[CARRY..CARRY + RECEIVE]);
            if got <= 0 {
                return got < 0 && would_block();
            }
            let got = got as usize;
            let carried = &mut self.carried[fd as usize];
            buffer[..CARRY].copy_from_slice(carried);
            let end = CARRY + got;
            let requests = count_blank_lines(&buffer[..end]);
            let last: [u8; CARRY] = [buffer[end - 3], buffer[end - 2], buffer[end - 1]];
            let whole = got >= BLANK_LINE.len() && buffer[end - BLANK_LINE.len()..end] == *BLANK_LINE;
            *carried = if whole { [0; CARRY] } else { last };
            if !send_answers(fd, &self.answers, requests) {
                return false;
            }
            if got < RECEIVE {
                return true;
            }
        }
    }
}

fn count_blank_lines(bytes: &[u8]) -> usize {
    bytes.windows(BLANK_LINE.len()).filter(|window| *window == BLANK_LINE).count()
}

/// Everything is sent or the connection is given up: clients here read as fast as they write.
fn send_answers(fd: RawFd, answers: &[u8], mut requests: usize) -> bool {
    while requests > 0 {
        let now = requests.min(ANSWERS_AT_ONCE);
        let bytes = &answers[..now * ANSWER.len()];
        if sys::send(fd, bytes) != bytes.len() as isize {
            eprintln!("floor: a client does not read its answers; closing it");
            return false;
        }
        requests -= now;
    }
    true
}

fn would_block() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8]) -> usize {
        count_blank_lines(text)
    }

    #[test]
    fn blank_lines_are_counted_at_every_offset() {
        for before in 0..70 {
            let text =
                [&vec![b'x'; before], BLANK_LINE.as_slice(), b"GET / HTTP/1.1\r\na: b", BLANK_LINE].concat();
            assert_eq!(count(&text), 2, "{before} bytes before");
            assert_eq!(count(&text[..text.len() - 1]), 1, "{before} bytes before");
        }
        assert_eq!(count(b""), 0);
    }
}

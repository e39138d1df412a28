//! One publisher and many subscribers: every message is waited for on every connection.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::load::{self, Window};
use crate::sys::{self, Epoll, Event};
use crate::ws::{self, Message};
use crate::{Context, Error, Result};

const TOPIC: &str = "/topic/news";
const PATIENCE: Duration = Duration::from_secs(10);
const RECEIVE_BUFFER: usize = 4096;
const EVENTS: usize = 1024;

/// Subscribers of one topic, and a socket that publishes there.
pub struct Audience {
    publisher: TcpStream,
    subscribers: Vec<Subscriber>,
    epoll: Epoll,
    events: Box<[Event]>,
    size: usize,
    published: u64,
}

struct Subscriber {
    stream: TcpStream,
    /// Bytes of the present message that have come.
    got: usize,
}

impl Audience {
    /// Connects `count` subscribers. Messages will have `size` bytes, the first 21 of which number them.
    pub fn open(address: SocketAddr, count: usize, size: usize) -> Result<Audience> {
        if count == 0 {
            return Err(Error::new("no subscribers were asked for"));
        }
        let mut publisher = ws::open_silent(address, 1, TOPIC).context(|| "the publisher".to_owned())?;
        let publisher = publisher.pop().ok_or_else(|| Error::new("there is no publisher"))?;
        let streams = ws::open_silent(address, count, TOPIC)?;
        let epoll = Epoll::new().context(|| "epoll_create".to_owned())?;
        let mut subscribers = Vec::with_capacity(count);
        for (number, stream) in streams.into_iter().enumerate() {
            let add = || format!("subscriber {number}");
            stream.set_nonblocking(true).context(add)?;
            epoll.add(stream.as_raw_fd(), sys::EPOLLIN | sys::EPOLLET, number as u64).context(add)?;
            subscribers.push(Subscriber { stream, got: 0 });
        }
        let events = vec![Event { events: 0, u64: 0 }; EVENTS].into();
        Ok(Audience { publisher, subscribers, epoll, events, size, published: 0 })
    }

    /// Publishes one message after the other for `length`, one at least; each is waited for everywhere. An
    /// answer is one message at one subscriber, and the latency the time until the last one has it.
    pub fn for_time(&mut self, length: Duration) -> Result<Window> {
        let cpu = sys::thread_cpu().context(|| "clock".to_owned())?;
        let start = Instant::now();
        let mut latency = Histogram::default();
        let mut answers = 0;
        while answers == 0 || start.elapsed() < length {
            let began = Instant::now();
            self.publish()?;
            latency.record(began.elapsed(), 1);
            answers += self.subscribers.len() as u64;
        }
        let cpu = sys::thread_cpu().context(|| "clock".to_owned())?.saturating_sub(cpu);
        Ok(Window { answers, wall: start.elapsed(), latency, cpu })
    }

    /// Fails if anybody has got more than was published.
    pub fn expect_silence(&self) -> Result<()> {
        for (number, subscriber) in self.subscribers.iter().enumerate() {
            load::expect_silence(&subscriber.stream).context(|| format!("subscriber {number}"))?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        let message = Message::numbered(self.size, self.published);
        self.publisher.write_all(&message.masked).context(|| "publishing".to_owned())?;
        let mut missing = self.subscribers.len();
        let mut last_progress = Instant::now();
        while missing > 0 {
            // Without sleeping: how often a server has to wake the subscribers would be chance.
            let got = self.epoll.wait(&mut self.events, 0).context(|| "epoll_wait".to_owned())?;
            for event in &self.events[..got] {
                let index = event.u64 as usize;
                let whole = self.subscribers[index].receive(&message.plain);
                missing -= usize::from(whole.context(|| format!("subscriber {index}"))?);
            }
            if got > 0 {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > PATIENCE {
                return Err(Error::new(format!(
                    "{missing} subscribers have not got message {}",
                    self.published
                )));
            }
        }
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.got = 0);
        self.published += 1;
        self.drop_own_copy()
    }

    /// A server may send the publisher what it has published. It is none of the subscribers.
    fn drop_own_copy(&mut self) -> Result<()> {
        let set = || "the publisher".to_owned();
        self.publisher.set_nonblocking(true).context(set)?;
        let got = sys::recv_and_drop(self.publisher.as_raw_fd(), RECEIVE_BUFFER);
        self.publisher.set_nonblocking(false).context(set)?;
        if got == 0 { Err(Error::new("the server closed the publisher's connection")) } else { Ok(()) }
    }
}

impl Subscriber {
    /// Whether the message is whole by now. Not a byte more may have come.
    fn receive(&mut self, expected: &[u8]) -> Result<bool> {
        let mut buffer = [0; RECEIVE_BUFFER];
        let got = sys::recv(self.stream.as_raw_fd(), &mut buffer);
        if got < 0 {
            let error = std::io::Error::last_os_error();
            let again = error.kind() == std::io::ErrorKind::WouldBlock;
            return if again { Ok(false) } else { Err(Error::new(error.to_string())) };
        }
        self.take(&buffer[..got as usize], expected)
    }

    fn take(&mut self, bytes: &[u8], expected: &[u8]) -> Result<bool> {
        if bytes.is_empty() {
            return Err(Error::new("the server closed the connection"));
        }
        if !expected[self.got..].starts_with(bytes) {
            return Err(load::unexpected(bytes));
        }
        self.got += bytes.len();
        Ok(self.got == expected.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber() -> Subscriber {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Subscriber { stream: TcpStream::connect(listener.local_addr().unwrap()).unwrap(), got: 0 }
    }

    #[test]
    fn a_message_is_whole_however_it_is_cut() {
        let expected = Message::numbered(128, 7).plain;
        for size in [1, 5, 131, 132] {
            let mut subscriber = subscriber();
            let whole: Vec<bool> =
                expected.chunks(size).map(|piece| subscriber.take(piece, &expected).unwrap()).collect();
            assert_eq!(whole.iter().filter(|whole| **whole).count(), 1, "pieces of {size}");
            assert!(whole.last().unwrap(), "pieces of {size}");
        }
    }

    #[test]
    fn another_message_or_one_too_many_is_an_error() {
        let expected = Message::numbered(128, 7).plain;
        assert!(subscriber().take(&Message::numbered(128, 8).plain, &expected).is_err());
        assert!(subscriber().take(&expected.repeat(2), &expected).is_err());
        assert!(subscriber().take(&[], &expected).is_err());
    }
}

//! What a client may take up: bytes and time.

use crate::proto::{ChunkLimits, HeadLimits};
use std::time::Duration;

/// Limits and deadlines of a server's connections. All of them are on by default.
///
/// Deadlines are kept with a resolution of about a second and never end early.
///
/// ```
/// use lakh_http::Limits;
/// use std::time::Duration;
///
/// let limits = Limits { body: 64 << 20, keep_alive: Duration::from_secs(5), ..Limits::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes and fields of a request head.
    pub head: HeadLimits,
    /// Chunk extensions and trailers of a chunked request body.
    pub chunks: ChunkLimits,
    /// Bytes of a request body. Beyond it: 413 (RFC 9110, 15.5.14). 2 MiB by default.
    pub body: u64,
    /// From the connection to the first byte of its first request. 30 s by default.
    pub first_byte: Duration,
    /// From a head's first byte to its last, however they trickle in. Beyond it: 408. 15 s by
    /// default.
    pub head_time: Duration,
    /// From one answer to the next request's first byte. 75 s by default.
    pub keep_alive: Duration,
    /// How long the peer may fall behind `rate` while a body is read or an answer is written.
    /// 20 s by default.
    pub stall: Duration,
    /// The slowest peer that is waited for, in bytes per second: body bytes sent to us, answer
    /// bytes taken from us. 1,024 by default.
    pub rate: u32,
    /// After an answer that ends the connection early: how long the peer may go on sending, so that it can
    /// read the answer (RFC 9112, 9.6). What it sends is dropped, however much it is: many clients look for
    /// the answer only when they have sent everything. 30 s by default.
    pub linger: Duration,
    /// How long the peer may be silent meanwhile, and how long it may still send once the server drains. 5 s by
    /// default.
    pub linger_silence: Duration,
    /// Overload: how long a request may have waited for its handler to begin, from when the kernel had its last
    /// byte, while a shard gets more than it can do. Beyond it: 503 with `Retry-After`, and the
    /// connection is closed; no handler runs, and no body is read. What was late is answered all the same
    /// for as long once more, so that a shard which has only stalled catches up and nobody is refused. How many new
    /// connections wait is kept to what can be answered or refused in this time: beyond that, the
    /// kernel answers no SYN, and clients try again. Unlike deadlines, kept to the kernel's ticks (1 to
    /// 10 ms). 500 ms by default; `None` sheds nothing, and so does every system but Linux. Counted
    /// in [`ServiceMetrics::shed`](crate::ServiceMetrics::shed).
    pub queue_age: Option<Duration>,
}

/// Limits of one route, in the place of the server's; what is not set stays as it is there.
///
/// ```
/// use lakh_http::RouteLimits;
/// use std::time::Duration;
///
/// let upload = RouteLimits::new().body(10 << 30).stall(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Default)]
pub struct RouteLimits {
    body: Option<u64>,
    rate: Option<u32>,
    stall: Option<Duration>,
}

impl RouteLimits {
    /// The server's, all of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a request body; see [`Limits::body`].
    pub fn body(self, bytes: u64) -> Self {
        RouteLimits { body: Some(bytes), ..self }
    }

    /// The slowest sender of a body that is waited for, in bytes per second; see [`Limits::rate`].
    pub fn rate(self, bytes_per_second: u32) -> Self {
        RouteLimits { rate: Some(bytes_per_second), ..self }
    }

    /// How long the sender of a body may fall behind its rate; see [`Limits::stall`].
    pub fn stall(self, time: Duration) -> Self {
        RouteLimits { stall: Some(time), ..self }
    }

    pub(crate) fn within(&self, server: &Limits) -> Limits {
        Limits {
            body: self.body.unwrap_or(server.body),
            rate: self.rate.unwrap_or(server.rate),
            stall: self.stall.unwrap_or(server.stall),
            ..server.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: HeadLimits::default(),
            chunks: ChunkLimits::default(),
            body: 2 << 20,
            first_byte: Duration::from_secs(30),
            head_time: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            stall: Duration::from_secs(20),
            rate: 1024,
            linger: Duration::from_secs(30),
            linger_silence: Duration::from_secs(5),
            queue_age: Some(Duration::from_millis(500)),
        }
    }
}

/// Holds a peer to [`Limits::rate`]: waiting uses up an allowance of seconds, bytes refill it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    allowance: u32,
    since: Option<u32>,
    /// Bytes that have not made up a second yet.
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        Pace { allowance: seconds(limits.stall), since: None, bytes: 0 }
    }

    /// The peer is waited for, from `now` on if it was not before; gives the deadline.
    pub(crate) fn wait(&mut self, now: u32) -> u32 {
        let since = *self.since.get_or_insert(now);
        // A second more: the current one has partly passed.
        since.saturating_add(self.allowance).saturating_add(1)
    }

    /// Whether the peer is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// The peer is not waited for; nothing was moved.
    pub(crate) fn pause(&mut self) {
        self.since = None;
    }

    /// The peer has moved `bytes`.
    pub(crate) fn moved(&mut self, now: u32, bytes: usize, limits: &Limits) {
        if let Some(since) = self.since.take() {
            self.allowance = self.allowance.saturating_sub(now.saturating_sub(since));
        }
        self.bytes += bytes as u64;
        let rate = u64::from(limits.rate.max(1));
        let earned = u32::try_from(self.bytes / rate).unwrap_or(u32::MAX);
        self.bytes %= rate;
        self.allowance = self.allowance.saturating_add(earned).min(seconds(limits.stall));
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(up)).unwrap_or(u32::MAX / 2).min(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(stall: u64, rate: u32) -> Limits {
        Limits { stall: Duration::from_secs(stall), rate, ..Limits::default() }
    }

    #[test]
    fn a_peer_that_trickles_uses_its_allowance_up() {
        let limits = limits(10, 100);
        let mut pace = Pace::new(&limits);
        let mut now = 1000;
        let cut = (0..100).find(|_| {
            let deadline = pace.wait(now);
            now += 3;
            pace.moved(now, 1, &limits);
            deadline <= now
        });
        assert_eq!(cut, Some(3), "a byte every three seconds lasts no longer than the allowance");
    }

    #[test]
    fn a_peer_at_the_rate_goes_on_for_ever() {
        let limits = limits(10, 100);
        let mut pace = Pace::new(&limits);
        for now in 0..1000 {
            assert!(pace.wait(now) > now + 1);
            pace.moved(now + 1, 100, &limits);
        }
    }

    #[test]
    fn time_in_which_nothing_was_asked_of_the_peer_is_not_counted() {
        let limits = limits(10, 100);
        let mut pace = Pace::new(&limits);
        pace.wait(0);
        pace.moved(1, 1, &limits);
        assert_eq!(pace.wait(5000), 5000 + 9 + 1);
    }

    #[test]
    fn seconds_round_up_and_never_overflow_a_deadline() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
        assert_eq!(seconds(Duration::MAX), u32::MAX / 2);
    }
}

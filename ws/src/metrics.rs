//! What a route's sockets have done, readable from any thread.

use crate::proto::CloseCode;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The first code that is told apart, and how many are: those of RFC 6455, 7.4.1, and of IANA's registry.
const FIRST_CODE: u16 = 1000;
const CODES: usize = 16;

/// Counters of the sockets of one route, or of as many as are given them ([`Config::metrics`](crate::Config::metrics)).
///
/// Make them outside of the server's factory, and give a clone to each shard. Each shard counts for itself, so that
/// counting costs a few instructions; reading adds up. Every number is exact, but they are not read at one instant.
///
/// ```
/// use lakh_http::{App, Server};
/// use lakh_ws::{Config, SocketMetrics, WebSocket, WebSocketRoutes};
///
/// let metrics = SocketMetrics::new();
/// let config = Config::new().metrics(&metrics);
/// let server = Server::new(move |_shard| {
///     App::new().ws_with("/news", config.clone(), async |mut socket: WebSocket| {
///         while socket.recv().await.is_some() {}
///     })
/// });
/// println!("{} open, {} messages in, {} out", metrics.open(), metrics.received(), metrics.sent());
/// ```
#[derive(Clone, Default)]
pub struct SocketMetrics(Arc<Mutex<Shards>>);

#[derive(Default)]
struct Shards {
    /// By their addresses.
    counting: HashMap<usize, Arc<Counts>>,
    /// What those have counted that are gone.
    gone: Counts,
}

/// What one shard counts: one thread writes.
#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    crowded: AtomicU64,
    slow: AtomicU64,
    /// By code; the last one is of all others.
    closed: [AtomicU64; CODES + 1],
}

impl SocketMetrics {
    /// All at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sockets whose handshake is done and whose connection is not over.
    pub fn open(&self) -> u64 {
        let (opened, closed) = self.sum(|counts| (get(&counts.opened), counts.closed.iter().map(get).sum()));
        opened.saturating_sub(closed)
    }

    /// Sockets that there have been so far.
    pub fn opened(&self) -> u64 {
        self.sum(|counts| (get(&counts.opened), 0)).0
    }

    /// Messages that have come, whole, while the socket was open.
    pub fn received(&self) -> u64 {
        self.sum(|counts| (get(&counts.received), 0)).0
    }

    /// Messages that were sent or queued, a topic's once for each socket.
    pub fn sent(&self) -> u64 {
        self.sum(|counts| (get(&counts.sent), 0)).0
    }

    /// Sockets that were closed with 1013 since their shard had no room for what they sent
    /// ([`Config::shard_inbox`](crate::Config::shard_inbox)).
    pub fn crowded(&self) -> u64 {
        self.sum(|counts| (get(&counts.crowded), 0)).0
    }

    /// Sockets whose peers were slower than they may be ([`Config::rate`](crate::Config::rate)): closed with 1008 if they
    /// sent too little of a message, cut if they took too little.
    pub fn slow(&self) -> u64 {
        self.sum(|counts| (get(&counts.slow), 0)).0
    }

    /// Connections that are over, by the code that [`CloseInfo::code`](crate::CloseInfo::code) had: 1006 for those that
    /// broke off, were cut, or ended with their shard. Codes from 1016 on count together, whichever is asked for.
    pub fn closed(&self, code: CloseCode) -> u64 {
        self.sum(|counts| (get(&counts.closed[place(code)]), 0)).0
    }

    /// Counts on this shard.
    pub(crate) fn counter(&self) -> Counter {
        let counts = Arc::<Counts>::default();
        self.lock().counting.insert(Arc::as_ptr(&counts).addr(), Arc::clone(&counts));
        Counter { counts, metrics: self.clone() }
    }

    fn sum(&self, of: impl Fn(&Counts) -> (u64, u64)) -> (u64, u64) {
        let shards = self.lock();
        let all = shards.counting.values().map(|counts| &**counts).chain([&shards.gone]);
        all.map(of).fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    fn lock(&self) -> MutexGuard<'_, Shards> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SocketMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketMetrics")
            .field("open", &self.open())
            .field("received", &self.received())
            .field("sent", &self.sent())
            .finish_non_exhaustive()
    }
}

/// One shard's half, for one route.
pub(crate) struct Counter {
    counts: Arc<Counts>,
    metrics: SocketMetrics,
}

impl Counter {
    pub(crate) fn opened(&self) {
        add(&self.counts.opened, 1);
    }

    #[inline]
    pub(crate) fn received(&self) {
        add(&self.counts.received, 1);
    }

    #[inline]
    pub(crate) fn sent(&self, messages: u64) {
        add(&self.counts.sent, messages);
    }

    pub(crate) fn crowded(&self) {
        add(&self.counts.crowded, 1);
    }

    pub(crate) fn slow(&self) {
        add(&self.counts.slow, 1);
    }

    pub(crate) fn closed(&self, code: CloseCode) {
        add(&self.counts.closed[place(code)], 1);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let mut shards = self.metrics.lock();
        shards.counting.remove(&Arc::as_ptr(&self.counts).addr());
        let (gone, last) = (&shards.gone, &self.counts);
        for (sum, more) in gone.all().zip(last.all()) {
            add(sum, get(more));
        }
    }
}

impl Counts {
    fn all(&self) -> impl Iterator<Item = &AtomicU64> {
        [&self.opened, &self.received, &self.sent, &self.crowded, &self.slow].into_iter().chain(&self.closed)
    }
}

fn place(code: CloseCode) -> usize {
    let at = u16::from(code).checked_sub(FIRST_CODE).map_or(CODES, usize::from);
    at.min(CODES)
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// One thread writes, or whoever holds the lock.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(get(counter) + more, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shard_has_counted_stays_when_it_is_gone() {
        let metrics = SocketMetrics::new();
        let (one, two) = (metrics.counter(), metrics.counter());
        one.opened();
        two.opened();
        two.opened();
        two.received();
        two.sent(5);
        one.closed(CloseCode::Abnormal);
        two.closed(CloseCode::Library(4000));
        let all = || (metrics.opened(), metrics.open(), metrics.received(), metrics.sent());
        assert_eq!(all(), (3, 1, 1, 5));
        drop(two);
        drop(one);
        assert_eq!(all(), (3, 1, 1, 5));
        assert!(metrics.lock().counting.is_empty());
        let codes = [CloseCode::Normal, CloseCode::Abnormal, CloseCode::Library(3000), CloseCode::Bad(999)];
        assert_eq!(codes.map(|code| metrics.closed(code)), [0, 1, 1, 1]);
    }
}

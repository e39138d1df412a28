//! What a shard's service counts, readable from any thread.

use http::StatusCode;
use lakh_net::AcceptMetrics;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counters of one shard's service. They are written by the shard and may be read from any thread; each is
/// exact, but they are not read at one instant. Those of the shard itself are
/// [`lakh_core::ShardMetrics`].
#[derive(Debug, Default)]
pub struct ServiceMetrics {
    accept: Arc<AcceptMetrics>,
    opened: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    responses: [AtomicU64; 5],
    slow_readers: AtomicU64,
    shed: AtomicU64,
}

/// One thread writes: no read-modify-write is needed.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

impl ServiceMetrics {
    /// What all listeners of the shard have accepted, and what they could not.
    pub fn accept(&self) -> &Arc<AcceptMetrics> {
        &self.accept
    }

    /// Connections that are open and speak HTTP: not those that have gone on in another protocol.
    pub fn connections(&self) -> u64 {
        // Closed after it was opened: read in the other order, it is never less than nothing.
        let closed = self.closed.load(Relaxed);
        self.opened.load(Relaxed).saturating_sub(closed)
    }

    /// Requests whose heads were read and understood.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Answers that were begun, by the class of their status: 1xx (a switch of the protocol) to 5xx. Refusals of
    /// what was no request are among them.
    pub fn responses(&self) -> [u64; 5] {
        self.responses.each_ref().map(|class| class.load(Relaxed))
    }

    /// Connections that were closed because their peers took too little of their answers
    /// ([`Limits::rate`](crate::Limits::rate)).
    pub fn slow_readers(&self) -> u64 {
        self.slow_readers.load(Relaxed)
    }

    /// Requests that were refused with 503 because they had waited for too long
    /// ([`Limits::queue_age`](crate::Limits::queue_age)). Connections that the kernel did not let in are not among
    /// them: nobody here knows of those (`ListenOverflows` in `/proc/net/netstat`).
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    pub(crate) fn count_shed(&self) {
        add(&self.shed, 1);
    }

    pub(crate) fn count_slow_reader(&self) {
        add(&self.slow_readers, 1);
    }

    pub(crate) fn count_opened(&self) {
        add(&self.opened, 1);
    }

    pub(crate) fn count_closed(&self) {
        add(&self.closed, 1);
    }

    /// What one poll of a connection has come to: its requests, and its plain answers, which are all 200.
    #[inline]
    pub(crate) fn count_poll(&self, requests: usize, plain: usize) {
        if requests > 0 {
            add(&self.requests, requests as u64);
            add(&self.responses[1], plain as u64);
        }
    }

    pub(crate) fn count_response(&self, status: StatusCode) {
        if let Some(class) = self.responses.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            add(class, 1);
        }
    }
}

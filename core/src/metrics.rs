//! What a shard counts of itself, readable from any thread.

use crate::histogram::Histogram;
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters of one shard. They are written by the shard once a turn and may be read from any
/// thread; each is exact, but they are not read at one instant.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    turns: AtomicU64,
    polls: AtomicU64,
    busy_nanos: AtomicU64,
    waiting_nanos: AtomicU64,
    turn_time: Histogram,
    tasks: AtomicU64,
    sources: AtomicU64,
    timers: AtomicU64,
    guards: AtomicU64,
    cut: AtomicU64,
    task_panics: AtomicU64,
    message_panics: AtomicU64,
    refused_messages: AtomicU64,
    poll_errors: AtomicU64,
    notify_errors: AtomicU64,
    stalls: AtomicU64,
}

/// Adds to a counter that one thread writes: no read-modify-write is needed.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

impl ShardMetrics {
    #[inline]
    pub(crate) fn record_turn(&self, busy: Duration, waiting: Duration, polls: usize) {
        let busy = busy.as_nanos() as u64;
        add(&self.turns, 1);
        add(&self.polls, polls as u64);
        add(&self.busy_nanos, busy);
        add(&self.waiting_nanos, waiting.as_nanos() as u64);
        self.turn_time.record(busy);
    }

    #[inline]
    pub(crate) fn set_handles(&self, tasks: usize, sources: usize, timers: usize, panics: u64) {
        self.tasks.store(tasks as u64, Relaxed);
        self.sources.store(sources as u64, Relaxed);
        self.timers.store(timers as u64, Relaxed);
        self.task_panics.store(panics, Relaxed);
    }

    pub(crate) fn set_guards(&self, guards: usize) {
        self.guards.store(guards as u64, Relaxed);
    }

    pub(crate) fn set_cut(&self, guards: usize) {
        self.cut.store(guards as u64, Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        add(&self.message_panics, 1);
    }

    pub(crate) fn count_refused_message(&self) {
        self.refused_messages.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_poll_error(&self, _: &io::Error) {
        add(&self.poll_errors, 1);
    }

    pub(crate) fn count_notify_error(&self, _: &io::Error) {
        self.notify_errors.fetch_add(1, Relaxed);
    }

    /// By the watchdog's thread, and no other.
    pub(crate) fn count_stall(&self) {
        add(&self.stalls, 1);
    }

    /// Turns of the loop.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// Polls of tasks.
    pub fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    /// Time spent working, in total.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Relaxed))
    }

    /// Time spent waiting for the kernel, in total.
    pub fn waiting(&self) -> Duration {
        Duration::from_nanos(self.waiting_nanos.load(Relaxed))
    }

    /// The share of its life that the shard was busy, from 0 to 1.
    pub fn busy_share(&self) -> f64 {
        let busy = self.busy().as_secs_f64();
        let total = busy + self.waiting().as_secs_f64();
        if total == 0.0 { 0.0 } else { busy / total }
    }

    /// Loop lag: how long each turn worked before it looked at the kernel again, in nanoseconds.
    /// What becomes ready meanwhile waits for as long as that.
    pub fn lag(&self) -> &Histogram {
        &self.turn_time
    }

    /// Tasks that live on the shard.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Relaxed)
    }

    /// Sockets and other sources registered with the shard's reactor.
    pub fn sources(&self) -> u64 {
        self.sources.load(Relaxed)
    }

    /// Timers that exist, pending or fired.
    pub fn timers(&self) -> u64 {
        self.timers.load(Relaxed)
    }

    /// Pieces of work in flight that a drain waits for ([`crate::Shard::guard`]).
    pub fn guards(&self) -> u64 {
        self.guards.load(Relaxed)
    }

    /// Pieces of work that were still in flight when the shard ended.
    pub fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    /// Panics of tasks, their destructors and wakers, and of messages from other threads.
    pub fn panics(&self) -> u64 {
        self.task_panics.load(Relaxed) + self.message_panics.load(Relaxed)
    }

    /// Stalls that the watchdog has seen ([`crate::Builder::watchdog`]).
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    /// Messages refused because the mailbox was full.
    pub fn refused_messages(&self) -> u64 {
        self.refused_messages.load(Relaxed)
    }

    /// Failed calls to the kernel's poller or notifier.
    pub fn kernel_errors(&self) -> u64 {
        self.poll_errors.load(Relaxed) + self.notify_errors.load(Relaxed)
    }
}

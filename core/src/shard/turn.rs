//! The loop itself.

use super::{POLL_BUDGET, Phase, Shard};
use mio::Events;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// Events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 1024;
/// Messages run in one turn.
const MESSAGES_PER_TURN: usize = 256;

impl Shard {
    /// Turns until `done` says so or the shard is stopped.
    pub(crate) fn run_until(&self, done: impl Fn() -> bool) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        self.start_turn(Instant::now());
        while !done() && !self.is_over() {
            self.turn(&mut events, &done);
        }
    }

    /// Turns until the shard is stopped, or drained.
    pub(crate) fn run(&self) {
        self.run_until(|| false);
    }

    fn is_over(&self) -> bool {
        self.0.remote.phase() >= Phase::Stopping || (self.is_draining() && self.guards() == 0)
    }

    fn turn(&self, events: &mut Events, done: &dyn Fn() -> bool) {
        self.take_messages();
        self.0.timers.fire(&self.0.tasks, &self.0.waiters);
        let polled = self.0.tasks.run(|| self.0.budget.set(POLL_BUDGET));
        self.wait(events, polled, done);
        self.0.reactor.dispatch(events, &self.0.tasks, &self.0.waiters);
    }

    fn start_turn(&self, now: Instant) {
        self.0.now.set(now);
        self.0.timers.set_now(now);
    }

    /// What other threads have sent since the last turn.
    fn take_messages(&self) {
        if self.0.remote.phase() >= Phase::Draining && !self.0.draining.replace(true) {
            self.tell_all_to_drain();
        }
        self.0.remote.drain_woken(|task| self.0.tasks.wake(task.index));
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = self.0.remote.next_message() else { break };
            if catch_unwind(AssertUnwindSafe(|| message(self))).is_err() {
                self.0.remote.metrics.count_panic();
            }
        }
    }

    fn tell_all_to_drain(&self) {
        self.0.tasks.wake_all();
        let wakers: Vec<_> = self.0.drain_waiters.borrow().iter().map(|(_, w)| w.clone()).collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Asks the kernel for events; sleeps if there is nothing else to do.
    fn wait(&self, events: &mut Events, polled: usize, done: &dyn Fn() -> bool) {
        let metrics = &self.0.remote.metrics;
        let before = Instant::now();
        let mut timeout = Some(Duration::ZERO);
        if !self.0.tasks.any_ready() {
            self.0.remote.doze().announce();
            if !self.0.remote.has_work() && !self.is_over_soon() && !done() {
                timeout = self.0.timers.until_next(before);
            }
        }
        if let Err(error) = self.0.reactor.wait(events, timeout) {
            events.clear();
            metrics.count_poll_error(&error);
        }
        self.0.remote.doze().awake();
        let after = Instant::now();
        metrics.record_turn(before - self.now(), after - before, polled);
        metrics.set_handles(
            self.0.tasks.len(),
            self.0.reactor.len(),
            self.0.timers.len(),
            self.guards(),
            self.0.tasks.panicked(),
        );
        self.start_turn(after);
    }

    /// A phase that changed after the messages were taken must not be slept through.
    fn is_over_soon(&self) -> bool {
        let phase = self.0.remote.phase();
        phase >= Phase::Stopping || (phase >= Phase::Draining && (!self.is_draining() || self.guards() == 0))
    }

    /// Drops everything that lives on the shard: no new messages, then tasks, timers, wakers.
    pub(crate) fn shut_down(&self) {
        self.0.draining.set(true);
        self.0.remote.advance(Phase::Ended);
        while let Some(message) = self.0.remote.next_message() {
            drop(message);
        }
        self.0.remote.drain_woken(|_| {});
        self.0.tasks.clear();
        self.0.waiters.clear();
        let wakers = std::mem::replace(&mut *self.0.drain_waiters.borrow_mut(), crate::slab::Slab::new());
        drop(wakers);
        self.0.remote.drain_woken(|_| {});
    }
}

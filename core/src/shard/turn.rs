//! The loop itself.

use super::{Inner, POLL_BUDGET, Phase, Shard, hooks::Place};
use crate::{slab::Slab, unwind};
use mio::Events;
use std::{
    mem,
    task::Waker,
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
        while !done() && self.0.remote.phase() < Phase::Stopping {
            self.turn(&mut events, &done);
        }
    }

    /// Turns until the shard is stopped, or drained.
    pub(crate) fn run(&self) {
        self.run_until(|| self.is_draining() && self.guards() == 0);
    }

    fn turn(&self, events: &mut Events, done: &dyn Fn() -> bool) {
        self.call_hooks(Place::TurnStart);
        self.take_messages();
        self.0.timers.fire(&self.0.tasks, &self.0.waiters);
        let pulse = &self.0.remote.pulse;
        let polled = self.0.tasks.run(|number| {
            self.0.budget.set(POLL_BUDGET);
            pulse.begin_poll(number);
        });
        pulse.begin_poll(0);
        self.call_hooks(Place::TurnEnd);
        self.wait(events, polled, done);
        self.0.reactor.dispatch(events, &self.0.tasks, &self.0.waiters);
        if !events.is_empty() {
            self.was_busy();
        } else if self.awaits_idle_hooks() && !self.has_more() {
            self.call_idle_hooks();
        }
    }

    /// Whether the next turn would have something to do, as far as the kernel need not be asked.
    fn has_more(&self) -> bool {
        let is_timer_due = self.0.timers.until_next(self.now()).is_zero();
        is_timer_due || self.0.tasks.any_ready() || self.0.remote.has_work() || self.is_called()
    }

    fn start_turn(&self, now: Instant) {
        self.0.now.set(now);
        self.0.timers.set_now(now);
        self.0.remote.pulse.begin_turn(self.0.timers.now_millis());
    }

    /// What other threads have sent since the last turn.
    fn take_messages(&self) {
        if self.0.remote.phase() >= Phase::Draining && !self.0.draining.replace(true) {
            self.tell_all_to_drain();
        }
        self.0.remote.drain_woken(|task| self.0.tasks.wake(task.index));
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = self.0.remote.next_message() else { break };
            self.was_busy();
            if unwind::catch(|| message(self)).is_none() {
                self.0.remote.metrics.count_panic();
            }
        }
    }

    fn tell_all_to_drain(&self) {
        self.0.tasks.wake_all();
        for (_, waker) in self.take_drain_waiters().iter() {
            self.0.tasks.guarded(|| waker.wake_by_ref());
        }
    }

    /// Nobody is added from now on: the shard is draining.
    fn take_drain_waiters(&self) -> Slab<Waker> {
        mem::replace(&mut *self.0.drain_waiters.borrow_mut(), Slab::new())
    }

    /// Asks the kernel for events; sleeps if there is nothing else to do.
    fn wait(&self, events: &mut Events, polled: usize, done: &dyn Fn() -> bool) {
        let metrics = &self.0.remote.metrics;
        let had_all = events.iter().count() < EVENTS_PER_TURN;
        let before = Instant::now();
        let mut timeout = Some(Duration::ZERO);
        if polled > 0 {
            self.was_busy();
        }
        if !self.0.tasks.any_ready() && !self.awaits_idle_hooks() {
            self.0.remote.doze().announce();
            if !self.0.remote.has_work() && !self.is_called() && !done() {
                timeout = Some(self.0.timers.until_next(before));
            } else {
                self.0.remote.doze().awake();
            }
        }
        // Before the wait, which may be long: others read them meanwhile.
        self.publish();
        if timeout != Some(Duration::ZERO) {
            self.0.remote.pulse.rest();
        }
        if let Err(error) = self.0.reactor.wait(events, timeout) {
            events.clear();
            metrics.count_poll_error(&error);
        }
        self.0.remote.doze().awake();
        let after = Instant::now();
        let busy = before - self.now();
        metrics.record_turn(busy, after - before, polled);
        // What did not fit among a turn's events has waited since before it.
        let before_that = if had_all { Duration::ZERO } else { self.lag() };
        self.0.lag.set(before_that + busy);
        self.start_turn(after);
    }

    /// A phase that changed after the messages were taken must not be slept through.
    fn is_called(&self) -> bool {
        let phase = self.0.remote.phase();
        phase >= Phase::Stopping || (phase >= Phase::Draining && !self.is_draining())
    }

    fn publish(&self) {
        self.0.remote.metrics.set_handles(
            self.0.tasks.len(),
            self.0.reactor.len(),
            self.0.timers.len(),
            self.0.tasks.panicked(),
        );
    }

    /// Drops everything that lives on the shard: no new messages, then tasks, timers, wakers.
    pub(super) fn shut_down(&self) {
        let Inner { remote, tasks, waiters, .. } = &*self.0;
        self.0.draining.set(true);
        remote.pulse.rest();
        remote.metrics.set_cut(self.guards());
        remote.advance(Phase::Ended);
        while let Some(message) = remote.next_message() {
            tasks.guarded(|| drop(message));
        }
        remote.drain_woken(|_| {});
        tasks.clear();
        self.drop_hooks();
        waiters.clear(tasks);
        tasks.guarded(|| drop(self.take_drain_waiters()));
        self.publish();
    }
}

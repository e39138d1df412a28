//! Deals a shard's requests out to its connections.

use super::{
    clock::{Nanos, nanos},
    share::Share,
};
use crate::{
    plan::{Pace, Plan},
    schedule::{Beat, Part},
};
use std::cell::{Cell, OnceCell};

/// Into so many steps those are put together that wait at the end: a backlog may be as long as the run.
const WAITED_STEPS: u64 = 100_000;

/// Parts of the run by which requests on their way are known.
const TICKS: usize = 4096;

/// Whose turn it is does not matter here: a connection that is free takes the next request. What has not been taken
/// is a number, not a queue.
pub(super) struct Dealer {
    pace: Pace,
    /// In an open loop, when requests are due, from `go` on.
    part: Part,
    /// Requests of this shard, if they are limited.
    limit: Option<u64>,
    warmup: Nanos,
    duration: Nanos,
    /// When requests begin, when they begin to count, and when they end.
    go: Cell<Nanos>,
    from: Cell<Nanos>,
    until: Cell<Nanos>,
    /// Requests that were taken; in the order of their due times.
    taken: Cell<u64>,
    /// Requests that count and were taken, and those that have an answer or have failed.
    sent: Cell<u64>,
    settled: Cell<u64>,
    /// In an open loop: how many of the requests due in each tick are on their way, and a tick's nanoseconds as a power of
    /// two. Which connection waits does not matter at the end, only for how long.
    on_their_way: OnceCell<Box<[Cell<u32>]>>,
    tick: u32,
}

impl Dealer {
    pub(super) fn new(plan: &Plan, share: Share) -> Self {
        let rate = if let Pace::Open { rate } = plan.pace { rate } else { 1.0 };
        Dealer {
            pace: plan.pace,
            part: Part { beat: Beat::new(rate), first: share.shard as u64, step: share.of as u64 },
            limit: share.requests,
            warmup: nanos(plan.warmup),
            duration: nanos(plan.duration),
            go: Cell::new(Nanos::MAX),
            from: Cell::new(Nanos::MAX),
            until: Cell::new(Nanos::MAX),
            taken: Cell::new(0),
            sent: Cell::new(0),
            settled: Cell::new(0),
            on_their_way: OnceCell::new(),
            tick: (nanos(plan.duration) / TICKS as u64).checked_ilog2().map_or(0, |tick| tick + 1),
        }
    }

    /// Requests begin at `go`: once.
    pub(super) fn begin(&self, go: Nanos) {
        self.go.set(go);
        self.from.set(go.saturating_add(self.warmup));
        self.until.set(self.from.get().saturating_add(self.duration));
        if matches!(self.pace, Pace::Open { .. }) {
            self.on_their_way.get_or_init(|| vec![Cell::new(0); TICKS].into());
        }
    }

    /// The requests on their way that were due at about the same time, if they are counted.
    #[inline]
    fn others_due(&self, due: Nanos) -> Option<&Cell<u32>> {
        let tick = (due - self.from.get()) >> self.tick;
        self.on_their_way.get()?.get(usize::try_from(tick).ok()?)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.go.get() != Nanos::MAX
    }

    /// No requests from now on.
    pub(super) fn end(&self, now: Nanos) {
        self.until.set(self.until.get().min(now));
    }

    /// Whether nothing is sent any more.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        now >= self.until.get()
    }

    /// Whether a request that was due then counts: it is no part of the warm-up.
    #[inline]
    pub(super) fn counts(&self, due: Nanos) -> bool {
        due >= self.from.get()
    }

    /// Takes the next request, if there is one that may be sent now: the time at which it was due.
    #[inline]
    pub(super) fn take(&self, now: Nanos) -> Option<Nanos> {
        if now < self.go.get() || now >= self.until.get() || Some(self.sent.get()) == self.limit {
            return None;
        }
        let taken = self.taken.get();
        let due = match self.pace {
            Pace::Closed { .. } => now,
            Pace::Open { .. } => {
                Some(self.go.get().saturating_add(self.part.due(taken))).filter(|&due| due <= now)?
            }
            Pace::Silent => return None,
        };
        self.taken.set(taken + 1);
        if self.counts(due) {
            self.sent.set(self.sent.get() + 1);
            if let Some(others) = self.others_due(due) {
                others.set(others.get() + 1);
            }
        }
        Some(due)
    }

    /// So many requests that were due then have an answer, or have failed.
    #[inline]
    pub(super) fn settle(&self, due: Nanos) {
        if self.counts(due) {
            self.settled.set(self.settled.get() + 1);
            if let Some(others) = self.others_due(due) {
                others.set(others.get() - 1);
            }
        }
    }

    /// Requests that count, and are on their way.
    pub(super) fn unanswered(&self) -> u64 {
        self.sent.get() - self.settled.get()
    }

    /// When counting begins, once that is known.
    pub(super) fn from(&self) -> Option<Nanos> {
        self.has_begun().then(|| self.from.get())
    }

    /// Whether every request has an answer or has failed; never without a limit.
    pub(super) fn is_done(&self) -> bool {
        Some(self.settled.get()) == self.limit
    }

    /// In an open loop: requests that are due and that nobody has taken, the warm-up's left out.
    pub(super) fn backlog(&self, now: Nanos) -> u64 {
        let last = now.min(self.until.get().saturating_sub(1));
        if !matches!(self.pace, Pace::Open { .. }) || last < self.go.get() {
            return 0;
        }
        let due = self.part.count(last - self.go.get()).saturating_sub(self.taken.get());
        self.limit.map_or(due, |limit| due.min(limit - self.sent.get()))
    }

    /// In an open loop, once the end is known: how long requests have waited by then that have no answer, `backlog` that
    /// nobody has taken and those that are on their way. In few steps, with times that are a bit too short for some.
    pub(super) fn waited(&self, backlog: u64) -> impl Iterator<Item = (Nanos, u64)> + '_ {
        let (first, until) = (self.taken.get(), self.until.get());
        let step = backlog.div_ceil(WAITED_STEPS).max(1);
        let unsent = (0..backlog).step_by(step as usize).map(move |at| {
            let many = step.min(backlog - at);
            let due = self.go.get().saturating_add(self.part.due(first + at + many - 1));
            (until.saturating_sub(due), many)
        });
        let ticks = self.on_their_way.get().map_or(&[][..], |ticks| ticks);
        let sent = (1..).zip(ticks).filter(|(_, many)| many.get() > 0).map(move |(end, many)| {
            let due = self.from.get().saturating_add(end << self.tick);
            (until.saturating_sub(due), many.get().into())
        });
        unsent.chain(sent)
    }

    /// In an open loop: when the next request is due that is not yet; `None` if there is none.
    pub(super) fn next_due(&self, now: Nanos) -> Option<Nanos> {
        if Some(self.sent.get()) == self.limit {
            return None;
        }
        let number = self.part.count(now.saturating_sub(self.go.get()));
        Some(self.go.get().saturating_add(self.part.due(number))).filter(|&due| due < self.until.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::plan;
    use std::time::Duration;

    const MILLI: Nanos = 1_000_000;

    fn dealer(plan: &Plan) -> Dealer {
        let dealer = Dealer::new(plan, Share::new(plan, 0, 1));
        assert_eq!(dealer.take(5), None, "nothing before the beginning");
        dealer.begin(10 * MILLI);
        dealer
    }

    #[test]
    fn what_is_due_while_all_are_busy_is_neither_lost_nor_moved() {
        let mut plan = plan();
        plan.pace = Pace::Open { rate: 1000.0 };
        plan.duration = Duration::from_millis(100);
        let dealer = dealer(&plan);
        assert_eq!((dealer.take(10 * MILLI), dealer.take(10 * MILLI)), (Some(10 * MILLI), None));
        assert_eq!((dealer.backlog(50 * MILLI), dealer.next_due(50 * MILLI)), (40, Some(51 * MILLI)));
        // A stall of 40 ms: all the requests of this time come late, each due at its own.
        let due: Vec<_> = std::iter::from_fn(|| dealer.take(50 * MILLI)).collect();
        assert_eq!(due, (11..=50).map(|at| at * MILLI).collect::<Vec<_>>());
        assert_eq!((dealer.take(110 * MILLI), dealer.next_due(109 * MILLI)), (None, None));
        assert_eq!(dealer.backlog(200 * MILLI), 59, "what is due by the end");
        let waited: Vec<_> = dealer.waited(59).collect();
        let unsent: Vec<_> = (1..=59).rev().map(|waited| (waited * MILLI, 1)).collect();
        assert_eq!(waited[..59], unsent);
        // Those that were sent have no answer, either: from 100 ms on down, a tick's time less.
        let sent = &waited[59..];
        assert_eq!(sent.iter().map(|(_, many)| many).sum::<u64>(), 41);
        assert!((99 * MILLI..100 * MILLI).contains(&sent[0].0), "{sent:?}");
        (10..=50).for_each(|at| dealer.settle(at * MILLI));
        assert_eq!(dealer.waited(0).count(), 0);
    }

    #[test]
    fn the_limit_counts_what_the_warm_up_does_not_hold() {
        let mut plan = plan();
        plan.warmup = Duration::from_millis(5);
        plan.requests = Some(2);
        let dealer = dealer(&plan);
        let mut taken = Vec::new();
        for at in [10, 12, 15, 16, 17] {
            taken.extend(dealer.take(at * MILLI));
        }
        assert_eq!(taken, [10, 12, 15, 16].map(|at| at * MILLI));
        taken.iter().take(3).for_each(|&due| dealer.settle(due));
        assert!(!dealer.is_done());
        dealer.settle(taken[3]);
        assert!(dealer.is_done());
    }
}

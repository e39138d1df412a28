//! What the connections of one shard share.

use super::{
    clock::{Clock, Nanos, nanos},
    control::{Control, Report},
    idle::Idle,
    share::Share,
};
use crate::{
    client::{Answer, Failure, Protocol},
    plan::{Pace, Plan},
    stats::{Cause, Tally},
};
use std::{
    cell::{Cell, RefCell},
    mem,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
    task::Waker,
};

/// Bytes that are read at once.
const INPUT: usize = 64 * 1024;
/// A request that leaves later than that after its time is late.
const LATE: Nanos = 1_000_000;

pub(super) struct Local<P> {
    pub(super) plan: Arc<Plan>,
    pub(super) protocol: P,
    pub(super) clock: Clock,
    pub(super) share: Share,
    pub(super) timeout: Nanos,
    control: Arc<Control>,
    reports: SyncSender<Report>,
    pub(super) tally: RefCell<Tally>,
    pub(super) buffers: RefCell<Buffers>,
    pub(super) idle: RefCell<Idle>,
    /// When requests begin, when they begin to count, and when they end.
    go: Cell<Nanos>,
    from: Cell<Nanos>,
    until: Cell<Nanos>,
    /// Requests that have been dealt out, and those among them that are answered or have failed.
    taken: Cell<u64>,
    settled_requests: Cell<u64>,
    /// Connections that were begun; that have stood or failed at least once; that stand; that are being made.
    pub(super) begun: Cell<usize>,
    pub(super) tried: Cell<usize>,
    pub(super) open: Cell<u64>,
    pub(super) opening: Cell<usize>,
    /// When the next connection may be begun, if there is a rate.
    connect_at: Cell<Nanos>,
    pub(super) starter: RefCell<Option<Waker>>,
    clerk: RefCell<Option<Waker>>,
    /// What the last report said of `settled` and `done`.
    told: Cell<(bool, bool)>,
}

/// One of each for all connections of a shard.
pub(super) struct Buffers {
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) answers: Vec<Answer>,
}

impl<P: Protocol> Local<P> {
    pub(super) fn new(
        plan: Arc<Plan>,
        protocol: P,
        clock: Clock,
        share: Share,
        control: Arc<Control>,
        reports: SyncSender<Report>,
    ) -> Self {
        Local {
            timeout: nanos(plan.timeout),
            plan,
            protocol,
            clock,
            share,
            control,
            reports,
            tally: RefCell::default(),
            buffers: RefCell::new(Buffers { input: vec![0; INPUT], output: Vec::new(), answers: Vec::new() }),
            idle: RefCell::default(),
            go: Cell::new(Nanos::MAX),
            from: Cell::new(Nanos::MAX),
            until: Cell::new(Nanos::MAX),
            taken: Cell::new(0),
            settled_requests: Cell::new(0),
            begun: Cell::new(0),
            tried: Cell::new(0),
            open: Cell::new(0),
            opening: Cell::new(0),
            connect_at: Cell::new(0),
            starter: RefCell::default(),
            clerk: RefCell::default(),
            told: Cell::new((false, false)),
        }
    }

    /// Takes the next request that may be sent at `now`, if there is one: the time at which it is due.
    #[inline]
    pub(super) fn take_request(&self, now: Nanos) -> Option<Nanos> {
        let taken = self.taken.get();
        if now < self.go.get() || now >= self.until.get() || Some(taken) == self.share.requests {
            return None;
        }
        let due = match self.plan.pace {
            Pace::Closed { .. } => now,
            Pace::Open { .. } => self.due(taken).filter(|&due| due <= now)?,
            Pace::Silent => return None,
        };
        self.taken.set(taken + 1);
        if due >= self.from.get() {
            let mut tally = self.tally.borrow_mut();
            tally.sent += 1;
            tally.late += u64::from(now - due > LATE);
        }
        Some(due)
    }

    /// When the shard's request of this number is due, from 0; none at all in a closed loop.
    fn due(&self, number: u64) -> Option<Nanos> {
        let Pace::Open { rate } = self.plan.pace else { return None };
        let number = number.checked_mul(self.share.of as u64)?.checked_add(self.share.shard as u64)?;
        self.go.get().checked_add((number as f64 * 1e9 / rate) as u64)
    }

    /// Counts an answer to a request that was due and sent then.
    #[inline]
    pub(super) fn count_answer(
        &self,
        tally: &mut Tally,
        answer: Answer,
        (due, sent): (Nanos, Nanos),
        now: Nanos,
    ) {
        self.settled_requests.set(self.settled_requests.get() + 1);
        if due < self.from.get() {
            return;
        }
        tally.completed += 1;
        tally.response.record_nanos(now - due);
        // In a closed loop both are the same, and the coordinator knows.
        if matches!(self.plan.pace, Pace::Open { .. }) {
            tally.service.record_nanos(now - sent);
        }
        let class = match answer {
            Answer::Good(class) => class,
            Answer::Bad(class, cause) => {
                tally.failures.add(cause);
                class
            }
        };
        tally.statuses[usize::from(class).min(5)] += 1;
    }

    /// Counts what went wrong, for `requests` that get no answer, or for a connection if there are none.
    pub(super) fn count_failure(&self, failure: &Failure, requests: u64) {
        self.settled_requests.set(self.settled_requests.get() + requests);
        let mut tally = self.tally.borrow_mut();
        for _ in 0..requests.max(1) {
            tally.failures.add(failure.cause);
        }
    }

    /// From when on a connection may be begun that wants it now.
    pub(super) fn connect_slot(&self, now: Nanos) -> Nanos {
        let Some(rate) = self.plan.connect_rate else { return now };
        let at = self.connect_at.get().max(now);
        self.connect_at.set(at + (1e9 * self.share.of as f64 / rate) as u64);
        at
    }

    /// A connection has stood or failed for the first time.
    pub(super) fn settle(&self) {
        self.tried.set(self.tried.get() + 1);
        self.wake_clerk();
    }

    pub(super) fn wake_starter(&self) {
        if let Some(waker) = self.starter.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether every request of the shard's share has its answer or has failed.
    pub(super) fn is_done(&self) -> bool {
        Some(self.settled_requests.get()) == self.share.requests
    }

    pub(super) fn wake_clerk(&self) {
        if let Some(waker) = &*self.clerk.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn set_clerk(&self, waker: &Waker) {
        let mut clerk = self.clerk.borrow_mut();
        if clerk.is_none() {
            self.control.add_clerk(waker.clone());
            *clerk = Some(waker.clone());
        }
    }

    /// Follows what the coordinator has said; false once the run has ended.
    pub(super) fn follow(&self) -> bool {
        if let Some(go) = self.control.go()
            && self.go.get() == Nanos::MAX
        {
            self.go.set(go);
            self.from.set(go.saturating_add(nanos(self.plan.warmup)));
            self.until.set(self.from.get().saturating_add(nanos(self.plan.duration)));
            if matches!(self.plan.pace, Pace::Closed { .. }) {
                self.wake_idle(usize::MAX);
            }
        }
        let ended = self.control.has_ended();
        if ended {
            self.until.set(0);
        }
        !ended
    }

    /// Lets connections that have waited longest send, as many as there are.
    pub(super) fn wake_idle(&self, many: usize) {
        for _ in 0..many {
            let Some(waker) = self.idle.borrow_mut().pop() else { return };
            waker.wake();
        }
    }

    /// Whether the coordinator should hear at once.
    pub(super) fn has_news(&self) -> bool {
        self.told.get() != (self.is_settled(), self.is_done())
    }

    fn is_settled(&self) -> bool {
        self.tried.get() >= self.share.first.max(1).min(self.share.connections)
    }

    /// Gives the coordinator what has been counted since the last time; false if it has not taken that one yet.
    pub(super) fn report(&self, last: bool) -> bool {
        let told = (self.is_settled(), self.is_done());
        let report = Report {
            shard: self.share.shard,
            tally: mem::take(&mut *self.tally.borrow_mut()),
            open: self.open.get(),
            settled: told.0,
            done: told.1,
            last,
        };
        match self.reports.try_send(report) {
            Ok(()) => {
                self.told.set(told);
                true
            }
            Err(TrySendError::Full(report)) => {
                self.tally.borrow_mut().merge(&report.tally);
                false
            }
            // The coordinator is gone, and with it whoever would look at it.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

/// What an error of the kernel means.
pub(super) fn cause_of(error: &std::io::Error) -> Cause {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Cause::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Cause::Reset,
        ErrorKind::TimedOut => Cause::ConnectTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Cause::Unreachable
        }
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse | ErrorKind::OutOfMemory => Cause::ClientLimit,
        // EMFILE, ENFILE, ENOBUFS, for which std has no kind.
        _ if matches!(error.raw_os_error(), Some(24 | 23 | 105)) => Cause::ClientLimit,
        _ => Cause::Other,
    }
}

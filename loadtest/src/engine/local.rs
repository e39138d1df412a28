//! What the connections of one shard share.

use super::{
    clock::{Clock, Nanos, nanos},
    control::{Control, Report},
    dealer::Dealer,
    flight::Flight,
    idle::{Idle, Ticket},
    share::Share,
};
use crate::{
    client::{Answer, Client, Failure},
    plan::{Pace, Plan, Scheme},
    schedule::Ramp,
    sources::Sources,
    stats::{Cause, Tally},
};
use lakh_net::TcpStream;
use std::{
    cell::{Cell, RefCell},
    io, mem,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
    task::{Context, Poll, Waker},
};

/// Bytes that are read at once.
const INPUT: usize = 64 * 1024;
/// A request that leaves later than that after its time is late.
const LATE: Nanos = 1_000_000;
/// Connections of a shard whose first attempt is under way: a server's queue of new connections has an end.
const OPENING_AT_MOST: usize = 128;
/// As many of all shards, but a few of each: what waits for longer than the server's patience is refused.
const ALL_OPENING_AT_MOST: usize = 2048;
const OPENING_AT_LEAST: usize = 8;
/// Ports that are tried for one connection.
const PORTS_TRIED: usize = 16;
/// Connections of a rate that is not kept to the millisecond are made up for.
const OVERSLEPT: Nanos = 20_000_000;

pub(crate) struct Local<P> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) protocol: P,
    pub(crate) clock: Clock,
    pub(super) share: Share,
    pub(super) dealer: Dealer,
    pub(crate) ramp: Ramp,
    pub(crate) timeout: Nanos,
    /// Where connections come from; without it the kernel chooses.
    sources: Option<Sources>,
    control: Arc<Control>,
    reports: SyncSender<Report>,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) buffers: RefCell<Buffers>,
    pub(crate) idle: RefCell<Idle>,
    /// Connections that have stood or failed at least once.
    tried: Cell<usize>,
    /// Connections that stand.
    pub(crate) open: Cell<u64>,
    /// Connections that are made for the first time, and who waits for there to be fewer.
    pub(super) opening: Cell<usize>,
    starter: RefCell<Option<Waker>>,
    /// When the next connection may be begun, if there is a rate.
    connect_at: Cell<Nanos>,
    clerk: RefCell<Option<Waker>>,
    /// What the last report said of `settled` and `done`.
    told: Cell<(bool, bool)>,
}

/// One of each for all connections of a shard.
pub(crate) struct Buffers {
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    pub(crate) answers: Vec<Answer>,
}

impl<P: Client> Local<P> {
    pub(super) fn new(
        plan: Arc<Plan>,
        protocol: P,
        clock: Clock,
        share: Share,
        control: Arc<Control>,
        reports: SyncSender<Report>,
    ) -> Self {
        let network = plan.source.network(&plan.target.addrs, plan.connections);
        Local {
            protocol,
            clock,
            share,
            dealer: Dealer::new(&plan, share),
            ramp: Ramp::new(&plan.stages),
            timeout: nanos(plan.timeout),
            sources: network.map(|network| Sources::new(network, share.shard, share.of)),
            plan,
            control,
            reports,
            tally: RefCell::default(),
            buffers: RefCell::new(Buffers { input: vec![0; INPUT], output: Vec::new(), answers: Vec::new() }),
            idle: RefCell::default(),
            tried: Cell::new(0),
            open: Cell::new(0),
            opening: Cell::new(0),
            starter: RefCell::default(),
            connect_at: Cell::new(0),
            clerk: RefCell::default(),
            told: Cell::new((false, false)),
        }
    }

    /// Takes the next request that may be sent at `now`, if there is one: the time at which it was due.
    #[inline]
    pub(crate) fn take_request(&self, now: Nanos) -> Option<Nanos> {
        let due = self.dealer.take(now)?;
        if self.dealer.counts(due) {
            let mut tally = self.tally.borrow_mut();
            tally.sent += 1;
            tally.late += u64::from(now - due > LATE);
        }
        Some(due)
    }

    /// Whether it is the turn of the connection with this ticket. In an open loop those come first that have waited
    /// longer: they are called when a request is due.
    #[inline]
    pub(crate) fn may_ask(&self, ticket: &mut Ticket) -> bool {
        if !matches!(self.plan.pace, Pace::Open { .. }) {
            return true;
        }
        let mut idle = self.idle.borrow_mut();
        idle.answer(ticket) || idle.is_empty()
    }

    /// Counts an answer to a request that was due and sent then.
    #[inline]
    pub(crate) fn count_answer(
        &self,
        tally: &mut Tally,
        answer: Answer,
        request: (Nanos, Nanos),
        now: Nanos,
    ) {
        let (due, sent) = request;
        self.dealer.settle(due);
        if !self.dealer.counts(due) {
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
        if self.plan.target.scheme == Scheme::Http {
            tally.statuses[usize::from(class).min(5)] += 1;
        }
    }

    /// Counts why the requests in `flight` get no answer, or, if there are none, why a connection ends.
    pub(super) fn count_failures(&self, failure: &Failure, flight: &mut Flight) {
        if flight.len() == 0 {
            self.count_failure(failure);
        }
        let mut tally = self.tally.borrow_mut();
        while let Some((due, _)) = flight.pop() {
            self.dealer.settle(due);
            if self.dealer.counts(due) {
                tally.failures.add_with(failure.cause, || failure.example.clone());
            }
        }
    }

    /// Counts what went wrong, without a request that waits for it.
    pub(crate) fn count_failure(&self, failure: &Failure) {
        self.tally.borrow_mut().failures.add_with(failure.cause, || failure.example.clone());
    }

    /// Counts a datagram that was due then and never came back.
    pub(crate) fn count_missing(&self, due: Nanos) {
        self.dealer.settle(due);
        if self.dealer.counts(due) {
            self.tally.borrow_mut().missing += 1;
        }
        self.requests_settled();
    }

    /// Counts a connection that was begun then and stands from now on; or that stands again.
    pub(crate) fn stands(&self, began: Nanos, is_first: bool) {
        self.open.set(self.open.get() + 1);
        let mut tally = self.tally.borrow_mut();
        tally.connect.record_nanos(self.clock.now() - began);
        let connections = &mut tally.connections;
        *(if is_first { &mut connections.established } else { &mut connections.renewed }) += 1;
    }

    /// Whether this is the first shard.
    pub(crate) fn is_first(&self) -> bool {
        self.share.shard == 0
    }

    /// Where a connection goes to.
    pub(crate) fn target(&self, number: usize) -> SocketAddr {
        let addrs = &self.plan.target.addrs;
        addrs[number % addrs.len()]
    }

    /// What the kernel says of a connection that it could not make, or of a socket.
    pub(crate) fn failed_with(&self, number: usize, error: &io::Error) -> Failure {
        Failure::new(cause_of(error), format!("{}: {error}", self.target(number)))
    }

    /// Where a connection goes to, and where it comes from, if the kernel is not to choose.
    pub(crate) fn addresses(&self, number: usize) -> (SocketAddr, Option<SocketAddr>) {
        (self.target(number), self.sources.as_ref().map(Sources::next))
    }

    /// Begins a connection to the target's address whose turn it is.
    ///
    /// # Errors
    /// Those of connect(2).
    pub(super) fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let begin = || {
            let (addr, source) = self.addresses(number);
            TcpStream::begin_connect(addr, source).map_err(|error| from_source(error, source))
        };
        let mut result = begin();
        for _ in 1..PORTS_TRIED {
            match &result {
                // Somebody else's, or not forgotten by the kernel since it was last used.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {
                }
                _ => break,
            }
            result = begin();
        }
        result
    }

    /// From when on a connection may be begun that wants it at `at`.
    pub(crate) fn connect_slot(&self, at: Nanos) -> Nanos {
        let Some(rate) = self.plan.connect_rate else { return at };
        // Who oversleeps makes up for it.
        let slot = self.connect_at.get().max(at.saturating_sub(OVERSLEPT));
        self.connect_at.set(slot + (1e9 * self.share.of as f64 / rate) as u64);
        slot.max(at)
    }

    /// A connection has stood or failed for the first time.
    pub(crate) fn settle(&self) {
        self.opening.set(self.opening.get() - 1);
        self.tried.set(self.tried.get() + 1);
        if let Some(starter) = self.starter.take() {
            starter.wake();
        }
        if self.has_news() {
            self.wake_clerk();
        }
    }

    /// Ready when another connection may be begun beside those that are being made.
    pub(super) fn poll_room_to_open(&self, cx: &Context<'_>) -> Poll<()> {
        let at_most = (ALL_OPENING_AT_MOST / self.share.of).clamp(OPENING_AT_LEAST, OPENING_AT_MOST);
        if self.opening.get() < at_most {
            return Poll::Ready(());
        }
        *self.starter.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// After requests have been answered or have failed: the coordinator hears of the last one at once.
    #[inline]
    pub(crate) fn requests_settled(&self) {
        if self.dealer.is_done() {
            self.wake_clerk();
        }
    }

    fn wake_clerk(&self) {
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

    /// When requests begin, once the coordinator has said so.
    pub(super) fn go(&self) -> Option<Nanos> {
        self.control.go()
    }

    pub(super) fn may_connect(&self) -> bool {
        self.control.may_connect()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.control.has_ended()
    }

    /// Lets connections that have waited longest send, as many as there are; those that were called before and have not
    /// had their turn yet count.
    pub(super) fn wake_idle(&self, many: u64) {
        let many = many.saturating_sub(self.idle.borrow().called());
        for _ in 0..many {
            let Some(place) = self.idle.borrow_mut().pop() else { return };
            place.wake();
        }
    }

    /// Whether the coordinator should hear at once.
    pub(super) fn has_news(&self) -> bool {
        self.told.get() != (self.is_settled(), self.dealer.is_done())
    }

    fn is_settled(&self) -> bool {
        self.tried.get() >= self.share.first
    }

    /// Those that came and went since the last report were there to warm up.
    pub(super) fn forget_bytes(&self) {
        let mut tally = self.tally.borrow_mut();
        (tally.bytes_sent, tally.bytes_received) = (0, 0);
    }

    /// Gives the coordinator what has been counted since the last time; false if it has no room for it.
    pub(super) fn report(&self, seconds: u64, last: bool) -> bool {
        if last {
            let mut tally = self.tally.borrow_mut();
            tally.unsent = self.dealer.backlog(self.clock.now());
            // Else a server that answers nobody any more would look as fast as before.
            for (waited, many) in self.dealer.waited(tally.unsent) {
                tally.response.record_many_nanos(waited, many);
            }
            tally.unanswered = self.dealer.unanswered();
            tally.connections.under_way = self.opening.get() as u64;
        }
        let told = (self.is_settled(), self.dealer.is_done());
        let report = Report {
            shard: self.share.shard,
            tally: mem::take(&mut *self.tally.borrow_mut()),
            open: self.open.get(),
            settled: told.0,
            done: told.1,
            last,
            received: self.protocol.received(),
            seconds,
        };
        match self.reports.try_send(report) {
            Ok(()) => {
                self.told.set(told);
                true
            }
            Err(TrySendError::Full(report)) => {
                self.tally.borrow_mut().merge(&report.tally);
                if let Some(received) = report.received {
                    self.protocol.take_back(received);
                }
                false
            }
            // The coordinator is gone, and with it whoever would look at it.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

/// An error about the address that a socket was to have says which that is.
pub(crate) fn from_source(error: io::Error, source: Option<SocketAddr>) -> io::Error {
    match (error.kind(), source) {
        (kind @ (io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable), Some(source)) => {
            io::Error::new(kind, format!("from {source}: {error}"))
        }
        _ => error,
    }
}

/// What an error of the kernel means.
pub(crate) fn cause_of(error: &io::Error) -> Cause {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Cause::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Cause::Reset,
        ErrorKind::TimedOut => Cause::ConnectTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Cause::Unreachable
        }
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse | ErrorKind::OutOfMemory => Cause::ClientLimit,
        _ if lakh_net::is_exhausted(error) => Cause::ClientLimit,
        _ => Cause::Other,
    }
}

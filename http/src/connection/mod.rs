//! The driver of one connection: bytes in, requests to handlers, answers out.
//!
//! A connection that waits for a request is this struct and nothing else. Everything that only a
//! request in progress needs (a partial head, a body, a handler's future, unsent output) is in
//! [`Active`], which exists as long as there is any of it. Input and output buffers belong to the
//! shard and are borrowed for one poll.
//!
//! Progress lives here and not in futures: whatever a poll leaves undone, the next one finds.

mod body;
mod ending;
mod input;
mod output;
mod rendered;
mod reply;

use crate::{
    limits::{Pace, seconds},
    proto::HeadScan,
    service::{Scratch, Service},
    upgrade::OnUpgrade,
};
pub(crate) use body::IncomingBody;
use lakh_core::{
    CoarseTimer, Direction, WorkGuard,
    diagnostics::{Activity, Inspect},
};
use lakh_net::TcpStream;
pub(crate) use rendered::Rendered;
use reply::Exchange;
pub(crate) use reply::panicked;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

// What one poll may do. A connection that wants more then sits out the turns in which others are ready, up to
// seven, so that in the long run it gets about as much of the shard as one with a request in each turn.

/// Steps of one poll.
const STEPS: usize = 16;
/// Requests answered in one poll: what pipelined ones cost is up to their handlers.
const REQUESTS: usize = 16;
/// Bytes of bodies moved in one poll, and given to the kernel in one call. To read or write them costs about as
/// much as eight short requests. (Files have their own measure: `files/send.rs`.)
const BYTES: usize = 256 * 1024;
/// Output is sent when it has grown to this, in bytes, and whenever there is nothing else to do.
const FLUSH_AT: usize = 64 * 1024;

/// One client's connection; a task of its own on its shard.
pub(crate) struct Connection {
    state: State,
    /// Taken when the connection leaves HTTP.
    stream: Option<TcpStream>,
}

/// All of a connection but its stream.
struct State {
    timer: CoarseTimer,
    /// In seconds of the shard; belongs to `phase`.
    deadline: u32,
    phase: Phase,
    /// Whether its first request may have waited for too long already when the connection was accepted.
    is_late: bool,
    service: Rc<Service>,
    active: Option<Box<Active>>,
}

// The budget of an idle connection; see ARCHITECTURE.md for the sum.
// (mio's sockets are larger in debug builds.)
const _: () = assert!(cfg!(debug_assertions) || size_of::<Connection>() <= 48);

/// What a connection waits for, where that has a deadline of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing yet.
    New,
    /// Nothing, or something with a [`Pace`].
    Busy,
    FirstByte,
    KeepAlive,
    Head,
    Linger,
}

/// What a request in progress needs.
struct Active {
    /// Read but not yet used: a partial head, pipelined requests, body bytes.
    input: Vec<u8>,
    /// Where the search for a partial head's end goes on.
    scan: HeadScan,
    /// Written but not yet taken by the kernel, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// How fast the peer takes what is written.
    pace: Pace,
    /// What the kernel held of it when the wait for the peer began.
    queued: usize,
    exchange: Option<Exchange>,
    /// A body that nobody reads, to be skipped before the next request.
    skip: Option<Box<IncomingBody>>,
    close: Close,
    /// Who gets the connection once everything is sent.
    upgrade: Option<Box<OnUpgrade>>,
    /// A drain waits for this, and not for idle connections.
    guard: WorkGuard,
}

/// How far the connection's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Close {
    No,
    /// Once everything is sent. `linger`: the peer may still be sending.
    WhenSent {
        linger: bool,
    },
    /// Our side is closed; what comes until then, in seconds of the shard, is read and dropped.
    Lingering {
        until: u32,
    },
}

/// What to do after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Something has moved: look again.
    Again,
    /// Nothing can move; whoever can change that wakes the task.
    Wait,
    /// The connection is over.
    Close,
    /// It goes on in another protocol.
    HandOn,
}

impl Connection {
    /// `is_late`: its first request may have waited for too long already.
    pub(crate) fn new(stream: TcpStream, service: Rc<Service>, is_late: bool) -> Self {
        service.metrics().count_opened();
        let timer = CoarseTimer::new();
        let state = State { timer, deadline: 0, phase: Phase::New, is_late, service, active: None };
        Connection { state, stream: Some(stream) }
    }
}

impl Connection {
    /// Gives the stream, with what was read behind the last request, to whoever goes on with it.
    fn hand_on(&mut self) {
        if let (Some(stream), Some(active)) = (self.stream.take(), self.state.active.take())
            && let Active { input, upgrade: Some(upgrade), guard, .. } = *active
        {
            upgrade.start(stream, input, guard);
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Connection { state, stream } = &mut *self;
        let Some(open) = stream else { return Poll::Ready(()) };
        let service = Rc::clone(&state.service);
        let mut scratch = service.take_scratch();
        let mut driver = Driver {
            connection: state,
            stream: open,
            service: &service,
            scratch: &mut scratch,
            cx,
            requests: 0,
            plain: 0,
            bytes: 0,
            begun: None,
        };
        let flow = driver.run();
        service.metrics().count_poll(driver.requests, driver.plain);
        if flow.is_ready() {
            scratch.output.clear(); // what a lost connection was not sent is nobody else's
        }
        debug_assert!(scratch.output.is_empty());
        service.return_scratch(scratch);
        if flow == Poll::Ready(End::HandOn) {
            self.hand_on();
        }
        flow.map(drop)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.service.metrics().count_closed();
    }
}

impl Inspect for Connection {
    fn inspect(&self) -> Activity {
        let active = self.state.active.as_ref();
        let exchange = active.and_then(|active| active.exchange.as_ref());
        // The kernel is asked for the peers of requests alone: there may be very many that are idle.
        let peer = exchange.and_then(|_| self.stream.as_ref()?.peer_addr().ok());
        let working = exchange.map(Exchange::working);
        Activity { name: "HTTP connection", peer, working, keeps_alive: active.is_some() }
    }
}

/// How the connection ends for HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Closed,
    HandOn,
}

/// A connection for the time of one poll, with all that it works with.
struct Driver<'a, 'cx> {
    connection: &'a mut State,
    stream: &'a TcpStream,
    service: &'a Rc<Service>,
    scratch: &'a mut Scratch,
    cx: &'a mut Context<'cx>,
    /// Taken in this poll.
    requests: usize,
    /// Answered plainly in this poll.
    plain: usize,
    /// Read of bodies, or sent, in this poll.
    bytes: usize,
    /// What a handler that has just begun waits for.
    begun: Option<Step>,
}

impl Driver<'_, '_> {
    fn run(&mut self) -> Poll<End> {
        for _ in 0..STEPS {
            let step = match self.connection.active {
                None => self.step_idle(),
                Some(_) => self.step_active(),
            };
            match step {
                Step::Again if self.has_had_its_share() => break,
                Step::Again if self.scratch.output.len() < FLUSH_AT => {}
                // What is unsent waits for the peer as well: looking again would find it unchanged.
                Step::Wait if self.scratch.output.is_empty() => return Poll::Pending,
                Step::Again | Step::Wait => match self.flush() {
                    Ok(true) if step == Step::Wait => return Poll::Pending,
                    // What is unsent is the next step's business.
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(End::Closed),
                },
                Step::Close => return Poll::Ready(End::Closed),
                Step::HandOn => return Poll::Ready(End::HandOn),
            }
        }
        if self.flush().is_err() {
            return Poll::Ready(End::Closed);
        }
        lakh_core::yield_to_others(self.cx);
        Poll::Pending
    }

    /// It could go on, but others wait.
    #[inline]
    fn has_had_its_share(&self) -> bool {
        let has_more = || self.connection.active.is_some() || self.may_have_input();
        self.bytes >= BYTES || (self.requests >= REQUESTS && has_more())
    }

    /// No request is in progress: waits for one.
    fn step_idle(&mut self) -> Step {
        match self.stream.poll_read(self.cx, &mut self.scratch.input) {
            Poll::Ready(Ok(0) | Err(_)) => self.end_of_input(),
            Poll::Ready(Ok(n)) => {
                self.connection.phase = Phase::Busy;
                self.take_input(n)
            }
            // A request may have come since the kernel was last asked.
            Poll::Pending if self.service.is_draining() => {
                match self.stream.try_read(&mut self.scratch.input) {
                    Ok(n) if n > 0 => self.take_input(n),
                    _ => self.end_of_input(),
                }
            }
            Poll::Pending => {
                let limits = self.service.limits();
                let (phase, time) = match self.connection.phase {
                    Phase::New | Phase::FirstByte => (Phase::FirstByte, limits.first_byte),
                    _ => (Phase::KeepAlive, limits.keep_alive),
                };
                let time = seconds(time);
                self.wait_in(phase, time).unwrap_or(Step::Close)
            }
        }
    }

    fn step_active(&mut self) -> Step {
        let Some(active) = &mut self.connection.active else { return Step::Again };
        if !active.unsent.is_empty() {
            self.send_unsent()
        } else if active.exchange.is_some() {
            self.step_exchange()
        } else if active.upgrade.is_some() {
            self.step_upgrade()
        } else if active.close != Close::No {
            self.step_close()
        } else if active.skip.is_some() {
            self.step_skip()
        } else if !active.input.is_empty() {
            self.step_head()
        } else {
            self.connection.active = None;
            Step::Again
        }
    }

    /// The peer sends no more, or need not: what is written still goes out.
    fn end_of_input(&mut self) -> Step {
        if self.scratch.output.is_empty() && self.connection.active.is_none() {
            return Step::Close;
        }
        self.close_when_sent(false);
        Step::Again
    }

    fn close_when_sent(&mut self, linger: bool) {
        self.active().close = Close::WhenSent { linger };
    }

    fn step_close(&mut self) -> Step {
        match self.flush() {
            Ok(true) => {}
            Ok(false) => return Step::Again,
            Err(_) => return Step::Close,
        }
        let close = self.active().close;
        match close {
            Close::WhenSent { linger } if linger || self.may_have_input() => {
                if self.stream.shutdown(std::net::Shutdown::Write).is_err() {
                    return Step::Close;
                }
                // A second more: the current one has partly passed.
                let time = seconds(self.service.limits().linger).saturating_add(1);
                let until = self.service.now().saturating_add(time);
                self.active().close = Close::Lingering { until };
                Step::Again
            }
            Close::Lingering { until } => self.step_linger(until),
            Close::No | Close::WhenSent { .. } => Step::Close,
        }
    }

    /// Bytes that nobody read make the kernel reset the connection when it is closed.
    fn may_have_input(&self) -> bool {
        self.stream.registration().is_ready(Direction::Read)
    }

    /// Reads and drops what the peer sends, so that it can read our answer before the reset that
    /// unread bytes would cause (RFC 9112, 9.6).
    fn step_linger(&mut self, until: u32) -> Step {
        let until = self.linger_until(until);
        match self.stream.poll_read(self.cx, &mut self.scratch.input) {
            Poll::Ready(Ok(n)) if n > 0 && self.service.now() < until => {
                self.bytes += n;
                self.connection.phase = Phase::Busy; // it is not silent
                Step::Again
            }
            Poll::Ready(_) => Step::Close,
            Poll::Pending => {
                let left = until.saturating_sub(self.service.now());
                let time = seconds(self.service.limits().linger_silence).min(left);
                self.wait_in(Phase::Linger, time).unwrap_or(Step::Close)
            }
        }
    }

    /// Whose answer is sent holds up a drain no longer than one who is silent.
    fn linger_until(&mut self, until: u32) -> u32 {
        if !self.service.is_draining() {
            return until;
        }
        let silence = seconds(self.service.limits().linger_silence).saturating_add(1);
        let until = until.min(self.service.now().saturating_add(silence));
        self.active().close = Close::Lingering { until };
        until
    }

    /// Waits in a phase that began with the first call; `None` if its time is over.
    fn wait_in(&mut self, phase: Phase, time: u32) -> Option<Step> {
        if self.connection.phase != phase {
            self.connection.phase = phase;
            // A second more: the current one has partly passed.
            self.connection.deadline = self.service.now().saturating_add(time).saturating_add(1);
        }
        self.wait_until(self.connection.deadline)
    }

    fn wait_until(&mut self, deadline: u32) -> Option<Step> {
        self.connection.timer.poll_at(deadline, self.cx).is_pending().then_some(Step::Wait)
    }

    fn active(&mut self) -> &mut Active {
        let service = self.service;
        self.connection.active.get_or_insert_with(|| {
            Box::new(Active {
                input: Vec::new(),
                scan: HeadScan::default(),
                unsent: Vec::new(),
                sent: 0,
                pace: Pace::new(service.limits()),
                queued: 0,
                exchange: None,
                skip: None,
                close: Close::No,
                upgrade: None,
                guard: service.guard(),
            })
        })
    }
}

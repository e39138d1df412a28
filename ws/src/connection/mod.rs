//! The driver of one connection: the only one who reads and writes.
//!
//! An idle connection is this struct and the [`Shared`](crate::socket::Shared) part of its socket. Buffers belong to
//! the shard and are borrowed for one poll; what few connections have at a time is in
//! [`Extra`](crate::socket::Extra). Whatever others want of the connection (to send, to close), they leave with the
//! socket, and wake the driver.

mod input;
mod output;

use crate::{
    CloseInfo, Socket,
    local::Local,
    pace::{Measure, Pace, after},
    proto::{CloseCode, Opcode, Role},
    session::{ForwardSession, Session},
    socket::{Flag, Phase},
};
use lakh_core::{
    CoarseTimer, WorkGuard, WorkName,
    diagnostics::{Activity, Inspect},
};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Steps of one poll; then the shard's other tasks have their turn.
const STEPS: usize = 16;
/// Frames after which a poll takes no more steps: a read may bring thousands.
const FRAMES: usize = 1024;
/// No time to wait for.
const NEVER: u32 = u32::MAX;

/// One connection; a task of its own on its shard.
pub(crate) struct Connection {
    /// Gone once it is over.
    session: Option<Pin<Box<dyn Session>>>,
    socket: Socket,
    timer: CoarseTimer,
    _guard: WorkGuard,
}

// The budget of an idle connection; see ARCHITECTURE.md for the sum.
const _: () = assert!(size_of::<Connection>() <= 32);

/// What to do after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Something has moved: look again.
    Again,
    /// Nothing can move; whoever can change that wakes the task.
    Wait,
    /// Everything is over.
    Done,
}

/// One poll.
struct Turn<'a, 'cx> {
    cx: &'a mut Context<'cx>,
    now: u32,
    /// The session had its turn, in which it saw all that has happened.
    session_polled: bool,
    /// Something has been received.
    heard: bool,
    /// So many frames have been.
    frames: usize,
}

impl Connection {
    pub(crate) fn new(socket: Socket, session: Pin<Box<dyn Session>>, guard: WorkGuard) -> Self {
        if let Some(counter) = &socket.0.terms.counter {
            counter.opened();
        }
        Connection { session: Some(session), socket, timer: CoarseTimer::new(), _guard: guard }
    }
}

impl Inspect for Connection {
    fn inspect(&self) -> Activity {
        // Of the route's own name nobody would know it for a WebSocket.
        let of_route = |route| WorkName::new(&format!("WebSocket of {route}")).text();
        let name = self.socket.0.terms.work.text().and_then(of_route).unwrap_or("WebSocket connection");
        Activity { name, keeps_alive: true, ..Activity::default() }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = lakh_core::with(|shard| {
            shard.set_work(self.socket.0.terms.work);
            shard.coarse_now()
        });
        // It is always the same task.
        if !self.socket.0.task.is_set() {
            self.socket.0.task.set(cx);
        }
        self.socket.set_driven(true);
        let mut input = Local::with(Local::take_input);
        let mut turn = Turn { cx, now, session_polled: false, heard: false, frames: 0 };
        let done = self.run(&mut turn, &mut input);
        Local::with(|local| {
            local.return_input(input);
            debug_assert!(local.output.borrow().is_empty());
        });
        self.socket.set_driven(false);
        done
    }
}

impl Connection {
    fn run(&mut self, turn: &mut Turn<'_, '_>, input: &mut [u8]) -> Poll<()> {
        if self.socket.first_poll() {
            self.with_session(turn, |session, socket, cx| session.open(socket, cx));
        }
        for _ in 0..STEPS {
            match self.step(turn, input) {
                Step::Again => {}
                Step::Wait => return Poll::Pending,
                Step::Done => return Poll::Ready(()),
            }
            if turn.frames >= FRAMES {
                break;
            }
        }
        // A peer that never stops sending puts off neither what the session does by itself, nor what is due.
        self.poll_session(turn);
        if self.socket.phase() < Phase::Over {
            self.step_wait(turn);
        }
        if self.flush(turn).is_err() {
            self.lose("writing failed");
        }
        lakh_core::yield_to_others(turn.cx);
        Poll::Pending
    }

    #[inline]
    fn step(&mut self, turn: &mut Turn<'_, '_>, input: &mut [u8]) -> Step {
        if self.socket.phase() == Phase::Over {
            return self.step_without_stream(turn);
        }
        let phase = self.socket.phase();
        let receives = self.receives();
        if receives {
            match self.receive(turn, input) {
                Poll::Ready(Ok(())) => return Step::Again,
                Poll::Ready(Err(why)) => return self.lose(why),
                Poll::Pending => {}
            }
        }
        self.poll_session(turn);
        // It may want the next message now.
        if self.socket.phase() != phase || (!receives && self.receives()) {
            return Step::Again;
        }
        match self.flush(turn) {
            Err(_) => return self.lose("writing failed"),
            Ok(true) if self.socket.phase() == Phase::Ending => return self.step_shutdown(),
            // There is room again for the answers to what waits to be read.
            Ok(_) if !receives && self.receives() => return Step::Again,
            Ok(_) => {}
        }
        if self.socket.phase() == Phase::Lingering {
            match self.linger(turn, input) {
                Poll::Ready(step) => return step,
                Poll::Pending => {}
            }
        }
        self.step_wait(turn)
    }

    /// Lets the session do what it does by itself, once in a poll, or tells it that no message comes any more.
    #[inline]
    fn poll_session(&mut self, turn: &mut Turn<'_, '_>) {
        if self.socket.phase() >= Phase::Ending && self.session_is_untold() {
            self.with_session(turn, |session, socket, cx| session.closed(socket, cx));
        } else if !turn.session_polled {
            self.with_session(turn, |session, socket, cx| session.poll(socket, cx));
        }
    }

    /// The connection is over; the session may still have something to do.
    fn step_without_stream(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        self.poll_session(turn);
        // What it sends now goes nowhere.
        Local::with(|local| local.output.borrow_mut().clear());
        if self.session.is_none() { Step::Done } else { Step::Wait }
    }

    fn step_shutdown(&mut self) -> Step {
        if self.is_client() {
            // It is for the server to end the connection (RFC 6455, 7.1.1).
            self.socket.advance(Phase::Lingering);
            return Step::Again;
        }
        let shut = self.socket.with_stream(|stream| stream.shutdown(std::net::Shutdown::Write));
        if matches!(shut, Some(Err(_))) {
            return self.end();
        }
        self.socket.advance(Phase::Lingering);
        Step::Again
    }

    /// Whether the session has not been told yet that no message comes any more.
    fn session_is_untold(&self) -> bool {
        self.session.is_some() && !self.socket.0.flags.is_set(Flag::Told)
    }

    /// Lets the session have its turn. One that is over, or has panicked, is dropped.
    #[inline]
    fn with_session(
        &mut self,
        turn: &mut Turn<'_, '_>,
        f: impl FnOnce(Pin<&mut dyn Session>, &Socket, &mut Context<'_>) -> Poll<()>,
    ) {
        turn.session_polled = true;
        let Some(session) = &mut self.session else { return };
        if self.socket.phase() >= Phase::Ending {
            self.socket.0.flags.set(Flag::Told, true);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| f(session.as_mut(), &self.socket, turn.cx)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.end_session(),
            Err(payload) => {
                // The panic hook has told of it.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
                self.socket.close(CloseCode::Error, "");
                self.end_session();
                // A message that was not taken is nobody else's.
                Local::with(|local| drop(local.inbox.take()));
            }
        }
        // The `WebSocket` may be with another task.
        if self.session.is_none() && self.socket.phase() < Phase::Ending {
            self.session = Some(Box::pin(ForwardSession));
        }
    }

    #[cold]
    fn end_session(&mut self) {
        let session = self.session.take();
        if catch_unwind(AssertUnwindSafe(|| drop(session))).is_err() {
            self.socket.close(CloseCode::Error, "");
        }
    }

    /// Whether there is any use in reading: there is somebody for a message, or room for one that nobody wants yet, and
    /// the peer takes what it is sent. (Without that room, a handler that only sends would see neither pongs nor the
    /// end.)
    #[inline]
    fn receives(&self) -> bool {
        let wanted = match (&self.session, self.socket.phase()) {
            (Some(session), Phase::Open | Phase::Draining) => session.wants(&self.socket),
            // For the peer's close frame.
            (_, phase) => phase < Phase::Ending,
        };
        let is_taken =
            || !self.socket.has_queue() || self.socket.queued() < output::HIGH_WATER || self.is_client();
        wanted && is_taken()
    }

    fn is_client(&self) -> bool {
        self.socket.0.terms.role == Role::Client
    }

    /// The connection broke off.
    #[cold]
    fn lose(&mut self, why: &str) -> Step {
        let info = CloseInfo { code: CloseCode::Abnormal, reason: why.to_owned(), by_peer: true };
        self.socket.note_close(info);
        self.end()
    }

    /// Closes the connection's descriptor; nothing is sent any more.
    #[cold]
    fn end(&mut self) -> Step {
        self.socket.drop_stream();
        self.socket.advance(Phase::Over);
        self.socket.drop_queue();
        Step::Again
    }

    /// Waits for the next deadline, beside what wakes the task.
    fn step_wait(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let mut next = match self.deadline(turn) {
            Ok(next) => next,
            Err(step) => return step,
        };
        if self.socket.has_queue() {
            let end = self.end_of_writing(turn.now);
            if turn.now >= end {
                self.count_slow();
                return self.lose("the peer takes too little");
            }
            next = next.min(end);
        }
        if self.socket.0.flags.is_set(Flag::Half) && self.socket.is_open() {
            let end = self.end_of_reading(turn.now);
            if turn.now >= end {
                self.count_slow();
                self.give_up(turn, CloseCode::Policy, "too slow");
                return Step::Again;
            }
            next = next.min(end);
        }
        if next != NEVER && self.timer.poll_at(next, turn.cx).is_ready() {
            return Step::Again;
        }
        Step::Wait
    }

    /// The second in which the peer has taken too little of what waits for it.
    fn end_of_writing(&self, now: u32) -> u32 {
        let (socket, measure) = (&self.socket, self.measure_of_writing());
        let in_kernel = || socket.with_stream(|stream| stream.send_queue().ok()).flatten().unwrap_or(0);
        let end = socket.peek(|extra| {
            let out = extra.out.as_mut()?;
            let before = *out.in_kernel.get_or_insert_with(in_kernel);
            let end = out.pace.wait(now, measure);
            if now < end {
                return Some(end);
            }
            // The kernel may just not have said that the peer reads: a full buffer counts as writable only when a third
            // of it, which may be more than a megabyte, is free again.
            let left = in_kernel();
            out.in_kernel = Some(left);
            out.pace.moved(now, before.saturating_sub(left), measure);
            Some(out.pace.wait(now, measure))
        });
        end.flatten().unwrap_or(NEVER)
    }

    /// The second in which too little has come of a message that has begun.
    fn end_of_reading(&self, now: u32) -> u32 {
        let (is_read, measure) = (self.receives(), self.measure_of_reading());
        let end = self.socket.peek(|extra| {
            let pace = &mut extra.incoming.pace;
            if !is_read {
                *pace = Pace::default(); // it can do nothing for it
                return NEVER;
            }
            pace.wait(now, measure)
        });
        end.unwrap_or(NEVER)
    }

    fn measure_of_writing(&self) -> Measure {
        let config = &self.socket.0.terms.config;
        Measure { allowance: seconds(config.write_timeout), rate: config.rate }
    }

    fn measure_of_reading(&self) -> Measure {
        let config = &self.socket.0.terms.config;
        Measure { allowance: seconds(config.message_timeout), rate: config.rate }
    }

    #[cold]
    fn count_slow(&self) {
        if let Some(counter) = &self.socket.0.terms.counter {
            counter.slow();
        }
    }

    /// The second in which what the phase waits for is over, or what there is to do now.
    #[inline]
    fn deadline(&mut self, turn: &mut Turn<'_, '_>) -> Result<u32, Step> {
        let (shared, now) = (&self.socket.0, turn.now);
        let config = &shared.terms.config;
        match self.socket.phase() {
            Phase::Open => {
                if lakh_core::with(lakh_core::Shard::is_draining) {
                    shared.mark.set(now.saturating_add(share_of_grace()));
                    self.socket.advance(Phase::Draining);
                    return Err(Step::Again);
                }
                // Whoever is not read from cannot be heard; what waits for it has a deadline of its own.
                if std::mem::take(&mut turn.heard) || !self.receives() {
                    shared.mark.set(now);
                    shared.flags.set(Flag::Pinged, false);
                }
                let Some(idle) = config.idle_timeout.map(seconds) else { return Ok(NEVER) };
                let end = match shared.flags.is_set(Flag::Pinged) {
                    false => after(shared.mark.get(), idle / 2),
                    // The ping was sent when a second began.
                    true => shared.mark.get().saturating_add(idle - idle / 2),
                };
                if now < end {
                    return Ok(end);
                }
                if shared.flags.replace(Flag::Pinged, true) {
                    return Err(self.lose("no sign of life"));
                }
                shared.mark.set(now);
                self.socket.write_control(Opcode::Ping, b"");
                Err(Step::Again)
            }
            Phase::Draining if now >= shared.mark.get() => {
                self.socket.close(CloseCode::Away, "");
                Err(Step::Again)
            }
            Phase::Draining => Ok(shared.mark.get()),
            Phase::Closing => {
                shared.mark.set(now);
                self.socket.advance(Phase::Awaiting);
                // Whoever waits for a message is told, and once: one that waits for the end waits on.
                self.socket.wake_receiver();
                turn.session_polled = false;
                Err(Step::Again)
            }
            Phase::Awaiting | Phase::Ending | Phase::Lingering | Phase::Over => {
                // It cannot answer before it has got all that is before the close frame, and has time for that as long
                // as it goes on taking.
                if self.socket.phase() == Phase::Awaiting && self.socket.has_queue() {
                    shared.mark.set(now);
                }
                let end = after(shared.mark.get(), seconds(config.close_timeout));
                if now >= end { Err(self.lose("no answer to the close frame")) } else { Ok(end) }
            }
        }
    }
}

/// When a connection ends in a drain, from its beginning on: some time in the first half of the grace, so that not
/// all clients come back at once.
fn share_of_grace() -> u32 {
    let half = lakh_core::with(lakh_core::Shard::drain_grace).as_secs() as u32 / 2;
    u32::from_ne_bytes(Local::with(Local::next_key)) % (half + 1)
}

/// Whole seconds, two at least.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(2)
}

impl Drop for Connection {
    fn drop(&mut self) {
        // With its shard, or by a panic: whoever holds the socket finds it closed.
        self.socket.drop_stream();
        self.socket.advance(Phase::Over);
        self.socket.drop_queue();
        if let Some(counter) = &self.socket.0.terms.counter {
            counter.closed(self.socket.close_code().unwrap_or(CloseCode::Abnormal));
        }
    }
}

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
    proto::{CloseCode, Opcode},
    session::{Elsewhere, Session},
    socket::Phase,
};
use bytes::Bytes;
use lakh_core::{CoarseTimer, WorkGuard, WorkName};
use lakh_net::TcpStream;
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Steps of one poll; then the shard's other tasks have their turn.
const STEPS: usize = 16;
/// No time to wait for.
const NEVER: u32 = u32::MAX;

/// One connection; a task of its own on its shard.
pub(crate) struct Connection {
    /// Gone once it is over.
    session: Option<Pin<Box<dyn Session>>>,
    socket: Socket,
    /// Gone once the connection is.
    stream: Option<TcpStream>,
    timer: CoarseTimer,
    /// The shard's second of the last sign of life, or of the beginning of the end.
    mark: u32,
    /// The second in which this connection ends because its shard drains.
    drain_at: u32,
    work: WorkName,
    _guard: WorkGuard,
}

// The budget of an idle connection; see ARCHITECTURE.md for the sum. (mio's sockets are larger in debug builds.)
const _: () = assert!(cfg!(debug_assertions) || size_of::<Connection>() <= 56);

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
}

impl Connection {
    /// `read` has been read already.
    pub(crate) fn new(
        stream: TcpStream,
        read: &Bytes,
        socket: Socket,
        session: Pin<Box<dyn Session>>,
        work: WorkName,
        guard: WorkGuard,
    ) -> Self {
        if !read.is_empty() {
            socket.with_extra(|extra| extra.input.extend_from_slice(read));
        }
        let mark = lakh_core::with(lakh_core::Shard::coarse_now);
        Connection {
            session: Some(session),
            socket,
            stream: Some(stream),
            timer: CoarseTimer::new(),
            mark,
            drain_at: NEVER,
            work,
            _guard: guard,
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = lakh_core::with(|shard| {
            shard.set_work(self.work);
            shard.coarse_now()
        });
        self.socket.0.task.set(cx);
        self.socket.set_driven(true);
        let mut input = Local::with(Local::take_input);
        let mut turn = Turn { cx, now, session_polled: false, heard: false };
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
        }
        if self.flush(turn).is_err() {
            self.lose("writing failed");
        }
        turn.cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline]
    fn step(&mut self, turn: &mut Turn<'_, '_>, input: &mut [u8]) -> Step {
        if self.stream.is_none() {
            return self.step_without_stream(turn);
        }
        let phase = self.socket.phase();
        let receives = self.receives();
        if phase < Phase::Ending {
            if receives {
                match self.receive(turn, input) {
                    Poll::Ready(Ok(())) => return Step::Again,
                    Poll::Ready(Err(why)) => return self.lose(why),
                    Poll::Pending => {}
                }
            }
            if !turn.session_polled {
                self.with_session(turn, |session, socket, cx| session.poll(socket, cx));
                // It may want the next message now.
                if self.socket.phase() != phase || self.receives() {
                    return Step::Again;
                }
            }
        } else if self.session_is_untold() {
            self.with_session(turn, |session, socket, cx| session.closed(socket, cx));
        } else if !turn.session_polled {
            self.with_session(turn, |session, socket, cx| session.poll(socket, cx));
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

    /// The connection is over; the session may still have something to do.
    fn step_without_stream(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        if self.session_is_untold() {
            self.with_session(turn, |session, socket, cx| session.closed(socket, cx));
        } else if !turn.session_polled {
            self.with_session(turn, |session, socket, cx| session.poll(socket, cx));
        }
        // What it sends now goes nowhere.
        Local::with(|local| local.output.borrow_mut().clear());
        if self.session.is_none() { Step::Done } else { Step::Wait }
    }

    fn step_shutdown(&mut self) -> Step {
        let shut = self.stream.as_ref().map(|stream| stream.shutdown(std::net::Shutdown::Write));
        if matches!(shut, Some(Err(_))) {
            return self.end();
        }
        self.socket.advance(Phase::Lingering);
        Step::Again
    }

    /// Whether the session has not been told yet that no message comes any more.
    fn session_is_untold(&self) -> bool {
        self.session.is_some() && !self.socket.0.told.get()
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
            self.socket.0.told.set(true);
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
        if self.session.is_none() && self.socket.is_open() {
            self.session = Some(Box::pin(Elsewhere));
        }
    }

    #[cold]
    fn end_session(&mut self) {
        let session = self.session.take();
        if catch_unwind(AssertUnwindSafe(|| drop(session))).is_err() {
            self.socket.close(CloseCode::Error, "");
        }
    }

    /// Whether there is any use in reading: there is somebody for a message, and the peer takes what it is sent.
    #[inline]
    fn receives(&self) -> bool {
        let wanted = match (&self.session, self.socket.phase()) {
            (Some(session), Phase::Open) => session.wants(&self.socket),
            // For the peer's close frame.
            (_, phase) => phase < Phase::Ending,
        };
        wanted && self.socket.queued() < output::HIGH_WATER
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
        self.stream = None;
        self.socket.advance(Phase::Over);
        self.socket.drop_queue();
        Step::Again
    }

    /// Waits for the next deadline, beside what wakes the task.
    fn step_wait(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        match self.socket.phase() {
            // Whoever is not read from cannot be heard; what waits for it has a deadline of its own.
            Phase::Open if turn.heard || !self.receives() => {
                self.mark = turn.now;
                self.socket.0.pinged.set(false);
                turn.heard = false;
            }
            Phase::Closing => {
                self.mark = turn.now;
                self.socket.advance(Phase::Awaiting);
            }
            _ => {}
        }
        let config = &self.socket.0.terms.config;
        let mut next = match self.socket.phase() {
            Phase::Open => match config.idle_timeout.map(seconds) {
                None => NEVER,
                Some(idle) => {
                    let silent = turn.now.saturating_sub(self.mark);
                    if silent > idle {
                        return self.lose("no sign of life");
                    }
                    if silent > idle / 2 && !self.socket.0.pinged.replace(true) {
                        self.socket.write_control(Opcode::Ping, b"");
                        return Step::Again;
                    }
                    // A second more: the current one has partly passed.
                    let time = if self.socket.0.pinged.get() { idle } else { idle / 2 };
                    self.mark.saturating_add(time).saturating_add(1)
                }
            },
            _ => {
                let end = self.mark.saturating_add(seconds(config.close_timeout)).saturating_add(1);
                if turn.now >= end {
                    return self.lose("no answer to the close frame");
                }
                end
            }
        };
        if let Some(since) = self.socket.peek(|extra| extra.out.as_ref().map(|out| out.since)).flatten() {
            let end = since.saturating_add(seconds(config.write_timeout)).saturating_add(1);
            if turn.now >= end {
                return self.lose("the peer takes nothing");
            }
            next = next.min(end);
        }
        if self.socket.is_open() && lakh_core::with(lakh_core::Shard::is_draining) {
            next = next.min(self.drain_second(turn.now));
            if turn.now >= self.drain_at {
                self.socket.close(CloseCode::Away, "");
                return Step::Again;
            }
        }
        if next != NEVER && self.timer.poll_at(next, turn.cx).is_ready() {
            return Step::Again;
        }
        Step::Wait
    }

    /// When this connection ends in a drain: some time in the first half of what there is for it, so that not all
    /// clients come back at once.
    fn drain_second(&mut self, now: u32) -> u32 {
        if self.drain_at == NEVER {
            let spread = lakh_core::with(lakh_core::Shard::drain_grace).as_secs() as u32 / 2;
            let random = u32::from_ne_bytes(Local::with(Local::next_key));
            self.drain_at = now + random % (spread + 1);
        }
        self.drain_at
    }
}

/// Whole seconds, two at least.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(2)
}

impl Drop for Connection {
    fn drop(&mut self) {
        // With its shard, or by a panic: whoever holds the socket finds it closed.
        self.socket.advance(Phase::Over);
        self.socket.drop_queue();
    }
}

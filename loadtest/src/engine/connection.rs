//! One connection: made, used, lost, made anew.

use super::{
    DOES_NOT_READ,
    clock::Nanos,
    flight::Flight,
    idle::{NOT_IDLE, Ticket},
    local::{Buffers, Local, cause_of},
};
use crate::{
    broadcast::Received,
    client::{Client, Companion, Failure, Protocol, Sink},
    plan::Pace,
    stats::Cause,
};
use lakh_core::Sleep;
use lakh_net::TcpStream;
use std::{
    future::Future,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// The pause after a connection that failed, in nanoseconds; it doubles with each one in a row.
const FIRST_PAUSE: Nanos = 100_000_000;
/// One that has stood for so long, in nanoseconds, has not failed in a row; neither has one with an answer.
const STOOD_WELL: Nanos = 1_000_000_000;
/// Doublings at most: 3.2 s.
const DOUBLINGS: u8 = 5;
/// Bytes that a server may cause to be sent without reading any.
const CAUSED_AT_MOST: usize = 64 * 1024;
/// Bytes of requests that are sent together, but for the last one of them.
const BATCH: usize = 256 * 1024;
const NEVER: Nanos = Nanos::MAX;

/// A connection of the run, for all its time. It keeps no buffer while it waits.
pub(crate) struct Connection<P: Protocol> {
    local: Rc<Local<P>>,
    stream: Option<TcpStream>,
    state: State,
    /// Among all of the run: what the ramp asks for.
    number: u32,
    /// How often it has failed in a row.
    failures: u8,
    past: Past,
    /// When `timer` fires; [`NEVER`] if it is not set.
    armed: Nanos,
    timer: Sleep,
    /// When its making began; or when it may begin; or, while it stands, when it last had to show that it lives.
    began: Nanos,
    /// When the ramp wants it no more.
    until: Nanos,
    flight: Flight,
    /// Its place among the idle ones, outdated or not.
    idle: Ticket,
    /// What the kernel has not taken yet.
    unsent: Option<Box<Unsent>>,
    session: P::Session,
}

struct Unsent {
    bytes: Vec<u8>,
    /// Of these, the kernel has taken so many.
    sent: usize,
    /// So many were added while it did not take all.
    caused: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not there; to be made at `began`.
    Resting,
    /// Not there, and not wanted any more.
    Gone,
    /// Waits for the kernel.
    Connecting,
    /// Waits for the end of the protocol's handshake.
    Opening,
    /// Requests may be sent.
    Standing,
}

/// What a connection has come to at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Past {
    New,
    /// It has failed, or stood.
    Tried,
    Stood,
    Answered,
}

impl Past {
    /// Whether it comes to this for the first time.
    fn reach(&mut self, past: Past) -> bool {
        let is_first = *self < past;
        *self = past.max(*self);
        is_first
    }
}

impl<P: Protocol> Unpin for Connection<P> {}

impl<P: Protocol> Client for P {
    type Connection = Connection<P>;

    fn connection(local: Rc<Local<Self>>, number: usize) -> Connection<P> {
        Connection::new(local, number)
    }

    fn companion(local: &Rc<Local<Self>>) -> Option<Companion> {
        <P as Protocol>::companion(local)
    }

    fn received(&self) -> Option<Received> {
        Protocol::received(self)
    }

    fn take_back(&self, told: Received) {
        Protocol::take_back(self, told);
    }
}

impl<P: Protocol> Future for Connection<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let step = match this.state {
                State::Gone => return Poll::Ready(()),
                State::Resting => this.poll_rest(cx).map(Ok),
                State::Connecting => this.poll_connect(cx),
                State::Opening | State::Standing => this.poll_stream(cx),
            };
            match ready!(step) {
                Ok(()) => {}
                Err(end) => this.end(end),
            }
        }
    }
}

/// How a connection ends.
enum End {
    Failed(Failure),
    /// As the server said it would, with nothing left to be answered.
    Closed,
    /// The ramp wants it no more.
    Unwanted,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Failed(Failure::new(cause_of(&error), error.to_string()))
    }
}

impl<P: Protocol> Connection<P> {
    /// Begins at its first poll.
    fn new(local: Rc<Local<P>>, number: usize) -> Self {
        let now = local.clock.now();
        Connection {
            timer: lakh_core::sleep_until(local.clock.instant(now)),
            local,
            stream: None,
            state: State::Resting,
            number: number as u32,
            failures: 0,
            past: Past::New,
            armed: NEVER,
            began: now,
            until: NEVER,
            flight: Flight::default(),
            idle: NOT_IDLE,
            unsent: None,
            session: P::Session::default(),
        }
    }

    /// Waits until it may begin, then begins.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_until(self.began, cx));
        self.began = self.local.clock.now();
        self.until = self.local.ramp.unwanted(self.number as usize, self.began).unwrap_or(NEVER);
        self.session = P::Session::default();
        self.state = State::Connecting;
        Poll::Ready(())
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.stream.is_none() {
            self.stream =
                Some(self.local.connect(self.number as usize).map_err(|error| self.unconnected(&error))?);
        }
        let stream = self.stream.as_ref().expect("it was just made");
        if stream.poll_connected(cx).map_err(|error| self.unconnected(&error))?.is_pending() {
            ready!(self.poll_until(self.began + self.local.timeout, cx));
            let to = self.local.target(self.number as usize);
            let example = format!("no connection to {to} within {:?}", self.local.plan.timeout);
            return Poll::Ready(Err(End::Failed(Failure::new(Cause::ConnectTimeout, example))));
        }
        stream.set_nodelay(true)?;
        self.state = State::Opening;
        let local = Rc::clone(&self.local);
        let buffers = &mut *local.buffers.borrow_mut();
        buffers.output.clear();
        local.protocol.open(&mut self.session, &mut buffers.output);
        if buffers.output.is_empty() {
            self.stand();
        } else {
            self.send(&buffers.output)?;
        }
        Poll::Ready(Ok(()))
    }

    fn unconnected(&self, error: &io::Error) -> End {
        End::Failed(self.local.failed_with(self.number as usize, error))
    }

    fn stand(&mut self) {
        self.state = State::Standing;
        // Before it has stood.
        self.settle();
        self.local.stands(self.began, self.past.reach(Past::Stood));
        self.local.protocol.stood(&mut self.session);
        // Pings are apart from here on.
        self.began = self.local.clock.now();
    }

    /// The first attempt has come to its end, good or bad.
    fn settle(&mut self) {
        if self.past.reach(Past::Tried) {
            self.local.settle();
        }
    }

    /// Sends and receives until there is nothing left to do.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let local = Rc::clone(&self.local);
        let buffers = &mut *local.buffers.borrow_mut();
        self.flush(cx)?;
        if self.has_room() {
            self.ask(buffers, local.clock.now())?;
        }
        loop {
            let stream = self.stream.as_ref().expect("a stream that stands or opens");
            let Poll::Ready(n) = stream.poll_read(cx, &mut buffers.input)? else { break };
            let now = local.clock.now();
            self.receive(buffers, n, now)?;
            if self.has_room() {
                self.ask(buffers, now)?;
            }
        }
        // What the kernel did not take wants to be told when it does.
        self.flush(cx)?;
        self.wait(cx)
    }

    fn has_room(&self) -> bool {
        self.state == State::Standing
            && self.unsent.is_none()
            && match self.local.plan.pace {
                Pace::Closed { pipelined } => self.flight.len() < pipelined,
                Pace::Open { .. } => self.flight.len() == 0,
                Pace::Silent => false,
            }
    }

    /// Sends the requests whose time has come: those that are short in one call.
    fn ask(&mut self, buffers: &mut Buffers, now: Nanos) -> Result<(), End> {
        if now >= self.until {
            return if self.flight.len() == 0 { Err(End::Unwanted) } else { Ok(()) };
        }
        if !self.local.may_ask(&mut self.idle) {
            return Ok(());
        }
        loop {
            buffers.output.clear();
            while self.has_room()
                && buffers.output.len() < BATCH
                && let Some(due) = self.local.take_request(now)
            {
                self.local.protocol.request(&mut self.session, &mut buffers.output);
                self.flight.push(due, now);
            }
            if buffers.output.is_empty() {
                return Ok(());
            }
            self.leave_idle();
            self.send(&buffers.output)?;
        }
    }

    /// What the kernel does not take is kept for later.
    fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let stream = self.stream.as_ref().expect("a stream that stands or opens");
        if let Some(unsent) = &mut self.unsent {
            // Requests wait until everything is sent: this is what a server has asked for, as with pings.
            unsent.caused += bytes.len();
            if unsent.caused > CAUSED_AT_MOST {
                return Err(End::Failed(Failure::new(Cause::Other, DOES_NOT_READ)));
            }
            unsent.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            result => result?,
        };
        self.local.tally.borrow_mut().bytes_sent += sent as u64;
        if sent < bytes.len() {
            self.unsent = Some(Box::new(Unsent { bytes: bytes[sent..].to_vec(), sent: 0, caused: 0 }));
        }
        Ok(())
    }

    /// Sends what is left of the past, as far as the kernel takes it.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let stream = self.stream.as_ref().expect("a stream that stands or opens");
        while let Some(unsent) = &mut self.unsent {
            let Poll::Ready(sent) = stream.poll_write(cx, &unsent.bytes[unsent.sent..])? else { break };
            self.local.tally.borrow_mut().bytes_sent += sent as u64;
            unsent.sent += sent;
            if unsent.sent == unsent.bytes.len() {
                self.unsent = None;
            }
        }
        Ok(())
    }

    /// Takes `n` bytes of the input; none are the end of the stream.
    fn receive(&mut self, buffers: &mut Buffers, n: usize, now: Nanos) -> Result<(), End> {
        let local = Rc::clone(&self.local);
        let Buffers { input, output, answers } = buffers;
        output.clear();
        answers.clear();
        let mut tally = local.tally.borrow_mut();
        tally.bytes_received += n as u64;
        let mut sink = Sink { stands: false, closes: n == 0, answers, out: output, now };
        let outcome = match n {
            0 => {
                local.protocol.end(&mut self.session, &mut sink);
                Ok(())
            }
            _ => local.protocol.receive(&mut self.session, &input[..n], &mut sink),
        };
        let Sink { stands, closes, .. } = sink;
        for &answer in &*answers {
            let Some(request) = self.flight.pop() else {
                return Err(End::Failed(Failure::new(Cause::Garbage, "an answer to no request")));
            };
            if self.past.reach(Past::Answered) {
                tally.connections.answered += 1;
            }
            local.count_answer(&mut tally, answer, request, now);
        }
        drop(tally);
        if !answers.is_empty() {
            self.failures = 0;
            local.requests_settled();
        }
        if stands && self.state == State::Opening {
            self.stand();
        }
        let sent = if output.is_empty() { Ok(()) } else { self.send(output) };
        if let Err(failure) = outcome {
            return Err(End::Failed(failure));
        }
        sent?;
        match (closes, self.flight.len()) {
            (false, _) => Ok(()),
            (true, 0) if n > 0 || !answers.is_empty() => Err(End::Closed),
            (true, left) => Err(End::Failed(Failure::new(Cause::Closed, self.closed_at(left)))),
        }
    }

    /// What the server has closed, with so many requests on their way.
    fn closed_at(&self, left: usize) -> &'static str {
        match (self.state, left) {
            (State::Opening, _) => "the server closed the connection before the handshake's end",
            (_, 0) => "the server closed an idle connection",
            (..) => "the server closed the connection",
        }
    }

    /// Pending, unless the time for what is awaited is over.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.has_room() {
            let mut idle = self.local.idle.borrow_mut();
            if self.idle == NOT_IDLE || !idle.holds(self.idle) {
                self.idle = idle.push(cx);
            }
        }
        let since = match self.state {
            State::Opening => Some(self.began),
            _ => self.flight.since(),
        };
        let ping = match self.local.protocol.ping_every() {
            Some(every) if self.state == State::Standing => self.began.saturating_add(every),
            _ => NEVER,
        };
        // What is on its way is waited for, wanted or not.
        let end = since.map_or(self.until, |since| since + self.local.timeout);
        let at = end.min(ping);
        if at == NEVER {
            return Poll::Pending;
        }
        ready!(self.poll_until(at, cx));
        if at == ping {
            return Poll::Ready(self.ping());
        }
        if since.is_none() {
            return Poll::Ready(Err(End::Unwanted));
        }
        let what = if self.state == State::Opening { "handshake" } else { "answer" };
        let example = format!("no {what} within {:?}", self.local.plan.timeout);
        let cause = if self.state == State::Opening { Cause::ConnectTimeout } else { Cause::Timeout };
        Poll::Ready(Err(End::Failed(Failure::new(cause, example))))
    }

    fn ping(&mut self) -> Result<(), End> {
        self.began = self.local.clock.now();
        // What is not taken is sent when it is; until then, nothing more.
        if self.unsent.is_some() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.local.protocol.ping(&mut self.session, &mut bytes).map_err(End::Failed)?;
        self.send(&bytes)
    }

    /// Ready once the time has come. The timer is set again only when it fires early.
    fn poll_until(&mut self, at: Nanos, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed <= at && lakh_core::with(|shard| shard.now() < self.timer.deadline()) {
            return Poll::Pending;
        }
        self.timer.reset(self.local.clock.instant(at));
        self.armed = at;
        ready!(Pin::new(&mut self.timer).poll(cx));
        self.armed = NEVER;
        Poll::Ready(())
    }

    fn leave_idle(&mut self) {
        let ticket = mem::replace(&mut self.idle, NOT_IDLE);
        if ticket != NOT_IDLE {
            self.local.idle.borrow_mut().leave(ticket);
        }
    }

    /// Counts what has failed, and says when it is to be made anew.
    fn end(&mut self, end: End) {
        let local = Rc::clone(&self.local);
        let stood = self.state == State::Standing;
        if stood {
            local.open.set(local.open.get() - 1);
            local.protocol.left(&mut self.session);
        }
        let now = local.clock.now();
        if stood && now - self.began >= STOOD_WELL {
            self.failures = 0;
        }
        let mut pause = 0;
        if let End::Failed(failure) = &end {
            pause = FIRST_PAUSE << self.failures;
            self.failures = (self.failures + 1).min(DOUBLINGS);
            local.tally.borrow_mut().connections.lost += u64::from(stood);
            local.count_failures(failure, &mut self.flight);
        }
        self.settle();
        self.leave_idle();
        (self.stream, self.unsent, self.armed, self.flight) = (None, None, NEVER, Flight::default());
        local.requests_settled();
        match local.ramp.wanted(self.number as usize, now + pause) {
            Some(at) => (self.state, self.began) = (State::Resting, local.connect_slot(at)),
            None => self.state = State::Gone,
        }
    }
}

impl<P: Protocol> Drop for Connection<P> {
    fn drop(&mut self) {
        self.leave_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::http::Http;

    #[test]
    fn a_connection_is_small_while_there_is_nothing_to_send() {
        // A size that allocators have.
        assert!(size_of::<Connection<Http>>() <= 160);
    }
}

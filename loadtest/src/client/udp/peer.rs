//! One socket: its datagrams, and what has become of them.

use super::{
    super::window::{Arrival, Window},
    Udp,
    flight::Flight,
};
use crate::{
    client::Answer,
    engine::{Buffers, Local, NOT_IDLE, Nanos, Ticket, from_source},
    plan::Pace,
    stats::Cause,
};
use lakh_core::Sleep;
use lakh_net::{UdpOptions, UdpSocket};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Datagrams of one socket that may be on their way in an open loop.
const AT_A_TIME: usize = 64;
/// Datagrams that are read in a row before others have their turn.
const READ_AT_ONCE: usize = 64;
/// Before a socket that could not be made is made again, in nanoseconds.
const PAUSE: Nanos = 1_000_000_000;
/// Ports that are tried for one socket.
const PORTS_TRIED: usize = 16;
/// Bytes of the number, at a datagram's beginning.
const NUMBER: usize = 4;

/// A peer of the server, for all of the run.
pub(crate) struct Peer {
    local: Rc<Local<Udp>>,
    socket: Option<UdpSocket>,
    number: u32,
    /// It was made, or could not be, at least once.
    tried: bool,
    /// It has had an answer at least once.
    answered: bool,
    /// When it may be made; then, when the ramp wants it no more.
    at: Nanos,
    /// Until when nothing is sent, after an error.
    silent_until: Nanos,
    flight: Flight,
    window: Window,
    idle: Ticket,
    timer: Sleep,
}

impl Future for Peer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.socket.is_none() {
                ready!(this.poll_until(this.at, cx));
                if let Err(error) = this.begin() {
                    this.local.count_failure(&this.local.failed_with(this.number as usize, &error));
                    this.settle();
                    this.at = this.local.clock.now() + PAUSE;
                    continue;
                }
            }
            ready!(this.poll_socket(cx));
            // The ramp wants it no more.
            this.end();
            match this.local.ramp.wanted(this.number as usize, this.local.clock.now()) {
                Some(at) => this.at = this.local.connect_slot(at),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl Peer {
    pub(super) fn new(local: Rc<Local<Udp>>, number: usize) -> Self {
        let now = local.clock.now();
        Peer {
            timer: lakh_core::sleep_until(local.clock.instant(now)),
            local,
            socket: None,
            number: number as u32,
            tried: false,
            answered: false,
            at: now,
            silent_until: 0,
            flight: Flight::default(),
            window: Window::default(),
            idle: NOT_IDLE,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let began = self.local.clock.now();
        self.socket = Some(self.bind()?);
        self.at = self.local.ramp.unwanted(self.number as usize, began).unwrap_or(Nanos::MAX);
        self.local.stands(began, !self.tried);
        self.settle();
        Ok(())
    }

    fn bind(&self) -> io::Result<UdpSocket> {
        let mut result = self.bind_once();
        for _ in 1..PORTS_TRIED {
            match &result {
                // Somebody else's port.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => result = self.bind_once(),
                _ => break,
            }
        }
        result
    }

    fn bind_once(&self) -> io::Result<UdpSocket> {
        let (target, source) = self.local.addresses(self.number as usize);
        let any = |target: SocketAddr| match target {
            SocketAddr::V4(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            SocketAddr::V6(_) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        };
        let socket = UdpSocket::bind_with(source.unwrap_or_else(|| any(target)), &UdpOptions::default())
            .map_err(|error| from_source(error, source))?;
        socket.connect(target)?;
        Ok(socket)
    }

    /// The first attempt has come to its end, good or bad.
    fn settle(&mut self) {
        if !std::mem::replace(&mut self.tried, true) {
            self.local.settle();
        }
    }

    /// Ready when the ramp wants it no more.
    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let local = Rc::clone(&self.local);
        let buffers = &mut *local.buffers.borrow_mut();
        loop {
            let now = self.receive(buffers, cx);
            let is_wanted = now < self.at;
            if is_wanted && now >= self.silent_until {
                self.send(buffers, now, cx);
            }
            if self.has_room() && is_wanted {
                self.wait_for_turn(cx);
            }
            let next = match self.flight.since() {
                Some(since) => since.saturating_add(local.timeout),
                None if !is_wanted => return Poll::Ready(()),
                None if self.silent_until > now => self.silent_until.min(self.at),
                None if self.at == Nanos::MAX => return Poll::Pending,
                None => self.at,
            };
            ready!(self.poll_until(next, cx));
            self.give_up(local.clock.now());
        }
    }

    fn has_room(&self) -> bool {
        match self.local.plan.pace {
            Pace::Closed { pipelined } => self.flight.len() < pipelined,
            Pace::Open { .. } => self.flight.len() < AT_A_TIME,
            Pace::Silent => false,
        }
    }

    fn wait_for_turn(&mut self, cx: &mut Context<'_>) {
        let mut idle = self.local.idle.borrow_mut();
        if self.idle == NOT_IDLE || !idle.holds(self.idle) {
            self.idle = idle.push(cx);
        }
    }

    /// Sends the datagrams whose time has come.
    fn send(&mut self, buffers: &mut Buffers, now: Nanos, cx: &mut Context<'_>) {
        let local = Rc::clone(&self.local);
        while self.has_room()
            && local.may_ask(&mut self.idle)
            && let Some(due) = local.take_request(now)
        {
            let socket = self.socket.as_ref().expect("a socket that was made");
            buffers.output.clear();
            local.protocol.pattern.append(self.flight.next(), &mut buffers.output);
            self.flight.push((due, now));
            match socket.poll_send(cx, &buffers.output) {
                Poll::Ready(Ok(n)) => local.tally.borrow_mut().bytes_sent += n as u64,
                Poll::Ready(Err(error)) => self.failed(&error, now),
                // Lost, as it would be on a link that is full.
                Poll::Pending => {}
            }
        }
    }

    /// Takes what has come; the time at its end.
    fn receive(&mut self, buffers: &mut Buffers, cx: &mut Context<'_>) -> Nanos {
        let local = Rc::clone(&self.local);
        let mut now = local.clock.now();
        for read in 1.. {
            let socket = self.socket.as_ref().expect("a socket that was made");
            match socket.poll_recv(cx, &mut buffers.input) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) => {
                    now = local.clock.now();
                    self.take(&buffers.input[..n], now);
                }
                Poll::Ready(Err(error)) => self.failed(&error, now),
            }
            if read == READ_AT_ONCE {
                lakh_core::yield_to_others(cx);
                break;
            }
        }
        now
    }

    /// Nobody is at the other end, most often: it is asked again later.
    fn failed(&mut self, error: &io::Error, now: Nanos) {
        self.silent_until = now + PAUSE;
        self.local.count_failure(&self.local.failed_with(self.number as usize, error));
    }

    fn take(&mut self, datagram: &[u8], now: Nanos) {
        let local = Rc::clone(&self.local);
        let mut tally = local.tally.borrow_mut();
        tally.bytes_received += datagram.len() as u64;
        let number = datagram.first_chunk::<NUMBER>().map(|number| u32::from_le_bytes(*number));
        let number = number.filter(|&number| number < self.flight.next());
        let Some(number) = number else {
            tally.failures.add_with(Cause::Garbage, || "a datagram that was not sent".to_owned());
            return;
        };
        match self.window.take(number) {
            Arrival::Again => {
                tally.duplicated += 1;
                return;
            }
            Arrival::Late => tally.reordered += 1,
            Arrival::Newest => {}
        }
        // One that was given up counts as missing, though it came.
        let Some(sent) = self.flight.answered(number) else { return };
        let pattern = &local.protocol.pattern;
        let is_same = datagram.len() == pattern.len() && pattern.matches(number, 0, datagram);
        let answer = if is_same { Answer::Good(0) } else { Answer::Bad(0, Cause::Body) };
        if !std::mem::replace(&mut self.answered, true) {
            tally.connections.answered += 1;
        }
        local.count_answer(&mut tally, answer, sent, now);
        drop(tally);
        local.requests_settled();
    }

    /// Gives up what should have come by now.
    fn give_up(&mut self, now: Nanos) {
        let local = Rc::clone(&self.local);
        while self.flight.since().is_some_and(|since| since.saturating_add(local.timeout) <= now)
            && let Some((due, _)) = self.flight.give_up()
        {
            local.count_missing(due);
        }
    }

    fn poll_until(&mut self, at: Nanos, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.local.clock.instant(at);
        // Set anew only if it would fire too late: it may fire early.
        if self.timer.deadline() > at || lakh_core::with(|shard| shard.now()) >= self.timer.deadline() {
            self.timer.reset(at);
        }
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            if self.timer.deadline() >= at {
                return Poll::Ready(());
            }
            self.timer.reset(at);
        }
    }

    fn end(&mut self) {
        if self.socket.take().is_some() {
            self.local.open.set(self.local.open.get() - 1);
        }
        self.leave_idle();
        (self.flight, self.window) = (Flight::default(), Window::default());
    }

    fn leave_idle(&mut self) {
        let ticket = std::mem::replace(&mut self.idle, NOT_IDLE);
        if ticket != NOT_IDLE {
            self.local.idle.borrow_mut().leave(ticket);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.leave_idle();
    }
}

//! Requests on fresh connections, one for each: at a rate, whatever becomes of them, or a number at a time.
//!
//! A request is given up a second after it was due. Until then it takes a descriptor, so that an overloaded server
//! makes this client hold more than one table has: each thread has a table of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::sys::{self, Epoll, Event};
use crate::{Context, Error, Result};

/// How long an answer counts, from when its request was due.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Connections of one thread at a time: within one table of descriptors.
const AT_ONCE: usize = 15_000;
/// Connections begun before events are looked at.
const BURST: usize = 64;
/// A request that is begun later than this was held up by the client.
const LATE: Duration = Duration::from_millis(50);
/// Source addresses: one has 28,232 ports, and the kernel's search gets slow when half of them are taken.
const SOURCES: u32 = 32;

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Requests a second.
    Open(f64),
    /// Requests at a time.
    Closed(usize),
}

/// What has become of the requests that were due within the window.
#[derive(Clone, Default)]
pub struct Outcome {
    pub due: u64,
    /// 200 within the time.
    pub answered: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub failed: u64,
    /// Begun too late, or not at all.
    pub late: u64,
    pub latency: Histogram,
    /// Of the refusals.
    pub refusal: Histogram,
    pub cpu: Duration,
}

#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub to: SocketAddr,
    pub request: &'a [u8],
    /// What every answer with 200 ends with.
    pub body: &'a [u8],
    pub pace: Pace,
    pub warm_up: Duration,
    pub window: Duration,
}

impl Run<'_> {
    /// Runs on this thread's CPU.
    pub fn run(self) -> Result<Outcome> {
        let threads = match self.pace {
            Pace::Open(rate) => (rate * PATIENCE.as_secs_f64() / AT_ONCE as f64 * 1.2).ceil() as usize,
            Pace::Closed(_) => 1,
        };
        let share = match self.pace {
            Pace::Open(rate) => Pace::Open(rate / threads as f64),
            closed => closed,
        };
        let outcomes: Vec<Result<Outcome>> = std::thread::scope(|scope| {
            let one = |number: usize| {
                scope.spawn(move || Client::new(Run { pace: share, ..self }, number as u32)?.run())
            };
            let handles: Vec<_> = (0..threads).map(one).collect();
            let panicked = |_| Err(Error::new("a client's thread has panicked"));
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(panicked)).collect()
        });
        let mut sum = Outcome::default();
        for outcome in outcomes {
            sum.add(&outcome?);
        }
        Ok(sum)
    }
}

impl Outcome {
    fn add(&mut self, other: &Outcome) {
        self.due += other.due;
        self.answered += other.answered;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
        self.late += other.late;
        self.latency.add(&other.latency);
        self.refusal.add(&other.refusal);
        self.cpu += other.cpu;
    }
}

/// A socket, connected again and again: to make and close one costs the client half as much again as its connection.
struct Slot {
    socket: OwnedFd,
    /// How often it was connected.
    generation: u32,
    request: Option<Request>,
}

struct Request {
    due: Instant,
    is_sent: bool,
}

struct Client<'a> {
    run: Run<'a>,
    epoll: Epoll,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Places in the order in which they are given up.
    deadlines: VecDeque<(u32, u32, Instant)>,
    start: Instant,
    begun: u64,
    number: u32,
    outcome: Outcome,
}

enum Fate {
    Answered,
    Refused,
    TimedOut,
    Failed,
}

impl<'a> Client<'a> {
    fn new(run: Run<'a>, number: u32) -> Result<Self> {
        sys::leave_table().context(|| "a descriptor table of its own".to_owned())?;
        Ok(Client {
            run,
            epoll: Epoll::new().context(|| "epoll_create".to_owned())?,
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: VecDeque::new(),
            start: Instant::now(),
            begun: 0,
            number,
            outcome: Outcome::default(),
        })
    }

    fn run(mut self) -> Result<Outcome> {
        let mut events = vec![Event { events: 0, u64: 0 }; 1024];
        let (warm_up, end) = (self.run.warm_up, self.run.warm_up + self.run.window);
        let mut cpu_before = None;
        loop {
            let elapsed = self.start.elapsed();
            if elapsed >= warm_up && cpu_before.is_none() {
                cpu_before = Some(thread_cpu()?);
            }
            if elapsed >= end && self.outcome.cpu.is_zero() {
                self.outcome.cpu = thread_cpu()?.saturating_sub(cpu_before.unwrap_or_default());
            }
            if elapsed >= end && self.in_flight() == 0 {
                return Ok(self.outcome);
            }
            let began_all = elapsed >= end || self.begin_due()?;
            let timeout = i32::from(began_all);
            let got = self.epoll.wait(&mut events, timeout).context(|| "epoll_wait".to_owned())?;
            for event in &events[..got] {
                self.handle_event(event.u64 as u32)?;
            }
            self.give_up(Instant::now())?;
        }
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Begins what is due, a burst at most. Whether that was all.
    fn begin_due(&mut self) -> Result<bool> {
        for _ in 0..BURST {
            let now = Instant::now();
            let due = match self.run.pace {
                Pace::Open(rate) => self.start + Duration::from_secs_f64(self.begun as f64 / rate),
                Pace::Closed(at_once) if self.in_flight() < at_once => now,
                Pace::Closed(_) => return Ok(true),
            };
            if due > now {
                return Ok(true);
            }
            self.begun += 1;
            let counts = self.counts(due);
            self.outcome.due += u64::from(counts);
            self.outcome.late += u64::from(counts && now - due > LATE);
            if self.in_flight() < AT_ONCE && now - due < PATIENCE {
                self.begin(due)?;
            } else if counts {
                self.outcome.timed_out += 1;
            }
        }
        Ok(false)
    }

    fn counts(&self, due: Instant) -> bool {
        let at = due.saturating_duration_since(self.start);
        at >= self.run.warm_up && at < self.run.warm_up + self.run.window
    }

    fn begin(&mut self, due: Instant) -> Result<()> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.new_slot()?,
        };
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.request = Some(Request { due, is_sent: false });
        self.deadlines.push_back((index, slot.generation, due + PATIENCE));
        sys::connect(&slot.socket, self.run.to).context(|| "connecting".to_owned())?;
        // On loopback the handshake is mostly over by now.
        self.send(index)
    }

    fn new_slot(&mut self) -> Result<u32> {
        let index = self.slots.len() as u32;
        let source = [127, 0, 1 + self.number as u8, 1 + (index % SOURCES) as u8];
        let socket = sys::bound_socket(source.into(), 0).context(|| "a socket".to_owned())?;
        let interest = sys::EPOLLIN | sys::EPOLLOUT | sys::EPOLLET;
        self.epoll.add(socket.as_raw_fd(), interest, index.into()).context(|| "epoll_ctl".to_owned())?;
        self.slots.push(Slot { socket, generation: 0, request: None });
        Ok(index)
    }

    fn send(&mut self, index: u32) -> Result<()> {
        let slot = &mut self.slots[index as usize];
        let Some(request) = &mut slot.request else { return Ok(()) };
        let sent = sys::send(slot.socket.as_raw_fd(), self.run.request);
        if sent == self.run.request.len() as isize {
            request.is_sent = true;
        } else if sent >= 0 || !would_block() {
            self.settle(index, Fate::Failed)?;
        }
        Ok(())
    }

    /// An event may be left from the socket's last connection: it costs a call that would block.
    fn handle_event(&mut self, index: u32) -> Result<()> {
        if self.slots[index as usize].request.as_ref().is_some_and(|request| !request.is_sent) {
            self.send(index)?;
        }
        let slot = &self.slots[index as usize];
        if !slot.request.as_ref().is_some_and(|request| request.is_sent) {
            return Ok(());
        }
        let mut answer = [0; 1024];
        let got = sys::recv(slot.socket.as_raw_fd(), &mut answer);
        if got < 0 && would_block() {
            return Ok(());
        }
        let answer = &answer[..got.max(0) as usize];
        let fate = match answer {
            _ if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(self.run.body) => Fate::Answered,
            _ if answer.starts_with(b"HTTP/1.1 503 ") => Fate::Refused,
            [] => Fate::Failed,
            _ => return Err(crate::load::unexpected(answer)),
        };
        self.settle(index, fate)
    }

    fn give_up(&mut self, now: Instant) -> Result<()> {
        while let Some(&(index, generation, at)) = self.deadlines.front()
            && at <= now
        {
            self.deadlines.pop_front();
            if self.slots[index as usize].generation == generation {
                self.settle(index, Fate::TimedOut)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, index: u32, fate: Fate) -> Result<()> {
        let slot = &mut self.slots[index as usize];
        let Some(Request { due, .. }) = slot.request.take() else { return Ok(()) };
        sys::disconnect(&slot.socket).context(|| "disconnecting".to_owned())?;
        self.free.push(index);
        if !self.counts(due) {
            return Ok(());
        }
        let took = due.elapsed();
        let outcome = &mut self.outcome;
        match fate {
            Fate::Answered | Fate::Refused if took > PATIENCE => outcome.timed_out += 1,
            Fate::Answered => {
                outcome.answered += 1;
                outcome.latency.record(took, 1);
            }
            Fate::Refused => {
                outcome.refused += 1;
                outcome.refusal.record(took, 1);
            }
            Fate::TimedOut => outcome.timed_out += 1,
            Fate::Failed => outcome.failed += 1,
        }
        Ok(())
    }
}

fn thread_cpu() -> Result<Duration> {
    sys::thread_cpu().context(|| "clock".to_owned())
}

fn would_block() -> bool {
    let error = std::io::Error::last_os_error();
    // Before the handshake is over, send(2) and recv(2) say one or the other.
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected)
}

//! Readiness: which of a shard's sockets can be read or written, and who waits for it.
//!
//! A source is registered once, edge-triggered, for reading and writing. The kernel's events set
//! flags; the flags are cleared when a system call says `WouldBlock` (or read less than it was
//! given room for, see [`Registration::drained`]). So a flag that is set means "try", and an edge
//! that was not used up is never lost: a task that stops early finds the flag still set.

use crate::{
    shard,
    slab::Slab,
    task::{Tasks, Waiter, Waiters},
};
use mio::{
    Events, Interest, Poll as KernelPoll, Token,
    event::{Event, Source},
};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    marker::PhantomData,
    mem,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

/// Token of the shard's notifier. No source has it: generations start at 1.
pub(crate) const NOTIFIER: Token = Token(0);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a token is a generation and an index of 32 bits each: lakh needs a 64-bit target");

/// The two ways in which a source can be ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Something can be read or accepted, or the peer has closed.
    Read,
    /// Something can be written, or a connection attempt has ended.
    Write,
}

mod ready {
    pub(super) const READ: u8 = 1;
    pub(super) const WRITE: u8 = 2;
    /// The peer will send no more: reading is always ready, to find the end of the stream.
    pub(super) const READ_CLOSED: u8 = 4;
    pub(super) const WRITE_CLOSED: u8 = 8;
    pub(super) const BOTH_CLOSED: u8 = READ_CLOSED | WRITE_CLOSED;
    /// Urgent data has come: a read stops short at its mark (tcp(7)), so a short read proves nothing.
    pub(super) const URGENT: u8 = 16;
    /// Nothing will ever be sent or received: a reset, an error, or both directions are closed.
    pub(super) const HANGUP: u8 = 32;
    /// No readiness: who is in `write` waits for [`HANGUP`] alone.
    pub(super) const AWAITS_HANGUP: u8 = 64;
}

/// Where the next shard begins to count generations: far away from the others, so that a
/// registration that has outlived its shard names nothing on another.
static FIRST_GENERATION: AtomicU32 = AtomicU32::new(1);
/// Prime to 2^32, and a golden section of it: the beginnings spread evenly.
const GENERATIONS_APART: u32 = 0x9E37_79B1;

struct Entry {
    /// Never 0, so that a vacant place in the slab takes no more room.
    generation: NonZeroU32,
    read: Waiter,
    write: Waiter,
    ready: u8,
}

impl Entry {
    fn waiter(&mut self, direction: Direction) -> &mut Waiter {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Adds what an event says; gives it with what follows from it.
    fn add(&mut self, mut set: u8) -> u8 {
        self.ready |= set;
        // kqueue(2) tells the two ends by two events.
        if self.ready & ready::BOTH_CLOSED == ready::BOTH_CLOSED {
            set |= ready::HANGUP;
        }
        if set & ready::HANGUP != 0 {
            set |= ready::READ | ready::WRITE;
        }
        self.ready |= set;
        set
    }
}

/// What an event says by itself.
fn flags_of(event: &Event) -> u8 {
    let mut set = 0;
    if event.is_readable() {
        set |= ready::READ;
    }
    if event.is_writable() {
        set |= ready::WRITE;
    }
    if event.is_read_closed() {
        set |= ready::READ | ready::READ_CLOSED;
    }
    if event.is_write_closed() {
        set |= ready::WRITE | ready::WRITE_CLOSED;
    }
    if event.is_error() {
        set |= ready::HANGUP;
    }
    if event.is_priority() {
        set |= ready::READ | ready::URGENT;
    }
    set
}

/// The readiness half of a shard.
pub(crate) struct Reactor {
    poll: RefCell<KernelPoll>,
    entries: RefCell<Slab<Entry>>,
    next_generation: Cell<NonZeroU32>,
    /// Foreign wakers of one batch of events, kept for its capacity.
    batch: RefCell<Vec<Waiter>>,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Reactor {
            poll: RefCell::new(KernelPoll::new()?),
            entries: RefCell::new(Slab::new()),
            next_generation: Cell::new(
                NonZeroU32::new(FIRST_GENERATION.fetch_add(GENERATIONS_APART, Ordering::Relaxed))
                    .unwrap_or(NonZeroU32::MIN),
            ),
            batch: RefCell::new(Vec::new()),
        })
    }

    pub(crate) fn notifier(&self) -> io::Result<mio::Waker> {
        mio::Waker::new(self.poll.borrow().registry(), NOTIFIER)
    }

    /// Watches what is no source of a task: for reading, under a token that no source has.
    #[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
    pub(crate) fn watch(&self, source: &mut (impl Source + ?Sized), token: Token) -> io::Result<()> {
        self.poll.borrow().registry().register(source, token, Interest::READABLE)
    }

    /// Waits for events. A signal that interrupts the wait counts as no events.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.borrow_mut().poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// Turns a batch of events into flags and wakeups.
    pub(crate) fn dispatch(&self, events: &Events, tasks: &Tasks, waiters: &Waiters) {
        let mut woken = self.batch.take();
        {
            let mut entries = self.entries.borrow_mut();
            for event in events {
                let (generation, index) = split(event.token());
                let Some(entry) = entries.get_mut(index).filter(|e| e.generation.get() == generation) else {
                    continue; // the notifier, or an event of a source that is gone
                };
                let set = entry.add(flags_of(event));
                if set & ready::READ != 0 && entry.read != Waiter::NONE {
                    woken.push(mem::take(&mut entry.read));
                }
                let awaited =
                    if entry.ready & ready::AWAITS_HANGUP != 0 { ready::HANGUP } else { ready::WRITE };
                if set & awaited != 0 && entry.write != Waiter::NONE {
                    woken.push(mem::take(&mut entry.write));
                }
            }
        }
        for waiter in woken.drain(..) {
            waiters.wake(tasks, waiter);
        }
        self.batch.replace(woken);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    fn interest() -> Interest {
        let interest = Interest::READABLE | Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let interest = interest | Interest::PRIORITY;
        interest
    }

    fn register(&self, source: &mut (impl Source + ?Sized), ready: u8) -> io::Result<Registration> {
        let generation = self.next_generation.get();
        self.next_generation.set(generation.checked_add(1).unwrap_or(NonZeroU32::MIN));
        let entry = Entry { generation, read: Waiter::NONE, write: Waiter::NONE, ready };
        let index = self.entries.borrow_mut().insert(entry);
        let (token, interest) = (join(generation, index), Self::interest());
        let result = self.poll.borrow().registry().register(source, token, interest);
        if let Err(error) = result {
            self.entries.borrow_mut().remove(index);
            return Err(error);
        }
        Ok(Registration { index, generation, home: PhantomData })
    }
}

fn join(generation: NonZeroU32, index: u32) -> Token {
    Token((generation.get() as usize) << 32 | index as usize)
}

fn split(token: Token) -> (u32, u32) {
    ((token.0 >> 32) as u32, token.0 as u32)
}

/// A source's place in its shard's reactor: its readiness and who waits for it.
///
/// Keep it beside the source and drop both together, on the shard that registered it. Eight bytes.
/// For socket types only: services use the streams and sockets of `lakh-net`, and `AsyncFd` for descriptors.
pub struct Registration {
    index: u32,
    generation: NonZeroU32,
    /// It means nothing on another thread.
    home: PhantomData<*const ()>,
}

impl Registration {
    /// Registers a source with the current shard. Nothing is known of its readiness yet: the
    /// kernel tells it at the end of the turn.
    ///
    /// # Errors
    /// Those of epoll_ctl(2): `ENOSPC` past `fs.epoll.max_user_watches`, or no memory.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn new(source: &mut (impl Source + ?Sized)) -> io::Result<Self> {
        shard::with(|shard| shard.reactor().register(source, 0))
    }

    /// Registers a source that is likely to be readable and writable already, so that the first
    /// operation is tried at once.
    ///
    /// # Errors
    /// As [`Registration::new`].
    pub fn ready(source: &mut (impl Source + ?Sized)) -> io::Result<Self> {
        shard::with(|shard| shard.reactor().register(source, ready::READ | ready::WRITE))
    }

    /// Takes the source out of the kernel's poll, too, where closing it does not: it stays open here, or another process
    /// will have it.
    ///
    /// # Errors
    /// `NotFound` elsewhere than on the source's own shard, where its number may be somebody else's; those of
    /// epoll_ctl(2).
    pub(crate) fn deregister(&self, source: &mut (impl Source + ?Sized)) -> io::Result<()> {
        self.with_entry(|_| ()).ok_or(io::ErrorKind::NotFound)?;
        shard::with(|shard| shard.reactor().poll.borrow().registry().deregister(source))
    }

    /// To be called after [`Registration::would_block`] for sources that mio knows by their number alone: its
    /// poll(2) tells of each readiness once, and again only if it is asked to.
    #[cfg(unix)]
    pub(crate) fn rearm(&self, source: &mut (impl Source + ?Sized)) -> io::Result<()> {
        if cfg!(not(mio_unsupported_force_poll_poll)) {
            return Ok(());
        }
        let token = join(self.generation, self.index);
        let interest = Reactor::interest();
        shard::with(|shard| shard.reactor().poll.borrow().registry().reregister(source, token, interest))
    }

    /// Names the source, for whoever has to know later whether it is still there.
    pub fn id(&self) -> SourceId {
        SourceId { index: self.index, generation: self.generation, home: PhantomData }
    }

    fn entry<'a>(&self, entries: &'a mut Slab<Entry>) -> Option<&'a mut Entry> {
        entries.get_mut(self.index).filter(|entry| entry.generation == self.generation)
    }

    fn with_entry<R>(&self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        shard::try_with(|shard| {
            let mut entries = shard.reactor().entries.borrow_mut();
            self.entry(&mut entries).map(f)
        })
        .flatten()
    }

    /// Whether an operation in this direction may succeed; a hint, as all readiness.
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.with_entry(|entry| entry.ready & direction.flag() != 0).unwrap_or(true)
    }

    /// Ready once an operation in this direction may succeed; else the task is woken then. One task
    /// waits for each direction: the one that polled last.
    ///
    /// # Panics
    /// Elsewhere than on the shard that registered the source.
    #[inline]
    pub fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flag(direction, direction.flag(), cx)
    }

    /// Ready once nothing will ever be sent or received any more: the peer has reset the connection, it
    /// has failed, or both directions are closed. A peer that has only finished sending does not count.
    ///
    /// It waits in the place of [`Direction::Write`], so a task waits for one of the two. For whoever
    /// works on an answer and neither reads nor writes meanwhile. Where mio polls with poll(2) it may
    /// stay pending.
    ///
    /// # Panics
    /// Elsewhere than on the shard that registered the source.
    pub fn poll_hangup(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flag(Direction::Write, ready::HANGUP, cx)
    }

    #[inline]
    fn poll_flag(&self, direction: Direction, flag: u8, cx: &mut Context<'_>) -> Poll<()> {
        shard::with(|shard| {
            let old = {
                let mut entries = shard.reactor().entries.borrow_mut();
                let entry = self.entry(&mut entries).expect("a source is used on its own shard only");
                if entry.ready & flag != 0 {
                    return Poll::Ready(());
                }
                if direction == Direction::Write {
                    let awaits = if flag == ready::HANGUP { ready::AWAITS_HANGUP } else { 0 };
                    entry.ready = entry.ready & !ready::AWAITS_HANGUP | awaits;
                }
                mem::take(entry.waiter(direction))
            };
            let new = shard.waiters().replace(shard.tasks(), old, cx.waker());
            let displaced = {
                let mut entries = shard.reactor().entries.borrow_mut();
                self.entry(&mut entries).map(|entry| mem::replace(entry.waiter(direction), new))
            };
            shard.waiters().release(shard.tasks(), displaced.unwrap_or_default());
            Poll::Pending
        })
    }

    /// Says that an operation in this direction would have blocked: not ready until the next event.
    #[inline]
    pub fn would_block(&self, direction: Direction) {
        self.with_entry(|entry| entry.ready &= !direction.flag());
    }

    /// Says that a stream gave less than there was room for: it is drained until the next event.
    /// That holds on epoll and kqueue, unless the peer has closed; elsewhere this does nothing.
    #[inline]
    pub fn drained(&self) {
        if cfg!(any(windows, mio_unsupported_force_poll_poll)) {
            return;
        }
        self.with_entry(|entry| {
            if entry.ready & (ready::READ_CLOSED | ready::URGENT) == 0 {
                entry.ready &= !ready::READ;
            }
        });
    }

    /// Whether the kernel has reported that the peer sends no more. Data may still be waiting.
    pub fn peer_closed(&self) -> bool {
        self.with_entry(|entry| entry.ready & ready::READ_CLOSED != 0).unwrap_or(false)
    }

    /// Runs `operation` when the source is ready, again when it would have blocked, until it gives
    /// a result; charges the task's budget ([`crate::poll_budget`]) for each try, so that a task
    /// that looks after many sources pays for those that are ready only.
    ///
    /// Cancel safe if `operation` leaves nothing half done.
    ///
    /// # Errors
    /// What `operation` returns, except `WouldBlock` and `Interrupted`.
    pub fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_ready(direction, cx));
            ready!(shard::poll_budget(cx));
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.would_block(direction),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// A source's name on its shard, [`Registration::id`]. It does not keep the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceId {
    index: u32,
    generation: NonZeroU32,
    /// It means nothing on another thread.
    home: PhantomData<*const ()>,
}

impl SourceId {
    /// Whether the source is registered: its [`Registration`] was not dropped, and neither was the shard.
    pub fn is_registered(self) -> bool {
        let is_there = |entry: &mut Entry| entry.generation == self.generation;
        shard::try_with(|shard| {
            shard.reactor().entries.borrow_mut().get_mut(self.index).is_some_and(is_there)
        })
        .unwrap_or(false)
    }
}

impl Direction {
    fn flag(self) -> u8 {
        match self {
            Direction::Read => ready::READ,
            Direction::Write => ready::WRITE,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        shard::try_with(|shard| {
            let entry = {
                let mut entries = shard.reactor().entries.borrow_mut();
                let ours = self.entry(&mut entries).is_some();
                if ours { entries.remove(self.index) } else { None }
            };
            if let Some(entry) = entry {
                shard.waiters().release(shard.tasks(), entry.read);
                shard.waiters().release(shard.tasks(), entry.write);
            }
        });
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({}.{})", self.index, self.generation)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_ends_closed_are_a_hangup_whether_told_at_once_or_one_by_one() {
        let close_read = ready::READ | ready::READ_CLOSED;
        let close_write = ready::WRITE | ready::WRITE_CLOSED;
        let all_of_it = ready::HANGUP | ready::READ | ready::WRITE;
        for events in
            [&[close_read | close_write][..], &[close_read, close_write], &[close_write, close_read]]
        {
            let mut entry =
                Entry { generation: NonZeroU32::MIN, read: Waiter::NONE, write: Waiter::NONE, ready: 0 };
            let (last, before) = events.split_last().unwrap();
            for &set in before {
                assert_eq!(entry.add(set), set);
                assert_eq!(entry.ready & ready::HANGUP, 0);
            }
            assert_eq!(entry.add(*last) & all_of_it, all_of_it);
            assert_eq!(entry.ready, close_read | close_write | ready::HANGUP);
        }
    }
}

//! Readiness: which of a shard's sockets can be read or written, and who waits for it.
//!
//! A source is registered once, edge-triggered, for reading and writing. The kernel's events set
//! flags; the flags are cleared when a system call says `WouldBlock` (or read less than it was
//! given room for, see [`Registration::drained`]). So a flag that is set means "try", and an edge
//! that was not used up is never lost: a task that stops early finds the flag still set.

mod registration;

pub use registration::{Registration, SourceId};

use crate::{
    slab::Slab,
    sys::socket::{Descriptor, RawDescriptor},
    task::{Tasks, Waiter, Waiters},
};
use mio::{
    Events, Interest, Poll as KernelPoll, Token,
    event::{Event, Source},
};
use std::{
    cell::{Cell, RefCell},
    io,
    marker::PhantomData,
    mem,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
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
    /// For who asks what there is: [`Reactor::source`].
    descriptor: Descriptor,
    registered: Second,
    ready: u8,
}

// Part of what an idle connection takes; see ARCHITECTURE.md.
const _: () = assert!(cfg!(windows) || size_of::<Entry>() <= 20);

/// A second of the shard, without its highest 8 bits, so that it and `ready` take four bytes.
#[derive(Clone, Copy)]
struct Second([u8; 3]);

impl Second {
    fn of(second: u32) -> Self {
        let [low, middle, high, _] = second.to_le_bytes();
        Second([low, middle, high])
    }

    /// The last such second until now. For what is older than 194 days it is too late by a multiple of them.
    fn last_until(self, now: u32) -> u32 {
        let Second([low, middle, high]) = self;
        let age = now.wrapping_sub(u32::from_le_bytes([low, middle, high, 0])) & 0x00FF_FFFF;
        now.saturating_sub(age)
    }
}

/// What there is under an index, for who looks through all of them.
pub(crate) struct Registered {
    /// `None` if only the kernel knows.
    pub(crate) descriptor: Option<RawDescriptor>,
    pub(crate) since: u32,
    /// Who waits for it, if it is a task of the shard.
    pub(crate) task: Option<u32>,
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

    /// One more than the greatest index that a source may have.
    pub(crate) fn end(&self) -> u32 {
        self.entries.borrow().end()
    }

    pub(crate) fn source(&self, index: u32, now: u32) -> Option<Registered> {
        let entries = self.entries.borrow();
        let entry = entries.get(index)?;
        let task = entry.read.task_index().or_else(|| entry.write.task_index());
        Some(Registered { descriptor: entry.descriptor.get(), since: entry.registered.last_until(now), task })
    }

    fn interest() -> Interest {
        let interest = Interest::READABLE | Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let interest = interest | Interest::PRIORITY;
        interest
    }

    fn register(
        &self,
        source: &mut (impl Source + ?Sized),
        descriptor: Descriptor,
        now: u32,
        ready: u8,
    ) -> io::Result<Registration> {
        let generation = self.next_generation.get();
        self.next_generation.set(generation.checked_add(1).unwrap_or(NonZeroU32::MIN));
        let (read, write) = (Waiter::NONE, Waiter::NONE);
        let registered = Second::of(now);
        let entry = Entry { generation, read, write, descriptor, registered, ready };
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

impl Direction {
    fn flag(self) -> u8 {
        match self {
            Direction::Read => ready::READ,
            Direction::Write => ready::WRITE,
        }
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
            let mut entry = Entry {
                generation: NonZeroU32::MIN,
                read: Waiter::NONE,
                write: Waiter::NONE,
                descriptor: Descriptor::UNKNOWN,
                registered: Second::of(0),
                ready: 0,
            };
            let (last, before) = events.split_last().unwrap();
            for &set in before {
                assert_eq!(entry.add(set), set);
                assert_eq!(entry.ready & ready::HANGUP, 0);
            }
            assert_eq!(entry.add(*last) & all_of_it, all_of_it);
            assert_eq!(entry.ready, close_read | close_write | ready::HANGUP);
        }
    }

    #[test]
    fn a_second_is_kept_for_half_a_year() {
        const HALF_A_YEAR: u32 = 0x00FF_FFFF;
        for second in [0, 1, 255, 256, HALF_A_YEAR, HALF_A_YEAR + 1, 0x1234_5678] {
            for age in [0, 1, 86_400, HALF_A_YEAR] {
                assert_eq!(Second::of(second).last_until(second + age), second);
            }
        }
        assert_eq!(Second::of(7).last_until(7 + HALF_A_YEAR + 1), 7 + HALF_A_YEAR + 1);
    }
}

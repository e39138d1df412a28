//! What a source has of the reactor that it is registered with.

use super::{Direction, Entry, ready};
#[cfg(unix)]
use crate::sys::socket::RawDescriptor;
use crate::{
    shard,
    slab::Slab,
    sys::socket::{Descriptor, Socket},
};
use mio::event::Source;
use std::{
    fmt, io,
    marker::PhantomData,
    mem,
    num::NonZeroU32,
    task::{self, Context, Poll},
};

/// A source's place in its shard's reactor: its readiness and who waits for it.
///
/// Keep it beside the source and drop both together, on the shard that registered it. Eight bytes.
/// For socket types only: services use the streams and sockets of `lakh-net`, and `AsyncFd` for descriptors.
pub struct Registration {
    pub(super) index: u32,
    pub(super) generation: NonZeroU32,
    /// It means nothing on another thread.
    pub(super) home: PhantomData<*const ()>,
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
        Self::with_ready(source, Descriptor::UNKNOWN, 0)
    }

    /// Registers a source that is likely to be readable and writable already, so that the first
    /// operation is tried at once.
    ///
    /// # Errors
    /// As [`Registration::new`].
    pub fn ready(source: &mut (impl Source + ?Sized)) -> io::Result<Self> {
        Self::with_ready(source, Descriptor::UNKNOWN, ready::READ | ready::WRITE)
    }

    /// As [`Registration::new`], or [`Registration::ready`] if `is_ready`, for a source whose descriptor can be told:
    /// who asks what there is ([`diagnostics`](crate::diagnostics)) is told its type and its addresses.
    ///
    /// # Errors
    /// As [`Registration::new`].
    ///
    /// # Panics
    /// Outside a shard.
    pub fn socket(source: &mut (impl Socket + ?Sized), is_ready: bool) -> io::Result<Self> {
        let descriptor = Descriptor::of(source);
        Self::with_ready(source, descriptor, if is_ready { ready::READ | ready::WRITE } else { 0 })
    }

    /// As [`Registration::socket`], for a descriptor that mio knows by its number alone.
    #[cfg(unix)]
    pub(crate) fn numbered(number: RawDescriptor, is_ready: bool) -> io::Result<Self> {
        let ready = if is_ready { ready::READ | ready::WRITE } else { 0 };
        Self::with_ready(&mut mio::unix::SourceFd(&number), Descriptor::numbered(number), ready)
    }

    fn with_ready(
        source: &mut (impl Source + ?Sized),
        descriptor: Descriptor,
        ready: u8,
    ) -> io::Result<Self> {
        shard::with(|shard| shard.reactor().register(source, descriptor, shard.coarse_now(), ready))
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
        let token = super::join(self.generation, self.index);
        let interest = super::Reactor::interest();
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
            task::ready!(self.poll_ready(direction, cx));
            task::ready!(shard::poll_budget(cx));
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

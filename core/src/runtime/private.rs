//! Shards with descriptor tables of their own.

use super::Builder;
use crate::{
    pool::Pool,
    reactor::Reactor,
    shard::{Notifier, NotifierBell, Relay, Shard},
    sys::table::{self, Descriptor},
    watchdog::Bell,
};
#[cfg(unix)]
use std::os::fd::{AsRawFd, OwnedFd};
use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
};

impl Builder {
    /// Gives each shard's thread a descriptor table of its own, so that the limit on open files holds for each
    /// shard and not for the process: where it is 20,000, 54 shards hold a million connections. Off by default;
    /// Linux from 5.9 on only (`CLOSE_RANGE_UNSHARE` in close_range(2)).
    ///
    /// A shard's table has the sockets that it makes, and standard input, output and error; all other threads, the
    /// pool's too, share the process's table. So, on a shard:
    ///
    /// - A descriptor that was opened elsewhere (in `main`, on the pool) is not open, or is another file, one of
    ///   the shard's connections maybe. Do not use it there, and do not drop it there, which closes what has its
    ///   number; this is true of loggers that write to a file on the thread that logs, too. What a shard makes, it
    ///   must drop.
    /// - Other event loops cannot be woken, as they are woken by descriptors: no channel to a task of tokio, say.
    ///   Lakh's own can, in this runtime and in others.
    /// - A thread that is started there shares the shard's table. Work for other threads belongs on the pool.
    /// - No signal's handler runs there. [`Signal`](crate::signal::Signal)s are heard all the same.
    ///
    /// What Lakh itself would carry across is refused with an error that says so:
    /// [child processes](crate::process), a runtime or `block_on` that is started from a shard's thread or
    /// from one that it has started, futures of tokio; in `lakh-net` connections for other shards and `sendfile`, and
    /// in `lakh-http` static files. Writing files ([`FileWriter`](crate::fs::FileWriter)) works, since
    /// the pool alone has them.
    ///
    /// [`Builder::start`] fails where there are no such tables; what `init` owns is dropped on its caller's thread.
    ///
    /// ```
    /// use lakh_core::{Builder, Runtime};
    /// use std::{io::ErrorKind, time::Duration};
    ///
    /// let started = Builder::new().shards(2).private_descriptors(true).start(|shard| {
    ///     assert!(shard.has_private_descriptors());
    ///     Ok(())
    /// });
    /// match started {
    ///     Ok(runtime) => {
    ///         runtime.drain();
    ///         assert!(runtime.join(Duration::from_secs(10)));
    ///     }
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn private_descriptors(mut self, private: bool) -> Self {
        self.private = private;
        self
    }

    /// Whether the shards will have descriptor tables of their own.
    pub fn has_private_descriptors(&self) -> bool {
        self.private
    }

    /// Gives the first shard a descriptor, and says under which number it takes it
    /// ([`Shard::take_handed_over`]). Once the shards are started, nobody else has it, private tables or not: a
    /// socket's connection ends when it is closed there. Clones of this builder share what was handed over; the
    /// first that starts has it.
    #[cfg(unix)]
    pub fn hand_over(&mut self, descriptor: OwnedFd) -> usize {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.push(descriptor);
        handed.len() - 1
    }
}

/// What a builder was given for its first shard.
pub(super) type Handed = Arc<Mutex<Vec<Descriptor>>>;

/// What the shards find in their tables, as long as not all of them have theirs.
pub(super) struct Tables {
    /// Of the shards to come, the last first; none without private tables.
    events: Option<Vec<Descriptor>>,
    handed: Vec<Descriptor>,
}

impl Tables {
    /// All that other threads need of the shards is made here, before the first of them has its table.
    pub(super) fn new(private: bool, shards: usize, handed: &Handed) -> io::Result<Self> {
        if table::is_private() {
            return Err(table::refusal("no runtime can be started here"));
        }
        let events = match private {
            true => {
                table::prepare()?;
                Relay::start()?;
                #[cfg(unix)]
                crate::signal::start()?;
                Some((0..shards).map(|_| table::new_event()).collect::<io::Result<_>>()?)
            }
            false => None,
        };
        let handed = mem::take(&mut *handed.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Tables { events, handed })
    }

    /// For the thread of a shard, in their order.
    pub(super) fn seat(&mut self, id: usize) -> Seat {
        match &mut self.events {
            Some(events) => Seat::Private {
                event: events.pop().expect("one for each shard"),
                handed: if id == 0 { numbers(&self.handed) } else { Vec::new() },
            },
            None => Seat::Shared { handed: mem::take(&mut self.handed) },
        }
    }
}

#[cfg(unix)]
fn numbers(descriptors: &[Descriptor]) -> Vec<i32> {
    descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect()
}

#[cfg(not(unix))]
fn numbers(_: &[Descriptor]) -> Vec<i32> {
    Vec::new()
}

/// What a shard's thread begins with.
pub(super) enum Seat {
    Shared { handed: Vec<Descriptor> },
    Private { event: Descriptor, handed: Vec<i32> },
}

impl Seat {
    /// Makes the calling thread's shard, and its table before, if it is to have one.
    pub(super) fn take(self, id: usize, pool: Pool, bell: Arc<Bell>) -> io::Result<Shard> {
        match self {
            Seat::Shared { handed } => {
                let shard = Shard::new(id, pool, bell)?;
                shard.hand_over(handed);
                Ok(shard)
            }
            Seat::Private { event, handed } => {
                let number = numbers(std::slice::from_ref(&event))[0];
                // Closed in the process's table, wherever it is dropped.
                let notifier = Notifier::new(NotifierBell::Event(event));
                let handed = table::make_private(number, &handed)?;
                let reactor = Reactor::new()?;
                table::watch(&reactor, number)?;
                let shard = Shard::with(id, pool, bell, reactor, notifier);
                shard.hand_over(handed);
                Ok(shard)
            }
        }
    }
}

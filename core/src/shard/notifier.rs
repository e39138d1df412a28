//! What unblocks a shard that sleeps in the kernel, from a thread of whatever descriptor table.
//!
//! A notifier is a descriptor of the process's table. On a thread with a table of its own its number means
//! nothing, or somebody's connection. Such a thread leaves the ringing, and the closing of notifiers that it
//! is the last to hold, to the [`Relay`]: one thread of the process's table, which only does that. It rings
//! whatever shard there is, of other runtimes, too, and of those that were started later.
//!
//! What waits for the relay is a list of links: each notifier is in it at most once, so that a call can never
//! be refused.

#[cfg(test)]
use crate::sync::{AtomicUsize, Ordering};
use crate::{
    stderr::warn,
    sys::table::{self, Descriptor},
    task::{Link, LinkList},
};
use std::{
    io, mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, Thread},
};

pub(crate) enum Notifier {
    Kernel(Option<Arc<Link<Bell>>>),
    /// Only counts, where there is no kernel: under Miri and loom.
    #[cfg(test)]
    Count(AtomicUsize),
}

/// What rings.
pub(crate) enum Bell {
    Poll(mio::Waker),
    /// Of a shard with a table of its own: made before that, and so in the process's table.
    Event(Descriptor),
}

impl Notifier {
    pub(crate) fn new(bell: Bell) -> Self {
        Notifier::Kernel(Some(Link::new(bell)))
    }

    pub(super) fn wake(&self) -> io::Result<()> {
        match self {
            Notifier::Kernel(Some(bell)) if table::is_private() => {
                relay().call(bell);
                Ok(())
            }
            Notifier::Kernel(Some(bell)) => bell.value().ring(),
            Notifier::Kernel(None) => Ok(()),
            #[cfg(test)]
            Notifier::Count(count) => {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Notifier::Kernel(bell) = self
            && let Some(bell) = bell.take()
            && table::is_private()
        {
            relay().close(bell);
        }
    }
}

impl Bell {
    fn ring(&self) -> io::Result<()> {
        match self {
            Bell::Poll(waker) => waker.wake(),
            Bell::Event(event) => table::ring(event),
        }
    }
}

/// Rings for threads with tables of their own. Once there is one it stays, as such threads may.
pub(crate) struct Relay {
    called: LinkList<Bell>,
    /// To be closed. At most as many as there were shards.
    closing: Mutex<Vec<Arc<Link<Bell>>>>,
    thread: Thread,
}

static RELAY: OnceLock<Relay> = OnceLock::new();

/// Held by whoever is setting [`RELAY`].
static STARTING: Mutex<()> = Mutex::new(());

/// There is one before there is any table but the process's.
fn relay() -> &'static Relay {
    RELAY.wait()
}

impl Relay {
    /// Starts it on a thread with the caller's table, unless there is one.
    pub(crate) fn start() -> io::Result<()> {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if RELAY.get().is_some() {
            return Ok(());
        }
        let thread = thread::Builder::new().name("lakh-relay".to_owned()).spawn(|| relay().run())?;
        let relay =
            Relay { called: LinkList::new(), closing: Mutex::default(), thread: thread.thread().clone() };
        // The only one: see `STARTING`.
        let _ = RELAY.set(relay);
        Ok(())
    }

    fn call(&self, bell: &Arc<Link<Bell>>) {
        if self.called.push(bell) {
            self.thread.unpark();
        }
    }

    fn close(&self, bell: Arc<Link<Bell>>) {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).push(bell);
        self.thread.unpark();
    }

    fn run(&self) {
        loop {
            self.called.drain(|bell| {
                if let Err(error) = bell.ring() {
                    warn(format_args!("lakh: a shard could not be woken: {error}"));
                }
            });
            // Dropped without the lock.
            let closing = mem::take(&mut *self.closing.lock().unwrap_or_else(PoisonError::into_inner));
            drop(closing);
            thread::park();
        }
    }
}

//! Accepting when descriptors run out.
//!
//! The process keeps one descriptor in reserve. When accept(2) finds none left, the reserve is given up for a
//! moment, and what waits is accepted and closed with it, so that clients learn of it at once. Nobody else
//! should get its number in that moment: from the first failure until an accept succeeds, all listeners of
//! the process accept under one lock. Whoever opens files meanwhile can still take the number. Then nothing
//! can be shed, and the reserve comes first as soon as any number is free.
//!
//! All this is about a table of descriptors: a shard with one of its own has a reserve of its own.

use crate::table;
use socket2::Socket;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Connections closed in one go when descriptors run out.
const SHED_AT_ONCE: usize = 64;

/// What is known of a table.
struct Table {
    /// Whether accepts go through the lock. Only written under it; a listener that reads an old value makes one
    /// attempt without it.
    short: AtomicBool,
    reserve: Mutex<Reserve>,
}

impl Table {
    const fn new() -> Self {
        Table { short: AtomicBool::new(false), reserve: Mutex::new(Reserve(None)) }
    }
}

/// The process's.
static SHARED: Table = Table::new();

thread_local! {
    /// The one that this thread has to itself. The reserve is closed with the thread.
    static OWN: Table = const { Table::new() };
}

fn with_table<R>(f: impl FnOnce(&Table) -> R) -> R {
    if table::is_private() { OWN.with(f) } else { f(&SHARED) }
}

/// What an attempt to accept has come to.
pub(super) enum Attempt {
    Accepted(mio::net::TcpStream, SocketAddr),
    /// Descriptors or the kernel's memory have run out, and so many connections were closed.
    Short {
        shed: usize,
        cause: io::Error,
    },
    /// Any other error, `WouldBlock` among them.
    Failed(io::Error),
}

impl From<io::Result<(mio::net::TcpStream, SocketAddr)>> for Attempt {
    fn from(result: io::Result<(mio::net::TcpStream, SocketAddr)>) -> Self {
        match result {
            Ok((stream, peer)) => Attempt::Accepted(stream, peer),
            Err(error) => Attempt::Failed(error),
        }
    }
}

/// Accepts a connection; if nothing is left to do so with, sheds what waits.
pub(super) fn accept(listener: &mio::net::TcpListener) -> Attempt {
    with_table(|table| table.accept(listener))
}

/// Closes connections that wait; how many.
pub(super) fn shed(listener: &mio::net::TcpListener) -> usize {
    with_table(|table| table.lock().shed(listener).unwrap_or(0))
}

/// Sees to it that there is a reserve before it is needed.
pub(super) fn prepare() {
    with_table(|table| {
        let mut reserve = table.lock();
        if reserve.regain().is_err() {
            table.short.store(true, Relaxed);
        }
    });
}

impl Table {
    fn accept(&self, listener: &mio::net::TcpListener) -> Attempt {
        if !self.short.load(Relaxed) {
            match listener.accept() {
                Err(error) if is_exhausted(&error) => {}
                result => return result.into(),
            }
        }
        self.accept_in_turn(listener)
    }

    fn accept_in_turn(&self, listener: &mio::net::TcpListener) -> Attempt {
        let mut reserve = self.lock();
        self.short.store(true, Relaxed);
        if let Err(cause) = reserve.regain() {
            return Attempt::Short { shed: 0, cause };
        }
        match listener.accept() {
            // accept(2) looks for a descriptor first: it says so of an empty backlog, too.
            Err(cause) if is_exhausted(&cause) => match reserve.shed(listener) {
                Ok(shed) => Attempt::Short { shed, cause },
                Err(error) if is_exhausted(&error) => Attempt::Short { shed: 0, cause },
                Err(error) => Attempt::Failed(error),
            },
            result => {
                self.short.store(false, Relaxed);
                result.into()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reserve(Option<Socket>);

impl Reserve {
    /// An error if no descriptor is left for it.
    fn regain(&mut self) -> io::Result<()> {
        if self.0.is_none() {
            match new_reserve() {
                Ok(reserve) => self.0 = reserve,
                Err(error) if is_exhausted(&error) => return Err(error),
                // A system that allows no such socket: accepting goes on without a reserve.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// How many were closed, or why none.
    fn shed(&mut self, listener: &mio::net::TcpListener) -> io::Result<usize> {
        drop(self.0.take());
        let outcome = listener.accept().map(|first| {
            drop(first);
            1 + (1..SHED_AT_ONCE).take_while(|_| listener.accept().is_ok()).count()
        });
        // If somebody else was faster, the next attempt regains it.
        let _ = self.regain();
        outcome
    }
}

/// A socket that is connected to nothing; it needs no file system.
#[cfg(unix)]
fn new_reserve() -> io::Result<Option<Socket>> {
    Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None).map(Some)
}

#[cfg(not(unix))]
fn new_reserve() -> io::Result<Option<Socket>> {
    Ok(None)
}

/// Whether an error says that this process or the system has no descriptor or memory left: EMFILE, ENFILE, ENOBUFS or
/// ENOMEM in socket(2) and accept(2).
pub fn is_exhausted(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        const WSAEMFILE: i32 = 10024;
        const WSAENOBUFS: i32 = 10055;
        matches!(error.raw_os_error(), Some(WSAEMFILE | WSAENOBUFS))
    }
}

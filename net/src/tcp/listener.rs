//! Accepting TCP connections.

use super::{
    AcceptMetrics, ListenOptions, ListenerGroup, TcpStream,
    shortage::{self, Attempt},
};
use crate::{sys, table};
use lakh_core::{Direction, Registration, Shard, Sleep, poll_budget, sleep, warn};
use socket2::Type;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A connection that no shard has taken yet: it can be sent to another shard.
#[derive(Debug)]
pub struct Accepted(mio::net::TcpStream);

impl Accepted {
    /// Takes it over on the current shard.
    ///
    /// # Errors
    /// Those of [`Registration::ready`]. `Unsupported` on shards with descriptor tables of their own; it stays
    /// open then, and nobody's.
    pub fn register(self) -> io::Result<TcpStream> {
        if table::is_private() {
            // Dropped here, it would close what has its number in this table.
            mem::forget(self.0);
            return Err(table::refusal("a connection cannot come from another shard"));
        }
        TcpStream::register(self.0)
    }
}

/// A listening socket of the current shard.
///
/// When descriptors run out, it does not spin: with a descriptor that the process keeps in reserve it takes
/// and closes the connections that wait (so that clients learn of it at once), and pauses for a moment that
/// varies. It says so at most once in ten seconds in a process, and counts ([`AcceptMetrics`]).
///
/// Dropping it resets the connections that wait; [`TcpListener::close`] gives them.
#[derive(Debug)]
pub struct TcpListener {
    // Dropped first: the shard forgets the socket before its descriptor is closed and reused.
    registration: Registration,
    inner: mio::net::TcpListener,
    pause: RefCell<Option<Sleep>>,
    /// No connection in the backlog can be older. `None`: it was empty.
    waiting_since: Cell<Option<Instant>>,
    metrics: Arc<AcceptMetrics>,
}

/// After shedding. What has been closed is not worth a race against those who come next.
const PAUSE_MILLIS: u64 = 50;
/// When nothing could be shed: clients wait.
const SHORT_PAUSE_MILLIS: u64 = 5;
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Errors in a row that belong to single connections; then the listener pauses.
const ERRORS_AT_ONCE: usize = 64;

/// When this process last said that it cannot accept.
static SAID: Mutex<Option<Instant>> = Mutex::new(None);

impl TcpListener {
    /// Listens on `addr`, on this shard only; port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken, and the others of bind(2) and listen(2).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let group = ListenerGroup::bind(addr, &ListenOptions::default())?;
        Self::from_std(group.into_listeners(1)?.remove(0))
    }

    /// Takes over a listener of the standard library, as [`ListenerGroup`] makes them.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or registered, or was made in another descriptor table
    /// ([`ListenerGroup::for_runtime`]).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        let listener = table::check(listener, Type::STREAM)?;
        listener.set_nonblocking(true)?;
        let (registration, inner) = table::register(mio::net::TcpListener::from_std(listener))?;
        shortage::prepare();
        let (pause, waiting_since) = (RefCell::new(None), Cell::new(None));
        Ok(TcpListener { registration, inner, pause, waiting_since, metrics: Arc::default() })
    }

    pub(crate) fn inner(&self) -> &mio::net::TcpListener {
        &self.inner
    }

    /// The address it listens on, with the port that was taken.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Counts in `metrics` from here on; several listeners may share them.
    pub fn count_in(mut self, metrics: Arc<AcceptMetrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// The listener's counters, which other threads may keep and read.
    pub fn metrics(&self) -> &Arc<AcceptMetrics> {
        &self.metrics
    }

    /// How long the connection that was accepted last may have waited in the backlog, and no longer: since the
    /// backlog was last found empty. Zero once it has been found so again.
    pub fn backlog_age(&self) -> Duration {
        let now = lakh_core::with(Shard::now);
        self.waiting_since.get().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Changes how many connections the kernel lets wait, in the place of
    /// [`ListenOptions::backlog`]; those that do stay. For the others the kernel answers no SYN, so that
    /// clients try again, on Linux after a second. Elsewhere nothing changes. What goes wrong is
    /// counted ([`AcceptMetrics::errors`]).
    pub fn set_backlog(&self, connections: i32) {
        if let Err(error) = sys::set_backlog(&self.inner, connections) {
            self.note_error(&error);
        }
    }

    /// Takes no new connections (as far as the kernel knows a way) and gives those that wait in the
    /// backlog, which dropping the listener would reset.
    pub fn close(self) -> Backlog {
        self.set_backlog(0);
        Backlog { listener: self, left: BACKLOG_AT_MOST }
    }

    /// Waits for a connection. Cancel safe: a dropped future has taken none.
    ///
    /// # Errors
    /// Only those after which accepting cannot go on (the socket does not listen any more); those
    /// of single connections are counted, and a lack of descriptors is waited out.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Ready with a connection; see [`TcpListener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let (stream, peer) = ready!(self.poll_next(cx))?;
            match TcpStream::register(stream) {
                Ok(stream) => return Poll::Ready(Ok((stream, peer))),
                Err(error) => self.note_unregistered(&error),
            }
        }
    }

    /// Waits for a connection that may go to another shard. Cancel safe.
    ///
    /// # Errors
    /// As [`TcpListener::accept`]. `Unsupported` on shards with descriptor tables of their own, which no
    /// connection leaves.
    pub async fn accept_unregistered(&self) -> io::Result<(Accepted, SocketAddr)> {
        poll_fn(|cx| self.poll_accept_unregistered(cx)).await
    }

    /// Ready with a connection; see [`TcpListener::accept_unregistered`].
    pub fn poll_accept_unregistered(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Accepted, SocketAddr)>> {
        if table::is_private() {
            return Poll::Ready(Err(table::refusal("a connection cannot go to another shard")));
        }
        self.poll_next(cx).map_ok(|(stream, peer)| (Accepted(stream), peer))
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<io::Result<(mio::net::TcpStream, SocketAddr)>> {
        ready!(poll_budget(cx));
        loop {
            for _ in 0..ERRORS_AT_ONCE {
                ready!(self.poll_pause(cx));
                ready!(self.registration.poll_ready(Direction::Read, cx));
                match shortage::accept(&self.inner) {
                    Attempt::Accepted(stream, peer) => {
                        self.metrics.count_accepted();
                        self.note_waiting();
                        return Poll::Ready(Ok((stream, peer)));
                    }
                    Attempt::Short { shed, cause } => self.note_shortage(shed, &cause),
                    Attempt::Failed(error) if is_fatal(&error) => return Poll::Ready(Err(error)),
                    Attempt::Failed(error) => self.note_error(&error),
                }
            }
            self.pause_for(PAUSE_MILLIS);
        }
    }

    fn poll_pause(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Taken out: polling a timer may run a waker's own code.
        let Some(mut sleep) = self.pause.take() else { return Poll::Ready(()) };
        let poll = Pin::new(&mut sleep).poll(cx);
        if poll.is_pending() {
            self.pause.replace(Some(sleep));
        }
        poll
    }

    /// Whoever is accepted first has come since the loop last looked, or the listener would have been ready before.
    fn note_waiting(&self) {
        if self.waiting_since.get().is_none() {
            let looked = lakh_core::with(|shard| shard.now().checked_sub(shard.lag()));
            self.waiting_since.set(looked);
        }
    }

    /// epoll_ctl(2): no watch or no memory is left for a connection, which is closed.
    fn note_unregistered(&self, cause: &io::Error) {
        self.note_shortage(1 + shortage::shed(&self.inner), cause);
    }

    fn note_shortage(&self, shed: usize, cause: &io::Error) {
        self.metrics.count_shed(shed);
        if shed == 0 {
            self.metrics.count_starved();
        }
        if may_say(Instant::now()) {
            warn(format_args!(
                "lakh: cannot accept: {cause}; {} connections closed unanswered on this shard so far \
                 (if files have run out, raise the limit with ulimit -n)",
                self.metrics.shed()
            ));
        }
        self.pause_for(if shed == 0 { SHORT_PAUSE_MILLIS } else { PAUSE_MILLIS });
    }

    /// accept(2): errors of the connection that was waiting, or of the network, end nothing.
    fn note_error(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.waiting_since.set(None);
                self.registration.would_block(Direction::Read);
            }
            io::ErrorKind::Interrupted => {}
            _ => self.metrics.count_error(),
        }
    }

    /// At least so long, and less than twice: the shards of a process come back at different times.
    fn pause_for(&self, millis: u64) {
        let jitter = RandomState::new().hash_one(()) % millis;
        self.pause.replace(Some(sleep(Duration::from_millis(millis + jitter))));
    }
}

/// What is left to be accepted of a listener that [`TcpListener::close`] has ended. Dropping it resets the
/// rest.
#[derive(Debug)]
pub struct Backlog {
    listener: TcpListener,
    /// Attempts.
    left: usize,
}

/// A backlog may be as long as the system's administrator likes, and who connects while it is emptied may
/// still get in.
const BACKLOG_AT_MOST: usize = 65_536;

impl Backlog {
    /// The next connection, if one is there. Cancel safe.
    pub async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Ready with the next connection, or `None` if there are no more. Pending only to let other tasks
    /// run. Connections for which no descriptor is left are closed by the reserve, and counted as shed;
    /// without a reserve it ends, counted as starved, and what is left is reset with the socket.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        while self.left > 0 {
            ready!(poll_budget(cx));
            self.left -= 1;
            match self.attempt() {
                Ok(None) => {}
                Ok(connection) => return Poll::Ready(connection),
                Err(Ended) => self.left = 0,
            }
        }
        Poll::Ready(None)
    }

    fn attempt(&self) -> Result<Option<(TcpStream, SocketAddr)>, Ended> {
        let listener = &self.listener;
        match shortage::accept(&listener.inner) {
            Attempt::Accepted(stream, peer) => {
                listener.metrics.count_accepted();
                match TcpStream::register(stream) {
                    Ok(stream) => return Ok(Some((stream, peer))),
                    Err(error) => listener.note_unregistered(&error),
                }
            }
            Attempt::Short { shed, cause } => {
                listener.note_shortage(shed, &cause);
                if shed == 0 {
                    return Err(Ended);
                }
            }
            Attempt::Failed(error) => {
                listener.note_error(&error);
                if error.kind() == io::ErrorKind::WouldBlock || is_fatal(&error) {
                    return Err(Ended);
                }
            }
        }
        Ok(None)
    }
}

/// There is nothing more to accept, or no way to.
struct Ended;

fn may_say(now: Instant) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let may = said.is_none_or(|then| now.saturating_duration_since(then) >= SAY_AGAIN_AFTER);
    if may {
        *said = Some(now);
    }
    may
}

/// This socket will never accept: it does not listen, or is none.
fn is_fatal(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let fatal = [Errno::INVAL, Errno::BADF, Errno::NOTSOCK, Errno::FAULT];
        fatal.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        const WSAEINVAL: i32 = 10022;
        const WSAENOTSOCK: i32 = 10038;
        matches!(error.raw_os_error(), Some(WSAEINVAL | WSAENOTSOCK))
    }
}

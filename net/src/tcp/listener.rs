//! Accepting TCP connections.

use super::{
    TcpStream,
    stream::{set_keepalive, set_user_timeout},
};
use crate::sys::PORT_SHARING;
use lakh_core::{Direction, Registration, Sleep, poll_budget, sleep};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// How a TCP listener is made. What is set here on the listener, its connections inherit.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Connections that the kernel holds until they are accepted; it caps this at
    /// `net.core.somaxconn`.
    pub backlog: i32,
    /// Send small writes at once (TCP_NODELAY). On by default.
    pub nodelay: bool,
    /// Probe peers that have been silent this long. Off by default: HTTP has deadlines.
    pub keepalive: Option<Duration>,
    /// Give a connection up when sent data stays unacknowledged this long (Linux).
    pub user_timeout: Option<Duration>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { backlog: 4096, nodelay: true, keepalive: None, user_timeout: None }
    }
}

/// The listeners of one address, for several shards.
///
/// On Linux there is one for each shard, and the kernel spreads connections over them. The first
/// binds and listens plainly, so a port that anyone else uses is an error, and only then allows its
/// siblings to share it (`SO_REUSEPORT`, socket(7)). Elsewhere there is one listener; its shard
/// can hand connections on ([`TcpListener::accept_unregistered`]).
#[derive(Debug)]
pub struct ListenerGroup {
    first: Socket,
    addr: SocketAddr,
    options: ListenOptions,
}

impl ListenerGroup {
    /// Takes `addr` and listens; port 0 takes a free one. Connections wait in the backlog until the
    /// listeners are made and accept them.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken, and the others of bind(2) and listen(2).
    pub fn bind(addr: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let first = new_socket(addr, options)?;
        first.bind(&addr.into())?;
        // SO_REUSEADDR lets two sockets bind one port while neither listens: only listen(2) decides
        // whose it is, so nothing is shared before.
        first.listen(options.backlog)?;
        let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(ListenerGroup { first, addr, options: options.clone() })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// A listener for each of `shards` shards where the kernel can spread connections, else one;
    /// each is to be given to [`TcpListener::from_std`] on its own.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn into_listeners(self, shards: usize) -> io::Result<Vec<std::net::TcpListener>> {
        let mut sockets = vec![self.first];
        if PORT_SHARING && shards > 1 {
            share_port(&sockets[0])?;
            for _ in 1..shards {
                let sibling = new_socket(self.addr, &self.options)?;
                share_port(&sibling)?;
                sibling.bind(&self.addr.into())?;
                sibling.listen(self.options.backlog)?;
                sockets.push(sibling);
            }
        }
        Ok(sockets.into_iter().map(Into::into).collect())
    }
}

fn new_socket(addr: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // On Windows this would let another process take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    set_keepalive(SockRef::from(&socket), options.keepalive)?;
    if options.user_timeout.is_some() {
        set_user_timeout(SockRef::from(&socket), options.user_timeout)?;
    }
    Ok(socket)
}

pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_reuse_port(true);
    #[cfg(not(unix))]
    {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A connection that no shard has taken yet: it can be sent to another shard.
#[derive(Debug)]
pub struct Accepted(mio::net::TcpStream);

impl Accepted {
    /// Takes it over on the current shard.
    ///
    /// # Errors
    /// Those of [`Registration::ready`].
    pub fn register(self) -> io::Result<TcpStream> {
        TcpStream::register(self.0)
    }
}

/// A listening socket of the current shard.
///
/// When descriptors run out, it does not spin: it frees a descriptor kept in reserve, takes and
/// closes the connections that wait (so that clients learn of it at once), and pauses for a moment
/// that varies. It says so at most once in ten seconds in a process, and counts.
#[derive(Debug)]
pub struct TcpListener {
    // Dropped first: the shard forgets the socket before its descriptor is closed and reused.
    registration: Registration,
    inner: mio::net::TcpListener,
    reserve: RefCell<Option<File>>,
    pause: RefCell<Option<Sleep>>,
    metrics: Cell<AcceptMetrics>,
}

/// Counters of one listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptMetrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once because descriptors, or the kernel's memory, had run out.
    pub shed: u64,
    /// Connections that were gone before they were accepted, and other errors of accept(2) that
    /// accepting survives.
    pub errors: u64,
}

/// Connections closed at once when descriptors run out; then the listener pauses.
const SHED_AT_ONCE: usize = 64;
const PAUSE_MILLIS: u64 = 50;
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
    /// If it cannot be made non-blocking or registered.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut inner = mio::net::TcpListener::from_std(listener);
        Ok(TcpListener {
            registration: Registration::ready(&mut inner)?,
            inner,
            reserve: RefCell::new(reserve_descriptor()),
            pause: RefCell::new(None),
            metrics: Cell::new(AcceptMetrics::default()),
        })
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

    /// The listener's counters.
    pub fn metrics(&self) -> AcceptMetrics {
        self.metrics.get()
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
            let (accepted, peer) = ready!(self.poll_accept_unregistered(cx))?;
            match accepted.register() {
                Ok(stream) => return Poll::Ready(Ok((stream, peer))),
                // epoll_ctl(2): no watch or no memory is left for it.
                Err(error) => {
                    self.count(|m| m.shed += 1);
                    self.shed(&error);
                }
            }
        }
    }

    /// Waits for a connection that may go to another shard. Cancel safe.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept_unregistered(&self) -> io::Result<(Accepted, SocketAddr)> {
        poll_fn(|cx| self.poll_accept_unregistered(cx)).await
    }

    /// Ready with a connection; see [`TcpListener::accept_unregistered`].
    pub fn poll_accept_unregistered(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Accepted, SocketAddr)>> {
        ready!(poll_budget(cx));
        loop {
            for _ in 0..ERRORS_AT_ONCE {
                ready!(self.poll_pause(cx));
                ready!(self.registration.poll_ready(Direction::Read, cx));
                match self.inner.accept() {
                    Ok((stream, peer)) => {
                        self.count(|m| m.accepted += 1);
                        return Poll::Ready(Ok((Accepted(stream), peer)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.registration.would_block(Direction::Read);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if is_exhausted(&error) => self.shed(&error),
                    Err(error) if is_fatal(&error) => return Poll::Ready(Err(error)),
                    // accept(2): errors of the connection that was waiting, or of the network.
                    Err(_) => self.count(|m| m.errors += 1),
                }
            }
            self.pause_a_moment();
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

    /// No descriptor is left: closes what waits, then pauses.
    fn shed(&self, cause: &io::Error) {
        let mut shed = 0;
        drop(self.reserve.take());
        while shed < SHED_AT_ONCE && self.inner.accept().is_ok() {
            shed += 1;
        }
        self.reserve.replace(reserve_descriptor());
        self.count(|m| m.shed += shed as u64);
        if may_say(Instant::now()) {
            // A log that nobody reads any more must not end the listener.
            let _ = writeln!(
                io::stderr(),
                "lakh: cannot accept: {cause}; {} connections closed unanswered by this listener so far \
                 (if files have run out, raise the limit with ulimit -n)",
                self.metrics().shed
            );
        }
        self.pause_a_moment();
    }

    /// The shards of a process come back at different times.
    fn pause_a_moment(&self) {
        let jitter = RandomState::new().hash_one(()) % PAUSE_MILLIS;
        self.pause.replace(Some(sleep(Duration::from_millis(PAUSE_MILLIS + jitter))));
    }

    fn count(&self, change: impl FnOnce(&mut AcceptMetrics)) {
        let mut metrics = self.metrics.get();
        change(&mut metrics);
        self.metrics.set(metrics);
    }
}

fn may_say(now: Instant) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let may = said.is_none_or(|then| now.saturating_duration_since(then) >= SAY_AGAIN_AFTER);
    if may {
        *said = Some(now);
    }
    may
}

#[cfg(unix)]
fn reserve_descriptor() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(not(unix))]
fn reserve_descriptor() -> Option<File> {
    None
}

/// This process or the system has no descriptor or memory left.
fn is_exhausted(error: &io::Error) -> bool {
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

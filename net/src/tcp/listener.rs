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
    io,
    net::SocketAddr,
    pin::Pin,
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
/// binds plainly, so a port that anyone else uses is an error, and only then allows its siblings
/// to share it (`SO_REUSEPORT`, socket(7)). Elsewhere there is one listener; its shard hands
/// connections on ([`TcpListener::accept_unregistered`]).
#[derive(Debug)]
pub struct ListenerGroup {
    first: Socket,
    addr: SocketAddr,
    options: ListenOptions,
}

impl ListenerGroup {
    /// Takes `addr`, without listening yet; port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken, and the others of bind(2).
    pub fn bind(addr: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let first = new_socket(addr, options)?;
        first.bind(&addr.into())?;
        let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(ListenerGroup { first, addr, options: options.clone() })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens, with a listener for each of `shards` shards where the kernel can spread
    /// connections; each is to be given to [`TcpListener::from_std`] on its own.
    ///
    /// # Errors
    /// Those of listen(2), and of bind(2) for the siblings.
    pub fn listen(self, shards: usize) -> io::Result<Vec<std::net::TcpListener>> {
        let mut sockets = vec![self.first];
        if PORT_SHARING && shards > 1 {
            share_port(&sockets[0])?;
            for _ in 1..shards {
                let sibling = new_socket(self.addr, &self.options)?;
                share_port(&sibling)?;
                sibling.bind(&self.addr.into())?;
                sockets.push(sibling);
            }
        }
        for socket in &sockets {
            socket.listen(self.options.backlog)?;
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
/// that varies. It says so at most once in ten seconds, and counts.
#[derive(Debug)]
pub struct TcpListener {
    registration: Registration,
    inner: mio::net::TcpListener,
    reserve: RefCell<Option<File>>,
    pause: RefCell<Option<Pin<Box<Sleep>>>>,
    said: Cell<Option<Instant>>,
    metrics: Cell<AcceptMetrics>,
}

/// Counters of one listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptMetrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once because descriptors had run out.
    pub shed: u64,
    /// Connections that were gone before they were accepted, and other errors of accept(2).
    pub errors: u64,
}

/// Connections closed at once when descriptors run out; then the listener pauses.
const SHED_AT_ONCE: usize = 64;
const PAUSE_MILLIS: u64 = 50;
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Errors in a row that belong to single connections.
const ERRORS_AT_ONCE: usize = 64;

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
        Self::from_std(group.listen(1)?.remove(0))
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
            said: Cell::new(None),
            metrics: Cell::new(AcceptMetrics::default()),
        })
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
    /// Only those after which accepting cannot go on; those of single connections are counted, and
    /// a lack of descriptors is waited out.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Ready with a connection; see [`TcpListener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let (accepted, peer) = ready!(self.poll_accept_unregistered(cx))?;
            match accepted.register() {
                Ok(stream) => return Poll::Ready(Ok((stream, peer))),
                Err(_) => self.count(|m| m.errors += 1),
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
                Err(error) if is_exhausted(&error) => self.shed(&error),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Poll::Ready(Err(error));
                }
                // accept(2): errors of the connection that was waiting, or of the network.
                Err(_) => self.count(|m| m.errors += 1),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_pause(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pause = self.pause.borrow_mut();
        if let Some(sleep) = &mut *pause {
            ready!(sleep.as_mut().poll(cx));
            *pause = None;
        }
        Poll::Ready(())
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
        let now = Instant::now();
        if self.said.get().is_none_or(|then| now - then >= SAY_AGAIN_AFTER) {
            self.said.set(Some(now));
            eprintln!(
                "lakh: cannot accept: {cause}; {} connections closed unanswered so far \
                 (raise the limit with ulimit -n)",
                self.metrics().shed
            );
        }
        // The shards of a process come back at different times.
        let jitter = u64::from(now.elapsed().subsec_nanos()) + shed as u64 * 7;
        let millis = PAUSE_MILLIS + jitter % PAUSE_MILLIS;
        self.pause.replace(Some(Box::pin(sleep(Duration::from_millis(millis)))));
    }

    fn count(&self, change: impl FnOnce(&mut AcceptMetrics)) {
        let mut metrics = self.metrics.get();
        change(&mut metrics);
        self.metrics.set(metrics);
    }
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

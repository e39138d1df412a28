//! Making the listeners of an address.

use super::{
    keepalive::{Keepalive, set_keepalive},
    stream::{set_notsent_lowat, set_user_timeout},
};
use crate::sys::PORT_SHARING;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{io, net::SocketAddr, time::Duration};

/// How a TCP listener is made. What is set here on the listener, its connections inherit.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Connections that the kernel holds until they are accepted; it caps this at
    /// `net.core.somaxconn`.
    pub backlog: i32,
    /// Send small writes at once (TCP_NODELAY). On by default.
    pub nodelay: bool,
    /// Probe peers that are silent, so that those that are gone without a word are found out. Off by
    /// default.
    pub keepalive: Option<Keepalive>,
    /// Give a connection up when sent data stays unacknowledged this long (Linux).
    pub user_timeout: Option<Duration>,
    /// Bytes that the kernel holds unsent for a connection before it takes no more (TCP_NOTSENT_LOWAT in
    /// tcp(7); Linux): with many slow readers this is less memory in the kernel, and what is written late
    /// can be fresh. What is sent and not yet acknowledged does not count. Off by default: less is handed
    /// over at a time, so whoever sends long files pays more system calls.
    pub notsent_lowat: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            backlog: 4096,
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            notsent_lowat: None,
        }
    }
}

/// The listeners of one address, for several shards.
///
/// On Linux there is one for each shard, and the kernel spreads connections over them. The first
/// binds and listens plainly, so a port that anyone else uses is an error, and only then allows its
/// siblings to share it (`SO_REUSEPORT`, socket(7)). Elsewhere there is one listener; its shard
/// can hand connections on ([`accept_unregistered`](super::TcpListener::accept_unregistered)).
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
    /// each is to be given to [`TcpListener::from_std`](super::TcpListener::from_std) on its own.
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
    if let Some(bytes) = options.notsent_lowat {
        set_notsent_lowat(SockRef::from(&socket), bytes)?;
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

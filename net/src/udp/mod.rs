//! UDP sockets.

mod multicast;
mod options;

use crate::{sys::PORT_SHARING, table, tcp::share_port};
use lakh_core::{Direction, Registration};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

/// A UDP socket of the current shard.
///
/// Sending and receiving take `&self`; two tasks that wait for the same direction replace each
/// other: only the last is woken.
///
/// ```
/// use lakh_net::UdpSocket;
///
/// # lakh_core::block_on(async {
/// let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// a.send_to(b"ping", b.local_addr()?).await?;
/// let mut buf = [0; 16];
/// let (n, from) = b.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..n], from), (&b"ping"[..], a.local_addr()?));
/// # std::io::Result::Ok(())
/// # })??;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    // Dropped first: the shard forgets the socket before its descriptor is closed and reused.
    registration: Registration,
    inner: mio::net::UdpSocket,
}

/// How a UDP socket is bound.
///
/// ```
/// use lakh_net::{UdpOptions, UdpSocket};
///
/// # lakh_core::block_on(async {
/// let options = UdpOptions { reuse_address: true, ..UdpOptions::default() };
/// let a = UdpSocket::bind_with("0.0.0.0:0".parse().unwrap(), &options)?;
/// let b = UdpSocket::bind_with(a.local_addr()?, &options)?;
/// # let _ = b;
/// # std::io::Result::Ok(())
/// # })??;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct UdpOptions {
    /// Lets other sockets of this host that ask for it, too, bind the same address, for multicast: each of
    /// them gets every datagram of a group that it joins, and the last one bound gets the others
    /// (SO_REUSEADDR in socket(7); SO_REUSEPORT on BSD and macOS). Off by default.
    pub reuse_address: bool,
    /// Lets other processes of this user that ask for it, too, bind the same address, and the kernel
    /// spreads peers over all of the sockets (SO_REUSEPORT in socket(7); `Unsupported` on Windows). Off by
    /// default; [`bind_udp_group`] shares a port within this process without it.
    pub reuse_port: bool,
    /// Whether a socket on `[::]` leaves IPv4 alone (IPV6_V6ONLY in ipv6(7)). On by default.
    pub only_v6: bool,
    /// As [`UdpSocket::set_recv_buffer_size`]; the system's default if `None`.
    pub recv_buffer_size: Option<usize>,
    /// As [`UdpSocket::set_send_buffer_size`]; the system's default if `None`.
    pub send_buffer_size: Option<usize>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions {
            reuse_address: false,
            reuse_port: false,
            only_v6: true,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }
}

/// Makes the sockets of one address for `shards` shards, each to be given to
/// [`UdpSocket::from_std`] on its own. On Linux there is one for each shard and the kernel spreads
/// peers over them by a hash of both addresses; elsewhere there is one. Multicast datagrams go to every
/// socket that has joined their group.
///
/// Not for shards with descriptor tables of their own: there each makes its socket itself, by
/// [`UdpSocket::bind_with`] and [`UdpOptions::reuse_port`].
///
/// # Errors
/// `AddrInUse` if the port is taken, and the others of bind(2) and setsockopt(2).
pub fn bind_udp_group(
    addr: SocketAddr,
    shards: usize,
    options: &UdpOptions,
) -> io::Result<Vec<std::net::UdpSocket>> {
    let first = new_socket(addr, options)?;
    first.bind(&addr.into())?;
    let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    let mut sockets = vec![first];
    if PORT_SHARING && shards > 1 {
        share_port(&sockets[0])?;
        for _ in 1..shards {
            let socket = new_socket(addr, options)?;
            share_port(&socket)?;
            socket.bind(&addr.into())?;
            sockets.push(socket);
        }
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

fn new_socket(addr: SocketAddr, options: &UdpOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(options.only_v6)?;
    }
    if options.reuse_address {
        reuse_address(&socket)?;
    }
    if options.reuse_port {
        share_port(&socket)?;
    }
    if let Some(bytes) = options.recv_buffer_size {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_size {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(socket)
}

/// BSD systems let sockets share a multicast port by SO_REUSEPORT only.
fn reuse_address(socket: &Socket) -> io::Result<()> {
    #[cfg(all(unix, not(target_os = "linux")))]
    return socket.set_reuse_port(true);
    #[cfg(not(all(unix, not(target_os = "linux"))))]
    socket.set_reuse_address(true)
}

impl UdpSocket {
    /// Binds a socket to `addr` on this shard only; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of bind(2).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_with(addr, &UdpOptions::default())
    }

    /// As [`UdpSocket::bind`], with options.
    ///
    /// # Errors
    /// Those of bind(2) and setsockopt(2).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn bind_with(addr: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let socket = new_socket(addr, options)?;
        socket.bind(&addr.into())?;
        Self::from_std(socket.into())
    }

    /// Takes over a socket of the standard library, as [`bind_udp_group`] makes them.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or registered, or was made in another descriptor table.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = table::check(socket, Type::DGRAM)?;
        socket.set_nonblocking(true)?;
        let (registration, inner) = table::register(mio::net::UdpSocket::from_std(socket))?;
        Ok(UdpSocket { registration, inner })
    }

    pub(crate) fn inner(&self) -> &mio::net::UdpSocket {
        &self.inner
    }

    /// Fixes the peer: only its datagrams are received, and [`UdpSocket::send`] goes to it. Errors
    /// that the peer's host reports (port unreachable) then reach `send` and `recv`.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.inner.connect(peer)
    }

    /// Waits for a datagram; a longer one than `buf` is cut. Cancel safe.
    ///
    /// # Errors
    /// Those of recvfrom(2); on Windows also of a datagram that was cut.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_recv_from(cx, buf)).await
    }

    /// Ready with a datagram and its sender.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.registration.poll_io(Direction::Read, cx, || self.inner.recv_from(buf))
    }

    /// Sends a datagram to `peer`. Cancel safe.
    ///
    /// # Errors
    /// Those of sendto(2): too long, unreachable, not permitted.
    pub async fn send_to(&self, buf: &[u8], peer: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_to(cx, buf, peer)).await
    }

    /// Ready once the datagram is sent.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        peer: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Write, cx, || self.inner.send_to(buf, peer))
    }

    /// Ready with a datagram of the connected peer.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Read, cx, || self.inner.recv(buf))
    }

    /// Ready once the datagram is sent to the connected peer.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Write, cx, || self.inner.send(buf))
    }

    /// Waits for a datagram of the connected peer. Cancel safe.
    ///
    /// # Errors
    /// Those of recv(2); `ConnectionRefused` if the peer's host has reported the port unreachable.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Sends a datagram to the connected peer. Cancel safe.
    ///
    /// # Errors
    /// Those of send(2); `NotConnected` without a peer.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, buf)).await
    }

    /// Waits for a datagram and leaves it in the queue. Cancel safe.
    ///
    /// # Errors
    /// Those of recvfrom(2).
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.registration.poll_io(Direction::Read, cx, || self.inner.peek_from(buf))).await
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The peer that [`UdpSocket::connect`] has fixed.
    ///
    /// # Errors
    /// `NotConnected` without a peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
}

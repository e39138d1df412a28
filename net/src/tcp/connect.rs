//! Connecting to one address.

use super::TcpStream;
use crate::sys;
use lakh_core::Direction;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

impl TcpStream {
    /// Connects to `addr`; [`connect_any`](crate::connect_any()) to the first of several. Bound it with
    /// [`lakh_core::timeout`]: the kernel's own limit is minutes.
    ///
    /// Cancel safe: dropping the future closes the socket.
    ///
    /// # Errors
    /// Those of connect(2): refused, unreachable, no descriptor or port left.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = Self::begin_connect(addr, None)?;
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// As [`TcpStream::connect`], from an address and port of this machine.
    ///
    /// With port 0 the kernel chooses one when it knows the peer (`IP_BIND_ADDRESS_NO_PORT` in ip(7)), so that
    /// each peer's address has all of them; another port may be in use for other peers already (`SO_REUSEADDR`
    /// in socket(7)).
    ///
    /// Cancel safe: dropping the future closes the socket.
    ///
    /// # Errors
    /// Those of bind(2) and connect(2): `AddrNotAvailable` for an address of another machine, or when no port
    /// is left.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn connect_from(local: SocketAddr, addr: SocketAddr) -> io::Result<Self> {
        let stream = Self::begin_connect(addr, Some(local))?;
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// Begins to connect to `addr`, from `local` if that is given; [`TcpStream::poll_connected`] tells the
    /// outcome. For futures that are written by hand.
    ///
    /// # Errors
    /// As [`TcpStream::connect_from`], as far as they are known at once.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn begin_connect(addr: SocketAddr, local: Option<SocketAddr>) -> io::Result<Self> {
        match local {
            Some(local) => Self::connecting(connect_from(local, addr)?),
            None => Self::connecting(mio::net::TcpStream::connect(addr)?),
        }
    }

    /// Ready once the connection stands or has failed; the task is woken then.
    ///
    /// # Errors
    /// Those of connect(2).
    ///
    /// # Panics
    /// Elsewhere than on the stream's own shard.
    pub fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // connect(2): writable without an error and with a peer means connected.
        self.registration().poll_io(Direction::Write, cx, || {
            // Through mio, so that it asks the kernel anew where events come once only.
            self.inner().try_io(|| match self.inner().take_error()? {
                Some(error) => Err(error),
                None => self.inner().peer_addr().map(drop).map_err(still_connecting),
            })
        })
    }
}

fn connect_from(local: SocketAddr, addr: SocketAddr) -> io::Result<mio::net::TcpStream> {
    let kind = Type::STREAM;
    #[cfg(target_os = "linux")]
    let kind = kind.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    #[cfg(not(target_os = "linux"))]
    socket.set_nonblocking(true)?;
    // One port may lead to several destinations, if all who have it agree, and one that was just closed does not hold it.
    // On Windows the option would let the port be taken away.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if local.port() == 0 {
        sys::take_port_late(&socket)?;
    }
    socket.bind(&local.into())?;
    match socket.connect(&addr.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(mio::net::TcpStream::from_std(socket.into())),
    }
}

/// connect(2): what a non-blocking socket says of an attempt that has begun.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

/// What getpeername(2) says while a connection is being made counts as "would block".
fn still_connecting(error: io::Error) -> io::Error {
    if is_under_way(&error) || error.kind() == io::ErrorKind::NotConnected {
        return io::ErrorKind::WouldBlock.into();
    }
    error
}

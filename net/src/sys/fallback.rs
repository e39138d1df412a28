use crate::TcpStream;
use std::{
    fs::File,
    io::{self, Read, Write},
    net::Ipv6Addr,
    task::{Context, Poll},
};

/// One listener takes all connections of a port.
pub const PORT_SHARING: bool = false;

/// As [`TcpStream::try_write`].
///
/// # Errors
/// As [`TcpStream::try_write`].
pub fn send_with_more_to_come(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_write(bytes)
}

/// Not available here.
///
/// # Errors
/// Always of kind `Unsupported`.
pub fn send_file(_: &TcpStream, _: &File, _: u64, _: usize, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
    Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
}

/// Reads from a socket.
pub(crate) fn recv(mut socket: &mio::net::TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    socket.read(buf)
}

/// Writes to a socket.
pub(crate) fn send(mut socket: &mio::net::TcpStream, buf: &[u8]) -> io::Result<usize> {
    socket.write(buf)
}

/// What a second listen(2) does differs: the backlog stays as it is.
pub(crate) fn set_backlog(_: &mio::net::TcpListener, _: i32) -> io::Result<()> {
    Ok(())
}

/// Not available here.
pub(crate) fn set_source_membership_v6(
    _: &mio::net::UdpSocket,
    _: &Ipv6Addr,
    _: &Ipv6Addr,
    _: u32,
    _: bool,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is no such thing: bind(2) takes a port.
pub(crate) fn take_port_late(_: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

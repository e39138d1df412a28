//! A TCP connection.

use super::keepalive::{Keepalive, set_keepalive};
use crate::{sys, table};
use futures_io::{AsyncRead, AsyncWrite};
use lakh_core::{Direction, Registration, poll_budget};
use socket2::{SockRef, Type};
use std::{
    future::poll_fn,
    io::{self, IoSlice, Write},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Buffers that the kernel takes in one call (`IOV_MAX` in writev(2)); the standard library passes
/// no more on, whatever it is given.
const MAX_BUFS: usize = if cfg!(unix) { 1024 } else { usize::MAX };

/// A TCP connection of the current shard, in twelve bytes.
///
/// Reading and writing take `&self`: one task may read while another writes. Two tasks that wait
/// for the same direction replace each other: only the last is woken.
#[derive(Debug)]
pub struct TcpStream {
    // Dropped first: the shard forgets the socket before its descriptor is closed and reused.
    registration: Registration,
    inner: mio::net::TcpStream,
}

impl TcpStream {
    /// Takes over a connected stream of the standard library.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or registered, or was made in another descriptor table.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let stream = table::check(stream, Type::STREAM)?;
        stream.set_nonblocking(true)?;
        Self::register(mio::net::TcpStream::from_std(stream))
    }

    pub(crate) fn register(inner: mio::net::TcpStream) -> io::Result<Self> {
        let (registration, inner) = table::register(inner)?;
        Ok(TcpStream { registration, inner })
    }

    /// One whose connection is being made.
    pub(super) fn connecting(mut inner: mio::net::TcpStream) -> io::Result<Self> {
        let registration = Registration::socket(&mut inner, false)?;
        Ok(TcpStream { registration, inner })
    }

    pub(crate) fn inner(&self) -> &mio::net::TcpStream {
        &self.inner
    }

    /// The stream's readiness, for operations of one's own.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Reads what is there, without waiting: 0 bytes mean that the peer has finished sending.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; those of recv(2).
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        let n = self.attempt(Direction::Read, || sys::recv(&self.inner, buf))?;
        if n > 0 && n < room {
            self.registration.drained();
        }
        Ok(n)
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing; those of send(2).
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.note_write(buf.len(), || sys::send(&self.inner, buf))
    }

    /// As [`TcpStream::try_write`], from several buffers in one system call.
    ///
    /// # Errors
    /// As [`TcpStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = bufs.iter().take(MAX_BUFS).map(|buf| buf.len()).sum();
        self.note_write(len, || (&self.inner).write_vectored(bufs))
    }

    /// A short write means that the kernel's buffer is full: an event comes when it is not. `len`
    /// is what the kernel was given.
    #[inline]
    pub(crate) fn note_write(
        &self,
        len: usize,
        write: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let n = self.attempt(Direction::Write, write)?;
        if n < len && !cfg!(any(windows, mio_unsupported_force_poll_poll)) {
            self.registration.would_block(Direction::Write);
        }
        Ok(n)
    }

    /// Tries once, and again if a signal came between; notes what would block.
    #[inline]
    fn attempt(
        &self,
        direction: Direction,
        mut operation: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.would_block(direction);
                    return Err(error);
                }
                result => return result,
            }
        }
    }

    /// Ready with [`TcpStream::try_read`]'s result once something can be read.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_ready(Direction::Read, cx));
            ready!(poll_budget(cx));
            match self.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready with [`TcpStream::try_write`]'s result once something can be written.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, || self.try_write(buf))
    }

    /// Ready with [`TcpStream::try_write_vectored`]'s result once something can be written.
    pub fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, || self.try_write_vectored(bufs))
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_ready(Direction::Write, cx));
            ready!(poll_budget(cx));
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready once reading may succeed; the task is woken then.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.poll_ready(Direction::Read, cx)
    }

    /// Ready once writing may succeed; the task is woken then.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.poll_ready(Direction::Write, cx)
    }

    /// Ready once the connection is dead in both directions: reset by the peer, failed, or closed on both
    /// sides. A peer that has only finished sending does not count. The task is woken then, in the place
    /// of one that waits for writing. Where mio polls with poll(2) it may stay pending.
    ///
    /// # Panics
    /// Elsewhere than on the stream's own shard.
    pub fn poll_hangup(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.poll_hangup(cx)
    }

    /// Reads once something is there; 0 bytes mean that the peer has finished sending.
    ///
    /// Cancel safe: a dropped future has read nothing.
    ///
    /// # Errors
    /// Those of recv(2).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Writes once the kernel takes something, as much as it takes.
    ///
    /// Cancel safe: a dropped future has written nothing.
    ///
    /// # Errors
    /// Those of send(2).
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, buf)).await
    }

    /// As [`TcpStream::write`], from several buffers in one system call. Cancel safe.
    ///
    /// # Errors
    /// Those of send(2).
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_vectored(cx, bufs)).await
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel safe: a dropped future may have written a part, and does not say how much.
    ///
    /// # Errors
    /// Those of send(2); `WriteZero` if the kernel takes nothing.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Ends one or both directions: shutdown(2). After `Shutdown::Write` the peer reads the end of
    /// the stream, while this side can go on reading.
    ///
    /// # Errors
    /// `NotConnected` if the peer has reset the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// What finds [`TcpStream::peer_addr`] later, without the stream.
    #[inline]
    pub fn peer_handle(&self) -> sys::PeerHandle {
        sys::PeerHandle::new(self)
    }

    /// This side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Sends small writes at once instead of waiting for more (TCP_NODELAY in tcp(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.inner.set_nodelay(on)
    }

    /// Asks the kernel to probe a silent peer (SO_KEEPALIVE in socket(7)); `None` turns it off.
    ///
    /// # Errors
    /// Those of setsockopt(2): `InvalidInput` if a time or number is too large.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        set_keepalive(SockRef::from(&self.inner), keepalive)
    }

    /// How long sent data may stay unacknowledged before the kernel gives the connection up
    /// (TCP_USER_TIMEOUT in tcp(7)); `None` is the kernel's default. Linux only; elsewhere nothing
    /// happens.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_user_timeout(SockRef::from(&self.inner), timeout)
    }

    /// Bytes that were written and that the peer has not acknowledged (SIOCOUTQ in tcp(7)). What it
    /// has is progress that no event tells of: a socket whose buffer was full counts as writable only
    /// when a third of it is free.
    ///
    /// # Errors
    /// `Unsupported` elsewhere than on Linux.
    pub fn send_queue(&self) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        return Ok(sys::send_queue(&self.inner)?);
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How long ago the kernel got the newest bytes of the peer, read or not; if there have been none, how long
    /// ago the connection was made. In the kernel's ticks of 1 to 10 ms. A system call (TCP_INFO in tcp(7)).
    ///
    /// # Errors
    /// Those of getsockopt(2); `Unsupported` where the system does not tell.
    pub fn since_received(&self) -> io::Result<Duration> {
        #[cfg(target_os = "linux")]
        return sys::since_received(&self.inner);
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How long close(2) tries to send what is left; zero resets the connection (SO_LINGER in
    /// socket(7)). More than zero makes dropping the stream block its whole shard, although the
    /// socket is non-blocking: a server uses zero or `None`.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(&self.inner).set_linger(linger)
    }
}

pub(super) fn set_user_timeout(socket: SockRef<'_>, timeout: Option<Duration>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket.set_tcp_user_timeout(timeout);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (socket, timeout);
        Ok(())
    }
}

pub(super) fn set_notsent_lowat(socket: SockRef<'_>, bytes: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket.set_tcp_notsent_lowat(bytes);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (socket, bytes);
        Ok(())
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_read(&self, cx, buf)
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_write(&self, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_write_vectored(&self, cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_read(&self, cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_write(&self, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_write_vectored(&self, cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

//! The peer's address of a stream that may be gone by the time somebody asks.
#![allow(unsafe_code)]

use crate::TcpStream;
#[cfg(unix)]
use lakh_core::SourceId;
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::{io, net::SocketAddr};

/// Finds a stream's peer when it is asked to, for as long as the stream is open: most who might want the
/// address never ask, and the kernel's answer costs a system call.
///
/// It keeps nothing of the stream alive, and belongs to the stream's shard.
#[derive(Clone, Copy, Debug)]
pub struct PeerHandle {
    #[cfg(unix)]
    source: SourceId,
    #[cfg(unix)]
    descriptor: RawFd,
    #[cfg(not(unix))]
    addr: Option<SocketAddr>,
}

impl PeerHandle {
    #[cfg(unix)]
    pub(crate) fn new(stream: &TcpStream) -> Self {
        PeerHandle { source: stream.registration().id(), descriptor: stream.inner().as_raw_fd() }
    }

    #[cfg(not(unix))]
    pub(crate) fn new(stream: &TcpStream) -> Self {
        PeerHandle { addr: stream.peer_addr().ok() }
    }

    /// The address at the other end: getpeername(2).
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    #[cfg(unix)]
    pub fn addr(&self) -> io::Result<SocketAddr> {
        if !self.source.is_registered() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // SAFETY: a stream gives up its registration before it closes its descriptor, both on this thread
        // (an id is not `Send`), so the descriptor is open and the stream's as long as the id is registered.
        let socket = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        let addr = rustix::net::getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?;
        SocketAddr::try_from(addr).map_err(|_| io::ErrorKind::NotConnected.into())
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// `NotConnected` if it was gone when this was made.
    #[cfg(not(unix))]
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.addr.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

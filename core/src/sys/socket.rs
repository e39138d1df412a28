//! What a descriptor is, told by the kernel when somebody asks.
#![allow(unsafe_code)]

use mio::event::Source;
use socket2::{SockAddr, SockRef, Type};
use std::{net::SocketAddr, path::PathBuf};

/// A descriptor's number; on Windows a socket's.
#[cfg(unix)]
pub type RawDescriptor = std::os::fd::RawFd;
/// A descriptor's number; on Windows a socket's.
#[cfg(windows)]
pub type RawDescriptor = std::os::windows::io::RawSocket;

/// An event source that can tell its descriptor. Implemented for all that can.
pub trait Socket: Source {
    /// Its number.
    fn raw_descriptor(&self) -> RawDescriptor;
}

#[cfg(unix)]
impl<S: Source + std::os::fd::AsRawFd + ?Sized> Socket for S {
    fn raw_descriptor(&self) -> RawDescriptor {
        self.as_raw_fd()
    }
}

#[cfg(windows)]
impl<S: Source + std::os::windows::io::AsRawSocket + ?Sized> Socket for S {
    fn raw_descriptor(&self) -> RawDescriptor {
        self.as_raw_socket()
    }
}

/// The descriptor of a registered source, or none, in the room of its number.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor(RawDescriptor);

impl Descriptor {
    /// No number of the system's.
    pub(crate) const UNKNOWN: Descriptor = Descriptor(!0);

    pub(crate) fn of(socket: &(impl Socket + ?Sized)) -> Self {
        Descriptor(socket.raw_descriptor())
    }

    #[cfg(unix)]
    pub(crate) fn numbered(number: RawDescriptor) -> Self {
        Descriptor(number)
    }

    pub(crate) fn get(self) -> Option<RawDescriptor> {
        (self.0 != Self::UNKNOWN.0).then_some(self.0)
    }
}

/// What kind of thing a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "not every system says as much"))]
pub(crate) enum DescriptorKind {
    TcpListener,
    TcpStream,
    Udp,
    UnixListener,
    UnixStream,
    UnixDatagram,
    Pipe,
    Terminal,
    Process,
    FileWatch,
    Timer,
    Event,
    /// None of these, or the system does not say.
    Other,
}

/// A descriptor as the kernel tells of it.
#[derive(Debug)]
pub(crate) struct SocketFacts {
    pub(crate) kind: DescriptorKind,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// Of a Unix socket: its own path, or its peer's.
    pub(crate) path: Option<PathBuf>,
}

/// Asks the kernel: getsockname(2), getpeername(2), and `SO_TYPE` and `SO_ACCEPTCONN` of socket(7); of what is no
/// socket, fstat(2) and the name in `/proc`. On the thread of a registered source: until the shard has forgotten it,
/// the number is its.
pub(crate) fn facts(descriptor: RawDescriptor) -> SocketFacts {
    // SAFETY: a source gives up its registration before it closes its descriptor, both on this thread, so the number
    // is open. Of one that breaks the rule the kernel says that it is closed, or tells of another: nothing is done to
    // it but to ask.
    #[cfg(unix)]
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    // SAFETY: as above.
    #[cfg(windows)]
    let borrowed = unsafe { std::os::windows::io::BorrowedSocket::borrow_raw(descriptor) };
    let socket = SockRef::from(&borrowed);
    let (local, peer) = (socket.local_addr().ok(), socket.peer_addr().ok());
    let type_of_it = socket.r#type().ok();
    let (is_stream, is_datagram) = (type_of_it == Some(Type::STREAM), type_of_it == Some(Type::DGRAM));
    let is_ip = local.as_ref().is_some_and(|addr| addr.is_ipv4() || addr.is_ipv6());
    let is_unix = local.as_ref().is_some_and(SockAddr::is_unix);
    let listens = is_listener(&socket, peer.is_some());
    let kind = match (is_ip, is_unix) {
        (true, _) if is_stream && listens => DescriptorKind::TcpListener,
        (true, _) if is_stream => DescriptorKind::TcpStream,
        (true, _) if is_datagram => DescriptorKind::Udp,
        (_, true) if is_stream && listens => DescriptorKind::UnixListener,
        (_, true) if is_stream => DescriptorKind::UnixStream,
        (_, true) if is_datagram => DescriptorKind::UnixDatagram,
        _ if type_of_it.is_some() => DescriptorKind::Other,
        _ => kind_of_no_socket(borrowed),
    };
    SocketFacts {
        kind,
        path: path(local.as_ref()).or_else(|| path(peer.as_ref())),
        local: local.and_then(|addr| addr.as_socket()),
        peer: peer.and_then(|addr| addr.as_socket()),
    }
}

#[cfg(unix)]
fn kind_of_no_socket(descriptor: std::os::fd::BorrowedFd<'_>) -> DescriptorKind {
    use rustix::fs::{FileType, fstat};

    match fstat(descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo) => DescriptorKind::Pipe,
        Ok(FileType::CharacterDevice) if rustix::termios::isatty(descriptor) => DescriptorKind::Terminal,
        Ok(_) => kind_by_name(descriptor),
        Err(_) => DescriptorKind::Other,
    }
}

/// What has no file has a name that says what it is: proc_pid_fd(5).
#[cfg(target_os = "linux")]
fn kind_by_name(descriptor: std::os::fd::BorrowedFd<'_>) -> DescriptorKind {
    use std::os::fd::AsRawFd;

    let link = std::fs::read_link(format!("/proc/thread-self/fd/{}", descriptor.as_raw_fd()));
    match link.ok().as_deref().and_then(|name| name.to_str()?.strip_prefix("anon_inode:")) {
        Some("[pidfd]") => DescriptorKind::Process,
        Some("inotify" | "[fanotify]") => DescriptorKind::FileWatch,
        Some("[timerfd]") => DescriptorKind::Timer,
        Some("[eventfd]") => DescriptorKind::Event,
        _ => DescriptorKind::Other,
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn kind_by_name(_: std::os::fd::BorrowedFd<'_>) -> DescriptorKind {
    DescriptorKind::Other
}

#[cfg(not(unix))]
fn kind_of_no_socket(_: std::os::windows::io::BorrowedSocket<'_>) -> DescriptorKind {
    DescriptorKind::Other
}

#[cfg(unix)]
fn path(addr: Option<&SockAddr>) -> Option<PathBuf> {
    addr?.as_pathname().map(PathBuf::from)
}

#[cfg(not(unix))]
fn path(_: Option<&SockAddr>) -> Option<PathBuf> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_listener(socket: &SockRef<'_>, _: bool) -> bool {
    socket.is_listener().unwrap_or(false)
}

/// A guess where the kernel does not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_listener(_: &SockRef<'_>, has_peer: bool) -> bool {
    !has_peer
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[cfg(unix)]
    fn of(socket: &impl std::os::fd::AsRawFd) -> SocketFacts {
        facts(socket.as_raw_fd())
    }

    #[cfg(unix)]
    #[test]
    fn the_kernel_tells_what_a_descriptor_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (found, listened) = (of(&stream), of(&listener));
        assert_eq!((found.kind, found.local), (DescriptorKind::TcpStream, stream.local_addr().ok()));
        assert_eq!(found.peer, listener.local_addr().ok());
        assert_eq!((listened.local, listened.peer), (listener.local_addr().ok(), None));
        #[cfg(target_os = "linux")]
        assert_eq!(listened.kind, DescriptorKind::TcpListener);
        assert_eq!(of(&UdpSocket::bind("127.0.0.1:0").unwrap()).kind, DescriptorKind::Udp);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!((of(&stream).kind, of(&stream).path), (DescriptorKind::UnixStream, Some(path.clone())));
        assert_eq!(of(&listener).path, Some(path));
        assert_eq!(of(&std::fs::File::open("/dev/null").unwrap()).kind, DescriptorKind::Other);
    }
}

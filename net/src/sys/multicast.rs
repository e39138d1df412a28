//! Source-specific IPv6 groups, for which socket2 has nothing.
#![allow(unsafe_code)]

use socket2::SockAddr;
use std::{
    io,
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd},
};

/// Joins or leaves `group` for datagrams of `source` on the interface with this index
/// (MCAST_JOIN_SOURCE_GROUP in RFC 3678, 5.1.2).
pub(crate) fn set_source_membership_v6(
    socket: impl AsFd,
    group: &Ipv6Addr,
    source: &Ipv6Addr,
    interface: u32,
    join: bool,
) -> io::Result<()> {
    let request = libc::group_source_req {
        gsr_interface: interface,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    let option = if join { libc::MCAST_JOIN_SOURCE_GROUP } else { libc::MCAST_LEAVE_SOURCE_GROUP };
    let len = size_of_val(&request) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `len` bytes of a
    // `group_source_req`, which is what these options take (RFC 3678, 5.1.2).
    let result = unsafe {
        let request = (&raw const request).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_IPV6, option, request, len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn storage(ip: &Ipv6Addr) -> libc::sockaddr_storage {
    let mut storage = SockAddr::from(SocketAddrV6::new(*ip, 0, 0, 0)).as_storage();
    // SAFETY: a `SockAddrStorage` is a `sockaddr_storage` (`SockAddrStorage::view_as`).
    unsafe { *storage.view_as::<libc::sockaddr_storage>() }
}

//! Source ports, for which socket2 has nothing.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Leaves the port out of bind(2), so that connect(2) takes one that is free for the destination
/// (IP_BIND_ADDRESS_NO_PORT in ip(7), for IPv6 as well).
pub(crate) fn take_port_late(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `len` bytes of an `int`, which is what this
    // option takes (ip(7)).
    let result = unsafe {
        let (level, option) = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    #[test]
    fn binding_takes_no_port_yet() {
        let own = [(Domain::IPV4, Ipv4Addr::LOCALHOST.into()), (Domain::IPV6, Ipv6Addr::LOCALHOST.into())];
        for (domain, ip) in own {
            let Ok(socket) = Socket::new(domain, Type::STREAM, None) else { continue };
            take_port_late(&socket).unwrap();
            if socket.bind(&SocketAddr::new(ip, 0).into()).is_ok() {
                assert_eq!(socket.local_addr().unwrap().as_socket().unwrap(), SocketAddr::new(ip, 0));
            }
        }
    }
}

//! A local address whose port the kernel chooses late, for which socket2 and rustix have nothing.
#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Has bind(2) with port 0 leave the port to connect(2), which knows the peer: IP_BIND_ADDRESS_NO_PORT in ip(7). It
/// holds for IPv6 sockets, too.
pub(crate) fn set_bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    let on: c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `len` bytes of an `int`, which is what
    // this option takes (ip(7)).
    let result = unsafe {
        let on = (&raw const on).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, on, len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    #[test]
    fn a_bound_address_has_no_port_before_it_is_connected() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        set_bind_address_no_port(&socket).unwrap();
        let local: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
        socket.bind(&local.into()).unwrap();
        let port = || socket.local_addr().unwrap().as_socket().unwrap().port();
        assert_eq!(port(), 0);
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        assert_ne!(port(), 0);
    }
}

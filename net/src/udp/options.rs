//! Options of a socket that is bound.

use super::UdpSocket;
use socket2::SockRef;
use std::io;

impl UdpSocket {
    /// Allows sending to broadcast addresses (SO_BROADCAST in socket(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_broadcast(on)
    }

    /// What [`UdpSocket::set_broadcast`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        SockRef::from(&self.inner).broadcast()
    }

    /// How many routers an IPv4 datagram to one host may pass, plus one; 1 to 255 (IP_TTL in ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        SockRef::from(&self.inner).set_ttl_v4(ttl)
    }

    /// What [`UdpSocket::set_ttl_v4`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn ttl_v4(&self) -> io::Result<u32> {
        SockRef::from(&self.inner).ttl_v4()
    }

    /// How many routers an IPv6 datagram to one host may pass, plus one; up to 255 (IPV6_UNICAST_HOPS in
    /// ipv6(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_unicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        SockRef::from(&self.inner).set_unicast_hops_v6(hops)
    }

    /// What [`UdpSocket::set_unicast_hops_v6`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn unicast_hops_v6(&self) -> io::Result<u32> {
        SockRef::from(&self.inner).unicast_hops_v6()
    }

    /// Bytes of datagrams that the kernel holds until they are received (SO_RCVBUF in socket(7)); Linux caps it
    /// at `net.core.rmem_max`.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.inner).set_recv_buffer_size(bytes)
    }

    /// What the kernel has made of [`UdpSocket::set_recv_buffer_size`]: Linux doubles it, for what it keeps beside
    /// the datagrams.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        SockRef::from(&self.inner).recv_buffer_size()
    }

    /// Bytes of datagrams that the kernel holds until they are sent (SO_SNDBUF in socket(7)); Linux caps it at
    /// `net.core.wmem_max`.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.inner).set_send_buffer_size(bytes)
    }

    /// What the kernel has made of [`UdpSocket::set_send_buffer_size`]: Linux doubles it, for what it keeps beside
    /// the datagrams.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        SockRef::from(&self.inner).send_buffer_size()
    }
}

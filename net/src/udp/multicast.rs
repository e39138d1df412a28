//! Multicast groups.

use super::UdpSocket;
use crate::sys;
use socket2::SockRef;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Multicast. An IPv4 interface is named by its address, and the unspecified one lets the kernel choose; an
/// IPv6 interface by its index, and 0 lets the kernel choose.
///
/// On Linux a socket that is bound to the unspecified address also gets datagrams of IPv4 groups that other
/// sockets of the host have joined (IP_MULTICAST_ALL in ip(7)): bind to the group's address to get no others.
impl UdpSocket {
    /// Joins an IPv4 group (IP_ADD_MEMBERSHIP in ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.join_multicast_v4(group, interface)
    }

    /// Leaves an IPv4 group.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.leave_multicast_v4(group, interface)
    }

    /// Joins an IPv6 group (IPV6_ADD_MEMBERSHIP in ipv6(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.join_multicast_v6(group, interface)
    }

    /// Leaves an IPv6 group.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.leave_multicast_v6(group, interface)
    }

    /// Joins an IPv4 group for the datagrams of one source (IP_ADD_SOURCE_MEMBERSHIP in ip(7)); may be called
    /// for several.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_source_specific_v4(
        &self,
        group: &Ipv4Addr,
        source: &Ipv4Addr,
        interface: &Ipv4Addr,
    ) -> io::Result<()> {
        SockRef::from(&self.inner).join_ssm_v4(source, group, interface)
    }

    /// Leaves an IPv4 group for one source.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_source_specific_v4(
        &self,
        group: &Ipv4Addr,
        source: &Ipv4Addr,
        interface: &Ipv4Addr,
    ) -> io::Result<()> {
        SockRef::from(&self.inner).leave_ssm_v4(source, group, interface)
    }

    /// Joins an IPv6 group for the datagrams of one source (MCAST_JOIN_SOURCE_GROUP in RFC 3678, 5.1.2); may be
    /// called for several.
    ///
    /// # Errors
    /// Those of setsockopt(2); `Unsupported` elsewhere than on Linux.
    pub fn join_source_specific_v6(
        &self,
        group: &Ipv6Addr,
        source: &Ipv6Addr,
        interface: u32,
    ) -> io::Result<()> {
        sys::set_source_membership_v6(&self.inner, group, source, interface, true)
    }

    /// Leaves an IPv6 group for one source.
    ///
    /// # Errors
    /// Those of setsockopt(2); `Unsupported` elsewhere than on Linux.
    pub fn leave_source_specific_v6(
        &self,
        group: &Ipv6Addr,
        source: &Ipv6Addr,
        interface: u32,
    ) -> io::Result<()> {
        sys::set_source_membership_v6(&self.inner, group, source, interface, false)
    }

    /// The interface that IPv4 multicast datagrams are sent from (IP_MULTICAST_IF in ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_if_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_if_v4(interface)
    }

    /// What [`UdpSocket::set_multicast_if_v4`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_if_v4(&self) -> io::Result<Ipv4Addr> {
        SockRef::from(&self.inner).multicast_if_v4()
    }

    /// The interface that IPv6 multicast datagrams are sent from (IPV6_MULTICAST_IF in ipv6(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_if_v6(interface)
    }

    /// What [`UdpSocket::set_multicast_if_v6`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_if_v6(&self) -> io::Result<u32> {
        SockRef::from(&self.inner).multicast_if_v6()
    }

    /// Whether this host gets this socket's own IPv4 multicast datagrams, too (IP_MULTICAST_LOOP in ip(7)). On
    /// Windows the receiver's option counts.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_loop_v4(on)
    }

    /// What [`UdpSocket::set_multicast_loop_v4`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        SockRef::from(&self.inner).multicast_loop_v4()
    }

    /// Whether this host gets this socket's own IPv6 multicast datagrams, too (IPV6_MULTICAST_LOOP in ipv6(7)).
    /// On Windows the receiver's option counts.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_loop_v6(on)
    }

    /// What [`UdpSocket::set_multicast_loop_v6`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        SockRef::from(&self.inner).multicast_loop_v6()
    }

    /// How many routers an IPv4 multicast datagram may pass, plus one: 1 stays in the local network, 0 on this
    /// host (IP_MULTICAST_TTL in ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_ttl_v4(ttl)
    }

    /// What [`UdpSocket::set_multicast_ttl_v4`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        SockRef::from(&self.inner).multicast_ttl_v4()
    }

    /// How many routers an IPv6 multicast datagram may pass, plus one: 1 stays in the local network, 0 on this
    /// host (IPV6_MULTICAST_HOPS in ipv6(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_hops_v6(hops)
    }

    /// What [`UdpSocket::set_multicast_hops_v6`] has set, or the system's default.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        SockRef::from(&self.inner).multicast_hops_v6()
    }
}

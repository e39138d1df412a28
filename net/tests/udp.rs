//! Datagrams.

mod common;

use common::*;
use lakh_core::{Runtime, Shard, current, spawn, timeout, yield_now};
use lakh_net::{UdpOptions, UdpSocket, sys::PORT_SHARING};
use socket2::SockRef;
use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Mutex,
    task::Poll,
    time::Duration,
};

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

const LOOPBACK_INTERFACE: u32 = 1;

/// `None`, and a line that says so, where there is no IPv6.
fn bound_v6() -> Option<UdpSocket> {
    let socket = UdpSocket::bind("[::]:0".parse().unwrap());
    socket.inspect_err(|error| println!("skipped: no IPv6 here: {error}")).ok()
}

#[test]
fn datagrams_keep_their_edges_and_their_order() {
    on_shard(async {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        let lengths = [0, 1, 1200, 1472, 9000, 60_000];
        for len in lengths {
            assert_eq!(a.send_to(&pattern(len, len as u64), b_addr).await.unwrap(), len);
        }
        let mut buf = vec![0; 65_536];
        for len in lengths {
            assert_eq!(b.recv_from(&mut buf).await.unwrap(), (len, a_addr));
            assert!(buf[..len] == pattern(len, len as u64));
        }
    });
}

#[test]
fn a_waiting_receiver_is_woken_each_time() {
    on_shard(async {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        let echo = spawn(async move {
            let mut buf = [0; 16];
            for _ in 0..300 {
                let (n, from) = b.recv_from(&mut buf).await.unwrap();
                b.send_to(&buf[..n], from).await.unwrap();
            }
        });
        for i in 0..300_u32 {
            a.send_to(&i.to_le_bytes(), b_addr).await.unwrap();
            let mut buf = [0; 16];
            let (n, from) = a.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..n], from), (&i.to_le_bytes()[..], b_addr));
        }
        echo.await.unwrap();
        assert_ne!(a_addr, b_addr);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    on_shard(async {
        let ((a, a_addr), (b, b_addr), (c, _)) = (bound(), bound(), bound());
        assert_eq!(b.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
        assert!(b.send(b"to whom").await.is_err());
        b.connect(a_addr).unwrap();
        assert_eq!(b.peer_addr().unwrap(), a_addr);
        c.send_to(b"stranger", b_addr).await.unwrap();
        a.send_to(b"peer", b_addr).await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(b.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"peer");
        assert_eq!(b.send(b"answer").await.unwrap(), 6);
        assert_eq!(a.recv_from(&mut buf).await.unwrap(), (6, b_addr));
    });
}

#[cfg(unix)]
#[test]
fn a_datagram_longer_than_the_buffer_is_cut_and_its_rest_is_gone() {
    on_shard(async {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        a.send_to(b"0123456789", b_addr).await.unwrap();
        a.send_to(b"next", b_addr).await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(b.peek_from(&mut buf).await.unwrap(), (4, a_addr));
        assert_eq!((b.recv_from(&mut buf).await.unwrap(), &buf), ((4, a_addr), b"0123"));
        assert_eq!((b.recv_from(&mut buf).await.unwrap(), &buf), ((4, a_addr), b"next"));
    });
}

#[test]
fn a_datagram_longer_than_any_is_an_error() {
    on_shard(async {
        let ((a, _), (_b, b_addr)) = (bound(), bound());
        assert!(a.send_to(&[0; 65_536], b_addr).await.is_err());
        a.send_to(b"fine", b_addr).await.expect("and no more than that");
    });
}

#[test]
fn a_dropped_receive_has_taken_nothing() {
    on_shard(async {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        let mut buf = [0; 8];
        let mut receive = Box::pin(b.recv_from(&mut buf));
        poll_fn(|cx| {
            assert!(receive.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        a.send_to(b"kept", b_addr).await.unwrap();
        drop(receive);
        assert_eq!(b.recv_from(&mut buf).await.unwrap(), (4, a_addr));
    });
}

/// A port that is taken, but hears one far peer only: datagrams of others are refused.
#[cfg(target_os = "linux")]
#[test]
fn a_refusing_peer_is_an_error_of_a_connected_socket_and_passes() {
    on_shard(async {
        let ((deaf, deaf_addr), (_far, far_addr), (a, a_addr)) = (bound(), bound(), bound());
        deaf.connect(far_addr).unwrap();
        a.connect(deaf_addr).unwrap();
        let mut buf = [0; 8];
        for _ in 0..3 {
            a.send(b"anyone?").await.unwrap();
            assert_eq!(a.recv(&mut buf).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        deaf.connect(a_addr).unwrap();
        deaf.send(b"yes").await.unwrap();
        assert_eq!(a.recv(&mut buf).await.unwrap(), 3);
    });
}

#[test]
fn a_multicast_datagram_reaches_those_who_joined() {
    on_shard(async {
        let group = Ipv4Addr::new(239, 255, 77, 1);
        let receiver = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = receiver.local_addr().unwrap().port();
        if let Err(error) = receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
            return println!("skipped: the kernel joins no group on the loopback interface: {error}");
        }
        let (sender, addr) = bound();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        sender.set_multicast_ttl_v4(0).unwrap();
        let to = SocketAddr::new(group.into(), port);
        let mut buf = [0; 8];
        sender.send_to(b"all", to).await.unwrap();
        assert_eq!(receiver.recv_from(&mut buf).await.unwrap(), (3, addr));

        receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        sender.send_to(b"nobody", to).await.unwrap();
        sender.send_to(b"you", SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).await.unwrap();
        assert_eq!(receiver.recv_from(&mut buf).await.unwrap(), (3, addr));
        assert_eq!(&buf[..3], b"you");
    });
}

/// Datagrams are not sent: no loopback interface of Linux has a route for IPv6 multicast.
#[test]
fn ipv6_groups_are_joined_and_left_once() {
    on_shard(async {
        let Some(socket) = bound_v6() else { return };
        assert!(SockRef::from(&socket).only_v6().unwrap());
        let group: Ipv6Addr = "ff01::4c41:4b48".parse().unwrap();
        if let Err(error) = socket.join_multicast_v6(&group, LOOPBACK_INTERFACE) {
            return println!("skipped: the kernel joins no group: {error}");
        }
        socket.leave_multicast_v6(&group, LOOPBACK_INTERFACE).unwrap();
        socket.leave_multicast_v6(&group, LOOPBACK_INTERFACE).expect_err("it has left already");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn source_specific_ipv6_groups_are_joined_and_left_for_each_source() {
    on_shard(async {
        let Some(socket) = bound_v6() else { return };
        let group: Ipv6Addr = "ff31::4c41:4b48".parse().unwrap();
        let [one, two] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap());
        socket.join_source_specific_v6(&group, &one, LOOPBACK_INTERFACE).unwrap();
        socket.leave_source_specific_v6(&group, &two, LOOPBACK_INTERFACE).expect_err("it never joined");
        socket.leave_source_specific_v6(&group, &one, LOOPBACK_INTERFACE).unwrap();
        socket.leave_source_specific_v6(&group, &one, LOOPBACK_INTERFACE).expect_err("it has left already");
    });
}

#[test]
fn a_source_specific_group_gives_datagrams_of_its_source_only() {
    on_shard(async {
        let group = Ipv4Addr::new(232, 255, 77, 2);
        let [wanted, other] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
        let receiver = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        if let Err(error) = receiver.join_source_specific_v4(&group, &wanted, &Ipv4Addr::LOCALHOST) {
            return println!("skipped: the kernel joins no group on the loopback interface: {error}");
        }
        let to = SocketAddr::new(group.into(), receiver.local_addr().unwrap().port());
        let mut buf = [0; 8];
        for _ in 0..2 {
            for (source, datagram) in [(other, b"other"), (wanted, b"hello")] {
                let sender = UdpSocket::bind(SocketAddr::new(source.into(), 0)).unwrap();
                sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
                sender.send_to(datagram, to).await.unwrap();
            }
            let (n, from) = receiver.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..n], from.ip()), (&b"hello"[..], wanted.into()));
        }
        receiver.leave_source_specific_v4(&group, &wanted, &Ipv4Addr::LOCALHOST).unwrap();
        receiver.leave_source_specific_v4(&group, &wanted, &Ipv4Addr::LOCALHOST).expect_err("it has left");
    });
}

#[test]
fn sockets_that_reuse_an_address_all_get_the_groups_datagrams() {
    on_shard(async {
        let group = Ipv4Addr::new(239, 255, 77, 3);
        let options = UdpOptions { reuse_address: true, ..UdpOptions::default() };
        let first = UdpSocket::bind_with("0.0.0.0:0".parse().unwrap(), &options).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(in_use(UdpSocket::bind(addr)), "both have to ask for it");
        let second = UdpSocket::bind_with(addr, &options).unwrap();
        for socket in [&first, &second] {
            if let Err(error) = socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
                return println!("skipped: the kernel joins no group on the loopback interface: {error}");
            }
        }
        let (sender, from) = bound();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.send_to(b"all", SocketAddr::new(group.into(), addr.port())).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(first.recv_from(&mut buf).await.unwrap(), (3, from));
        assert_eq!(second.recv_from(&mut buf).await.unwrap(), (3, from));
    });
}

#[cfg(unix)]
#[test]
fn a_port_is_shared_with_those_who_ask_for_it_too() {
    on_shard(async {
        let options = UdpOptions { reuse_port: true, ..UdpOptions::default() };
        let first = UdpSocket::bind_with(loopback(), &options).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(in_use(UdpSocket::bind(addr)));
        UdpSocket::bind_with(addr, &options).unwrap();
    });
}

#[test]
fn a_socket_takes_ipv4_as_well_if_it_is_told_to() {
    on_shard(async {
        if bound_v6().is_none() {
            return;
        }
        let options = UdpOptions { only_v6: false, ..UdpOptions::default() };
        let both = UdpSocket::bind_with("[::]:0".parse().unwrap(), &options).unwrap();
        let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), both.local_addr().unwrap().port());
        let (sender, from) = bound();
        sender.send_to(b"v4", to).await.unwrap();
        let (n, peer) = both.recv_from(&mut [0; 8]).await.unwrap();
        assert_eq!((n, peer.ip().to_canonical(), peer.port()), (2, from.ip(), from.port()));
    });
}

#[test]
fn options_of_a_socket_can_be_read_back() {
    on_shard(async {
        let (socket, _) = bound();
        for on in [false, true] {
            socket.set_multicast_loop_v4(on).unwrap();
            socket.set_broadcast(on).unwrap();
            assert_eq!((socket.multicast_loop_v4().unwrap(), socket.broadcast().unwrap()), (on, on));
        }
        socket.set_multicast_ttl_v4(3).unwrap();
        socket.set_ttl_v4(44).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((socket.multicast_ttl_v4().unwrap(), socket.ttl_v4().unwrap()), (3, 44));
        assert_eq!(socket.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
        socket.set_multicast_ttl_v4(256).unwrap_err();
        #[cfg(target_os = "linux")]
        socket.set_ttl_v4(0).unwrap_err();
    });
}

#[test]
fn options_of_an_ipv6_socket_can_be_read_back() {
    on_shard(async {
        let Some(socket) = bound_v6() else { return };
        for on in [false, true] {
            socket.set_multicast_loop_v6(on).unwrap();
            assert_eq!(socket.multicast_loop_v6().unwrap(), on);
        }
        socket.set_multicast_hops_v6(3).unwrap();
        socket.set_unicast_hops_v6(44).unwrap();
        socket.set_multicast_if_v6(LOOPBACK_INTERFACE).unwrap();
        assert_eq!((socket.multicast_hops_v6().unwrap(), socket.unicast_hops_v6().unwrap()), (3, 44));
        assert_eq!(socket.multicast_if_v6().unwrap(), LOOPBACK_INTERFACE);
        socket.set_multicast_hops_v6(256).unwrap_err();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn sending_to_everyone_has_to_be_allowed() {
    on_shard(async {
        let (socket, _) = bound();
        let everyone = "127.255.255.255:9".parse().unwrap();
        let error = socket.send_to(b"hello", everyone).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        socket.set_broadcast(true).unwrap();
        assert!(SockRef::from(&socket).broadcast().unwrap());
        socket.send_to(b"hello", everyone).await.unwrap();
    });
}

#[test]
fn the_kernels_buffers_can_be_set() {
    const SIZE: usize = 32 * 1024;
    on_shard(async {
        let options = UdpOptions {
            recv_buffer_size: Some(2 * SIZE),
            send_buffer_size: Some(2 * SIZE),
            ..UdpOptions::default()
        };
        let socket = UdpSocket::bind_with(loopback(), &options).unwrap();
        let (recv, send) = (socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap());
        assert!(recv >= 2 * SIZE && send >= 2 * SIZE);
        socket.set_recv_buffer_size(SIZE).unwrap();
        socket.set_send_buffer_size(SIZE).unwrap();
        assert!((SIZE..recv).contains(&socket.recv_buffer_size().unwrap()));
        assert!((SIZE..send).contains(&socket.send_buffer_size().unwrap()));
    });
}

/// The peer sends itself a datagram for each one it receives: there is always one more.
#[test]
fn a_flood_of_datagrams_lets_other_tasks_run() {
    on_shard(async {
        let (flooded, addr) = bound();
        let flood = spawn(async move {
            flooded.send_to(b"again", addr).await.unwrap();
            let mut buf = [0; 8];
            while !current().is_draining() {
                flooded.recv_from(&mut buf).await.unwrap();
                flooded.send_to(b"again", addr).await.unwrap();
            }
        });
        let ((a, _), (b, b_addr)) = (bound(), bound());
        for _ in 0..50 {
            a.send_to(b"x", b_addr).await.unwrap();
            b.recv_from(&mut [0; 8]).await.unwrap();
            yield_now().await;
        }
        assert!(!flood.is_finished());
    });
}

fn group(addr: SocketAddr, shards: usize) -> io::Result<Vec<std::net::UdpSocket>> {
    lakh_net::bind_udp_group(addr, shards, &UdpOptions::default())
}

fn in_use<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[test]
fn a_port_belongs_to_one_group() {
    for shards in [1, 3] {
        let sockets = group(loopback(), shards).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == addr));
        assert!(in_use(group(addr, 1)));
        assert!(in_use(group(addr, 2)));
        assert!(in_use(std::net::UdpSocket::bind(addr)));
        drop(sockets);
        group(addr, shards).expect("nobody has the port any more");
    }
}

async fn tell_number(socket: UdpSocket, id: usize) {
    loop {
        let (_, from) = socket.recv_from(&mut [0; 8]).await.unwrap();
        socket.send_to(&[id as u8], from).await.unwrap();
    }
}

#[test]
fn each_peer_of_a_group_stays_with_one_shard_and_every_shard_has_some() {
    if !PORT_SHARING {
        return println!("skipped: here a group is one socket");
    }
    const SHARDS: usize = 2;
    let sockets = group(loopback(), SHARDS).unwrap();
    let addr = sockets[0].local_addr().unwrap();
    let sockets = Mutex::new(sockets);
    let start = move |shard: &Shard| {
        let socket = sockets.lock().unwrap().pop().expect("one for each shard");
        shard.spawn_detached(tell_number(UdpSocket::from_std(socket)?, shard.id()));
        Ok(())
    };
    let runtime = Runtime::builder().shards(SHARDS).start(start).unwrap();
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let peer = std::net::UdpSocket::bind(loopback()).unwrap();
        peer.set_read_timeout(Some(HANG)).unwrap();
        let mut answers = HashSet::new();
        for _ in 0..5 {
            let mut id = [0];
            peer.send_to(b"?", addr).unwrap();
            peer.recv(&mut id).unwrap();
            answers.insert(id[0]);
        }
        assert_eq!(answers.len(), 1, "one peer, one shard");
        seen.extend(answers);
        if seen.len() == SHARDS {
            break;
        }
    }
    assert_eq!(seen.len(), SHARDS);
    runtime.stop();
    assert!(runtime.join(HANG));
    group(addr, SHARDS).expect("the shards have closed their sockets");
}

#[test]
fn a_receiver_waits_without_a_datagram() {
    on_shard(async {
        let (socket, _) = bound();
        assert!(timeout(Duration::from_millis(1), socket.recv_from(&mut [0; 8])).await.is_err());
    });
}

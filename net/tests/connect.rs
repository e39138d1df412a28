//! Connecting, and the options of a connection.

mod common;

use common::*;
use lakh_core::{Direction, timeout};
use lakh_net::{Keepalive, ListenOptions, ListenerGroup, TcpListener, TcpStream};
use socket2::{Domain, SockRef, Socket, Type};
use std::{io, net::SocketAddr, time::Duration};

/// Shorter than any answer of the kernel, which tries again after a second.
const SHORT: Duration = Duration::from_millis(50);

/// A port that is taken, and refuses connections.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// The number of registered sources, as of the last turn.
async fn sources() -> u64 {
    lakh_core::yield_now().await;
    lakh_core::yield_now().await;
    lakh_core::current().handle().metrics().sources()
}

#[test]
fn both_ends_know_each_other() {
    on_shard(async {
        let (a, b) = pair().await;
        assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
        assert_eq!(b.peer_addr().unwrap(), a.local_addr().unwrap());
    });
}

#[test]
fn ipv6_connects_and_leaves_the_port_to_ipv4() {
    on_shard(async {
        let Ok(v6) = TcpListener::bind("[::]:0".parse().unwrap()) else {
            return println!("skipped: no IPv6 here");
        };
        assert!(SockRef::from(&v6).only_v6().unwrap());
        let port = v6.local_addr().unwrap().port();
        let Ok(stream) = TcpStream::connect(SocketAddr::new("::1".parse().unwrap(), port)).await else {
            return println!("skipped: no ::1 here");
        };
        assert_eq!(v6.accept().await.unwrap().1, stream.local_addr().unwrap());
        let v4 = TcpStream::connect(SocketAddr::new("127.0.0.1".parse().unwrap(), port)).await;
        // Somebody else may listen there, but not this socket.
        if let Ok(v4) = v4 {
            let us = v4.local_addr().unwrap();
            let accepted = timeout(SHORT, v6.accept()).await;
            assert!(!accepted.is_ok_and(|accepted| accepted.unwrap().1.port() == us.port()));
        }
    });
}

#[test]
fn a_closed_port_refuses_and_leaves_nothing_behind() {
    on_shard(async {
        let (_socket, addr) = closed_port();
        let before = sources().await;
        for _ in 0..10 {
            let error = TcpStream::connect(addr).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
        assert_eq!(sources().await, before);
    });
}

/// A full backlog of a listener drops connection attempts silently, as an unreachable host does.
#[cfg(target_os = "linux")]
#[test]
fn a_timeout_ends_an_attempt_that_nobody_answers() {
    on_shard(async {
        let (socket, addr) = closed_port();
        socket.listen(0).unwrap();
        let before = sources().await;
        let mut connected = Vec::new();
        while let Ok(stream) = timeout(SHORT, TcpStream::connect(addr)).await {
            connected.push(stream.unwrap());
            assert!(connected.len() < 16, "the backlog never fills");
        }
        assert_eq!(sources().await, before + connected.len() as u64);
    });
}

#[test]
fn a_stream_connects_at_once_when_it_is_accepted_later() {
    on_shard(async {
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(stream.registration().is_ready(Direction::Write));
        stream.write_all(b"early").await.unwrap();
        let accepted = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
        let mut buf = [0; 5];
        read_exact(&accepted, &mut buf).await.unwrap();
        assert_eq!(&buf, b"early");
    });
}

#[test]
fn a_connection_takes_twelve_bytes() {
    // In debug builds mio checks which poller a socket belongs to.
    if !cfg!(any(windows, debug_assertions, mio_unsupported_force_poll_poll)) {
        assert_eq!(size_of::<TcpStream>(), 12);
    }
}

async fn accepted_with(options: ListenOptions) -> (TcpStream, TcpStream) {
    let listener = TcpListener::from_std(
        ListenerGroup::bind(loopback(), &options).unwrap().into_listeners(1).unwrap().remove(0),
    )
    .unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

#[test]
fn accepted_connections_inherit_the_listeners_options() {
    on_shard(async {
        let (stream, _client) = accepted_with(ListenOptions::default()).await;
        assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_ne!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), 45_678);

        let options = ListenOptions {
            nodelay: false,
            keepalive: Some(Keepalive {
                idle: Duration::from_secs(77),
                interval: Duration::from_secs(7),
                retries: 3,
            }),
            user_timeout: Some(Duration::from_millis(8123)),
            notsent_lowat: Some(45_678),
            ..ListenOptions::default()
        };
        let (stream, _client) = accepted_with(options).await;
        let socket = SockRef::from(&stream);
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(probes(&socket), (Duration::from_secs(77), Duration::from_secs(7), 3));
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(8123)));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), 45_678);
        }
    });
}

#[cfg(unix)]
fn probes(socket: &SockRef<'_>) -> (Duration, Duration, u32) {
    let (idle, interval) = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
    (idle.unwrap(), interval.unwrap(), socket.tcp_keepalive_retries().unwrap())
}

#[test]
fn options_of_a_connection_reach_the_kernel() {
    on_shard(async {
        let (stream, _peer) = pair().await;
        let socket = SockRef::from(&stream);
        for on in [true, false] {
            stream.set_nodelay(on).unwrap();
            assert_eq!(socket.tcp_nodelay().unwrap(), on);
        }
        let keepalive = Keepalive { idle: Duration::from_secs(33), ..Keepalive::default() };
        stream.set_keepalive(Some(keepalive)).unwrap();
        assert!(socket.keepalive().unwrap());
        #[cfg(unix)]
        assert_eq!(probes(&socket), (keepalive.idle, keepalive.interval, keepalive.retries));
        let least = Keepalive { idle: Duration::ZERO, interval: Duration::from_millis(1), retries: 0 };
        stream.set_keepalive(Some(least)).expect("rounded up");
        #[cfg(unix)]
        assert_eq!(probes(&socket), (Duration::from_secs(1), Duration::from_secs(1), 1));
        #[cfg(target_os = "linux")]
        {
            let too_many = Keepalive { retries: 128, ..keepalive };
            let error = stream.set_keepalive(Some(too_many)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        stream.set_keepalive(None).unwrap();
        assert!(!socket.keepalive().unwrap());
        stream.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        stream.set_linger(None).unwrap();
        assert_eq!(socket.linger().unwrap(), None);
        stream.set_user_timeout(Some(Duration::from_secs(5))).unwrap();
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(5)));
    });
}

#[test]
fn a_connection_comes_from_the_address_and_port_that_it_is_told() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let from = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
        let first = TcpStream::connect_from(from("127.0.0.2", 0), addr).await.unwrap();
        let us = first.local_addr().unwrap();
        assert_eq!((us.ip(), listener.accept().await.unwrap().1), (from("127.0.0.2", 0).ip(), us));
        // The same pair again for another peer, while the first connection stands.
        let other = TcpListener::bind(loopback()).unwrap();
        let second = TcpStream::connect_from(us, other.local_addr().unwrap()).await.unwrap();
        assert_eq!((second.local_addr().unwrap(), other.accept().await.unwrap().1), (us, us));
        let again = TcpStream::connect_from(us, addr).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrNotAvailable, "{again}");
        let elsewhere = TcpStream::connect_from(from("192.0.2.1", 0), addr).await.unwrap_err();
        assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

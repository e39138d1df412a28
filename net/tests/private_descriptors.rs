//! Sockets of shards with descriptor tables of their own.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

mod common;

use common::*;
use lakh_core::{Builder, Runtime, Shard, ShardHandle};
use lakh_net::{
    ListenOptions, ListenerGroup, TcpListener, TcpStream, UdpOptions, UdpSocket, bind_udp_group,
    sys::send_file,
};
use std::{
    fs,
    future::{Future, poll_fn},
    io::{self, ErrorKind, Read, Write},
    net::{self, SocketAddr},
    sync::{Mutex, mpsc},
};

fn builder(shards: usize) -> Builder {
    Runtime::builder().shards(shards).private_descriptors(true)
}

/// A runtime whose shards greet with their numbers, then echo.
fn echoes(mut builder: Builder) -> (Runtime, SocketAddr) {
    let group = ListenerGroup::bind(loopback(), &ListenOptions::default()).unwrap();
    let addr = group.local_addr();
    let listeners = group.for_runtime(&mut builder).unwrap();
    let start = move |shard: &Shard| {
        let listener = listeners.listen(shard)?.expect("each shard has one");
        assert!(listeners.listen(shard)?.is_none(), "and no second one");
        assert_eq!(listener.local_addr()?, listeners.local_addr());
        Ok(shard.spawn_detached(accept_all(listener, shard.id() as u8)))
    };
    (builder.start(start).unwrap(), addr)
}

async fn accept_all(listener: TcpListener, id: u8) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        lakh_core::spawn_detached(async move {
            stream.write_all(&[id]).await.unwrap();
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..n]).await.unwrap();
            }
        });
    }
}

fn connect(addr: SocketAddr) -> net::TcpStream {
    let stream = net::TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream
}

/// What greets a new connection.
fn ask(addr: SocketAddr) -> u8 {
    let mut id = [0];
    connect(addr).read_exact(&mut id).unwrap();
    id[0]
}

/// Runs a future on a shard, and fails if it hangs.
fn on<T: Send + 'static, F: Future<Output = T> + 'static>(
    shard: &ShardHandle,
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    shard.spawn_on(move || async move { tell.send(make().await).unwrap() }).unwrap();
    told.recv_timeout(HANG).expect("the shard answers")
}

fn is_refused<T>(result: io::Result<T>) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("private_descriptors"), "{error}");
}

#[test]
fn every_shard_has_a_listener_and_a_taken_port_is_an_error() {
    let (runtime, addr) = echoes(builder(3));
    let mut found = [false; 3];
    for _ in 0..1000 {
        found[usize::from(ask(addr))] = true;
    }
    assert_eq!(found, [true; 3]);
    let error = ListenerGroup::bind(addr, &ListenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(runtime);
    ListenerGroup::bind(addr, &ListenOptions::default()).expect("the shards have closed their sockets");
}

/// A listener that nobody accepts from would swallow its share.
#[test]
fn no_connection_waits_for_a_listener_that_is_nobodys() {
    let group = ListenerGroup::bind(loopback(), &ListenOptions::default()).unwrap();
    let addr = group.local_addr();
    // In the backlog before there is any shard.
    let early: Vec<_> = (0..20).map(|_| connect(addr)).collect();
    let mut builder = builder(2);
    let listeners = group.for_runtime(&mut builder).unwrap();
    let _runtime = builder
        .start(move |shard| {
            let listener = listeners.listen(shard)?.unwrap();
            Ok(shard.spawn_detached(accept_all(listener, shard.id() as u8)))
        })
        .unwrap();
    for mut stream in early {
        let mut id = [9];
        stream.read_exact(&mut id).unwrap();
        assert_eq!(id, [0], "what waited is the first shard's");
    }
    (0..200).for_each(|_| assert!(ask(addr) < 2));
}

#[test]
fn a_connection_ends_when_its_shard_closes_it() {
    let group = ListenerGroup::bind(loopback(), &ListenOptions::default()).unwrap();
    let addr = group.local_addr();
    let mut builder = builder(2);
    let listeners = group.for_runtime(&mut builder).unwrap();
    let runtime = builder
        .start(move |shard| {
            let listener = listeners.listen(shard)?.unwrap();
            shard.spawn_detached(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.write_all(b"bye").await.unwrap();
                }
            });
            Ok(())
        })
        .unwrap();
    // Another runtime's tables are made while these are open: they must not be in them.
    let streams: Vec<_> = (0..20).map(|_| connect(addr)).collect();
    let _other = Runtime::builder().shards(2).private_descriptors(true).start(|_| Ok(())).unwrap();
    for mut stream in streams {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "bye");
    }
    // A client of a shard's ends as well.
    let listener = net::TcpListener::bind(loopback()).unwrap();
    let to = listener.local_addr().unwrap();
    let shard = runtime.shards().next().unwrap().clone();
    let client = std::thread::spawn(move || {
        on(&shard, move || async move { TcpStream::connect(to).await?.write_all(b"hello").await })
    });
    let mut said = String::new();
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.set_read_timeout(Some(HANG)).unwrap();
    accepted.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello");
    client.join().unwrap().unwrap();
}

#[test]
fn datagrams_reach_shards_that_make_their_own_sockets() {
    let runtime = builder(2).start(|_| Ok(())).unwrap();
    let options = UdpOptions { reuse_port: true, ..UdpOptions::default() };
    let shards: Vec<ShardHandle> = runtime.shards().cloned().collect();
    let mut addr = loopback();
    for shard in &shards {
        let options = options.clone();
        addr = on(shard, move || async move {
            let socket = UdpSocket::bind_with(addr, &options).unwrap();
            let addr = socket.local_addr().unwrap();
            lakh_core::spawn_detached(async move {
                let mut buf = [0; 64];
                loop {
                    let (n, peer) = socket.recv_from(&mut buf).await.unwrap();
                    socket.send_to(&buf[..n], peer).await.unwrap();
                }
            });
            addr
        });
    }
    for _ in 0..50 {
        let socket = net::UdpSocket::bind(loopback()).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        socket.send_to(b"ping", addr).unwrap();
        let mut buf = [0; 64];
        let (n, _) = socket.recv_from(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"ping");
    }
}

#[test]
fn connections_neither_leave_nor_enter() {
    let plain = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let (private, addr) = echoes(builder(1));
    let private_shard = private.shards().next().unwrap().clone();
    // They do not leave.
    is_refused(on(&private_shard, || async {
        TcpListener::bind(loopback()).unwrap().accept_unregistered().await.map(drop)
    }));
    // And what comes from elsewhere is refused without closing what has its number here.
    let streams: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    let to = private_shard.clone();
    let refused = on(plain.shards().next().unwrap(), move || async move {
        let listener = TcpListener::bind(loopback()).unwrap();
        let at = listener.local_addr().unwrap();
        let mut results = Vec::new();
        for _ in 0..20 {
            let _client = TcpStream::connect(at).await.unwrap();
            let (accepted, _) = listener.accept_unregistered().await.unwrap();
            let (tell, told) = mpsc::channel();
            to.send(move |_| tell.send(accepted.register().map(drop)).unwrap()).unwrap();
            results.push(told.recv_timeout(HANG).unwrap());
        }
        results
    });
    refused.into_iter().for_each(is_refused);
    are_served(streams);
}

fn are_served(streams: Vec<net::TcpStream>) {
    for mut stream in streams {
        stream.write_all(b"x").unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[1], b'x');
    }
}

#[test]
fn sockets_that_were_made_elsewhere_are_refused() {
    let (runtime, addr) = echoes(builder(1));
    let shard = runtime.shards().next().unwrap();
    let streams: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    streams.iter().for_each(|mut stream| stream.write_all(b"x").unwrap());
    let made: Mutex<Vec<net::TcpListener>> = Mutex::default();
    for _ in 0..20 {
        let group = ListenerGroup::bind(loopback(), &ListenOptions::default()).unwrap();
        let listener = group.into_listeners(1).unwrap().remove(0);
        let stream = connect(addr);
        let udp = bind_udp_group(loopback(), 1, &UdpOptions::default()).unwrap().remove(0);
        // Some of their numbers are none there, others are connections.
        let errors = on(shard, move || async move {
            [
                TcpListener::from_std(listener).map(drop).unwrap_err(),
                TcpStream::from_std(stream).map(drop).unwrap_err(),
                UdpSocket::from_std(udp).map(drop).unwrap_err(),
            ]
        });
        for error in errors {
            assert!([ErrorKind::Unsupported, ErrorKind::AlreadyExists].contains(&error.kind()), "{error}");
        }
        made.lock().unwrap().push(net::TcpListener::bind(loopback()).unwrap());
    }
    for mut stream in streams {
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\0x");
    }
    // What a shard makes itself is taken over there.
    on(shard, || async {
        let listener = net::TcpListener::bind(loopback()).unwrap();
        let stream = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = net::UdpSocket::bind(loopback()).unwrap();
        TcpListener::from_std(listener).unwrap();
        TcpStream::from_std(stream).unwrap();
        UdpSocket::from_std(udp).unwrap();
    });
}

#[test]
fn files_are_not_sent() {
    let runtime = builder(1).start(|_| Ok(())).unwrap();
    is_refused(on(runtime.shards().next().unwrap(), || async {
        let (stream, _peer) = pair().await;
        let file = fs::File::open("/proc/self/exe").unwrap();
        poll_fn(|cx| send_file(&stream, &file, 0, 100, cx)).await
    }));
}

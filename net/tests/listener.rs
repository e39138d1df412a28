//! Accepting, on one shard and on several.

mod common;

use common::*;
use lakh_core::{Runtime, Shard, ShardHandle, spawn, spawn_detached, timeout, yield_now};
use lakh_net::{ListenOptions, ListenerGroup, TcpListener, TcpStream, sys::PORT_SHARING};
use std::{
    future::{Future, poll_fn},
    io::{self, Read},
    net::SocketAddr,
    sync::{Arc, Barrier, Mutex},
    task::Poll,
    time::Duration,
};

#[test]
fn a_dropped_accept_has_taken_no_connection() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let mut accept = Box::pin(listener.accept());
        poll_fn(|cx| {
            assert!(accept.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(accept);
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
        assert_eq!((listener.metrics().accepted(), listener.metrics().errors()), (1, 0));
    });
}

#[test]
fn connections_that_came_together_are_all_accepted() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        for _ in 0..3 {
            let clients: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
            for client in &clients {
                assert_eq!(listener.accept().await.unwrap().1, client.local_addr().unwrap());
            }
        }
        assert_eq!(listener.metrics().accepted(), 600);
    });
}

#[test]
fn connections_that_were_reset_before_they_were_accepted_stop_nobody() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        for _ in 0..100 {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let last = TcpStream::connect(addr).await.unwrap();
        while listener.accept().await.unwrap().1 != last.local_addr().unwrap() {}
    });
}

#[test]
fn a_closed_listener_gives_what_waits_and_refuses_the_rest() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        let metrics = Arc::clone(listener.metrics());
        let mut backlog = listener.close();
        for client in &clients {
            let (_, peer) = backlog.next().await.expect("it is still there");
            assert_eq!(peer, client.local_addr().unwrap());
        }
        assert!(backlog.next().await.is_none());
        drop(backlog);
        let error = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!((metrics.accepted(), metrics.errors()), (300, 0));
    });
}

/// Who does not get in sends its SYN again, and finds the port closed then.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_listener_lets_in_no_more_while_some_wait() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let _first = std::net::TcpStream::connect(addr).unwrap();
        let backlog = listener.close();
        let late = TcpStream::connect(addr);
        assert!(timeout(Duration::from_millis(50), late).await.is_err(), "it has got in");
        drop(backlog);
    });
}

/// Linux wakes those who wait for a listening socket that is shut down; accept(2) says EINVAL then.
#[cfg(target_os = "linux")]
#[test]
fn a_listener_that_can_accept_no_more_says_so() {
    on_shard(async {
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let copy = listener.try_clone().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let accept = spawn(async move { listener.accept().await.map(drop) });
        yield_now().await;
        socket2::SockRef::from(&copy).shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(accept.await.unwrap().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    });
}

fn in_use<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn group(addr: SocketAddr, shards: usize) -> io::Result<Vec<std::net::TcpListener>> {
    ListenerGroup::bind(addr, &ListenOptions::default())?.into_listeners(shards)
}

#[test]
fn a_port_belongs_to_one_group() {
    for shards in [1, 3] {
        let mut first = group(loopback(), shards).unwrap();
        let addr = first[0].local_addr().unwrap();
        assert!(first.iter().all(|socket| socket.local_addr().unwrap() == addr));
        for _ in 0..2 {
            assert!(in_use(group(addr, 1)));
            assert!(in_use(group(addr, 2)));
            assert!(in_use(std::net::TcpListener::bind(addr)));
            if first.len() > 1 {
                first.remove(0); // a group without its first socket keeps its port
            }
        }
        drop(first);
        group(addr, shards).expect("nobody has the port any more");
    }
}

#[test]
fn a_port_of_another_program_is_taken_even_if_it_shares_it() {
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    #[cfg(unix)]
    other.set_reuse_port(true).unwrap();
    other.bind(&loopback().into()).unwrap();
    other.listen(1).unwrap();
    let addr = other.local_addr().unwrap().as_socket().unwrap();
    assert!(in_use(group(addr, 1)));
    assert!(in_use(group(addr, 2)));
}

#[test]
fn of_two_groups_that_bind_a_port_at_the_same_moment_one_at_most_gets_it() {
    let addr = group(loopback(), 1).unwrap()[0].local_addr().unwrap();
    let mut won = 0;
    for round in 0..200 {
        let barrier = Barrier::new(2);
        let race = || {
            barrier.wait();
            let result = group(addr, 2);
            barrier.wait(); // what was won is held until both have tried
            result.map(drop)
        };
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(race);
            (race(), one.join().unwrap())
        });
        won += usize::from(one.is_ok() || two.is_ok());
        assert!(in_use(one.and(two)), "round {round}: both have it");
    }
    assert!(won > 0, "a stranger may have the port now and then, but not always");
}

/// Sends the shard's number to whoever connects.
async fn tell_number(listener: TcpListener, id: usize) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn_detached(async move { stream.write_all(&[id as u8]).await.unwrap() });
    }
}

/// The number of the shard that answers.
fn ask(addr: SocketAddr) -> usize {
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let mut id = [0];
    stream.read_exact(&mut id).unwrap();
    id[0].into()
}

#[test]
fn every_shard_of_a_group_accepts() {
    if !PORT_SHARING {
        return println!("skipped: here a group is one socket");
    }
    const SHARDS: usize = 3;
    let sockets = group(loopback(), SHARDS).unwrap();
    let addr = sockets[0].local_addr().unwrap();
    let sockets = Mutex::new(sockets);
    let start = move |shard: &Shard| {
        let socket = sockets.lock().unwrap().pop().expect("one for each shard");
        shard.spawn_detached(tell_number(TcpListener::from_std(socket)?, shard.id()));
        Ok(())
    };
    let runtime = Runtime::builder().shards(SHARDS).start(start).unwrap();
    let mut answered = [0; SHARDS];
    let mut tries = 0;
    while answered.contains(&0) {
        answered[ask(addr)] += 1;
        tries += 1;
        assert!(tries < 1000, "{answered:?}");
    }
    assert!(in_use(group(addr, SHARDS)));
    runtime.stop();
    assert!(runtime.join(HANG));
    group(addr, SHARDS).expect("the shards have closed their sockets");
}

async fn hand_on(listener: TcpListener, others: Arc<Vec<ShardHandle>>) {
    for next in others.iter().cycle() {
        let (accepted, peer) = listener.accept_unregistered().await.unwrap();
        let take = move |shard: &Shard| {
            let (stream, id) = (accepted.register().unwrap(), shard.id());
            assert_eq!(stream.peer_addr().unwrap(), peer);
            shard.spawn_detached(async move { stream.write_all(&[id as u8]).await.unwrap() });
        };
        next.send(take).unwrap();
    }
}

#[test]
fn a_connection_can_be_handed_to_another_shard() {
    let runtime = Runtime::builder().shards(3).start(|_| Ok(())).unwrap();
    let shards: Arc<Vec<ShardHandle>> = Arc::new(runtime.shards().cloned().collect());
    let socket = group(loopback(), 1).unwrap().remove(0);
    let addr = socket.local_addr().unwrap();
    let others = shards.clone();
    let start = move || async move { hand_on(TcpListener::from_std(socket).unwrap(), others).await };
    shards[0].spawn_on(start).unwrap();
    let answered: Vec<usize> = (0..9).map(|_| ask(addr)).collect();
    assert_eq!(answered, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn accepting_without_end_lets_other_tasks_run() {
    on_shard(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        let accepting = spawn(async move {
            for _ in 0..400 {
                listener.accept().await.unwrap();
            }
        });
        yield_now().await;
        assert!(!accepting.is_finished(), "it took {} connections in one go", clients.len());
        timeout(HANG, accepting).await.unwrap().unwrap();
    });
}

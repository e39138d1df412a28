//! Datagrams that come back, or not, twice, or late.

mod by_hand;

use by_hand::{assert_failures, plan, run};
use lakh_loadtest::{Plan, plan::Pace, stats::Cause};
use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

/// Answers with what `answer` makes of each datagram, counted from 0: with so many, each to whom it came from.
fn serve(
    mut answer: impl FnMut(u64, Vec<u8>, SocketAddr) -> Vec<(Vec<u8>, SocketAddr)> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        for number in 0.. {
            let Ok((n, peer)) = socket.recv_from(&mut bytes) else { return };
            for (datagram, peer) in answer(number, bytes[..n].to_vec(), peer) {
                let _ = socket.send_to(&datagram, peer);
            }
        }
    });
    addr
}

fn datagrams(addr: SocketAddr, requests: u64) -> Plan {
    Plan { connections: 3, shards: 1, requests: Some(requests), ..plan("udp", addr) }
}

#[test]
fn every_datagram_comes_back_once() {
    let addr = serve(|_, datagram, peer| vec![(datagram, peer)]);
    for size in [4, 64, 60_000] {
        let outcome = run(Plan { size, ..datagrams(addr, 300) });
        let tally = &outcome.tally;
        assert_eq!((tally.completed, tally.connections.established), (300, 3));
        assert_eq!((tally.missing, tally.duplicated, tally.reordered), (0, 0, 0));
        assert_failures(&outcome, &[]);
    }
}

#[test]
fn what_never_comes_is_missing() {
    let addr = serve(|number, datagram, peer| if number % 10 == 7 { vec![] } else { vec![(datagram, peer)] });
    let outcome = run(Plan { timeout: Duration::from_millis(200), ..datagrams(addr, 100) });
    assert_eq!((outcome.tally.completed, outcome.tally.missing), (90, 10));
    assert_failures(&outcome, &[]);
}

#[test]
fn what_comes_twice_is_counted_once_more() {
    let addr = serve(|number, datagram, peer| {
        let copies = 1 + usize::from(number % 10 == 7);
        vec![(datagram, peer); copies]
    });
    // The last one has no copy that could come too late to be counted.
    let outcome = run(datagrams(addr, 100));
    assert_eq!((outcome.tally.completed, outcome.tally.duplicated, outcome.tally.missing), (100, 10, 0));
}

#[test]
fn what_comes_after_a_later_one_is_out_of_order() {
    let mut held = None;
    let addr = serve(move |number, datagram, peer| match number % 10 {
        4 => {
            held = Some((datagram, peer));
            vec![]
        }
        5 => [Some((datagram, peer)), held.take()].into_iter().flatten().collect(),
        _ => vec![(datagram, peer)],
    });
    let pace = Pace::Closed { pipelined: 4 };
    let outcome = run(Plan { connections: 1, pace, ..datagrams(addr, 100) });
    assert_eq!((outcome.tally.completed, outcome.tally.reordered, outcome.tally.missing), (100, 10, 0));
}

#[test]
fn datagrams_that_differ_and_strange_ones_are_told_apart() {
    let addr = serve(|number, mut datagram, peer| match number % 10 {
        3 => {
            datagram[30] ^= 1;
            vec![(datagram, peer)]
        }
        6 => vec![(vec![0xff; 64], peer), (b"?".to_vec(), peer), (datagram, peer)],
        _ => vec![(datagram, peer)],
    });
    let outcome = run(Plan { connections: 1, ..datagrams(addr, 100) });
    assert_eq!(outcome.tally.completed, 100);
    assert_failures(&outcome, &[(Cause::Garbage, 20), (Cause::Body, 10)]);
}

#[test]
fn nobody_at_the_port_is_a_failure_and_not_a_loop() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run(Plan { duration: Duration::from_millis(500), requests: None, ..datagrams(closed, 1) });
    let refused = outcome.tally.failures.count(Cause::Refused);
    assert_eq!(outcome.tally.completed, 0);
    assert!((3..=30).contains(&refused), "each of three asks again after a second: {refused}");
}

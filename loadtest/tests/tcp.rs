//! Bytes over TCP that come back, or do not.

mod by_hand;

use by_hand::{assert_failures, plan, run, serve};
use lakh_loadtest::{
    Plan,
    plan::Pace,
    stats::{Cause, Ended},
};
use std::io::{Read, Write};

#[test]
fn what_is_sent_comes_back() {
    let addr = serve(|mut stream| {
        let mut bytes = [0; 1000];
        loop {
            let n = stream.read(&mut bytes)?;
            if n == 0 {
                return Ok(());
            }
            // In parts that are none of the messages'.
            for part in bytes[..n].chunks(37) {
                stream.write_all(part)?;
            }
        }
    });
    for (size, pipelined) in [(64, 1), (1, 16), (100_000, 2)] {
        let pace = Pace::Closed { pipelined };
        let outcome = run(Plan { size, pace, requests: Some(60), ..plan("tcp", addr) });
        assert_eq!((outcome.ended, outcome.tally.completed), (Ended::Done, 60));
        assert_eq!(outcome.tally.bytes_received, 60 * size as u64);
        assert_failures(&outcome, &[]);
    }
}

#[test]
fn bytes_that_differ_end_the_connection() {
    let addr = serve(|mut stream| {
        let mut bytes = [0; 64];
        for number in 0.. {
            stream.read_exact(&mut bytes)?;
            bytes[63] ^= u8::from(number == 4);
            stream.write_all(&bytes)?;
        }
        Ok(())
    });
    let outcome = run(Plan { connections: 1, shards: 1, requests: Some(5), ..plan("tcp", addr) });
    assert_eq!((outcome.tally.completed, outcome.tally.connections.lost), (4, 1));
    assert_failures(&outcome, &[(Cause::Body, 1)]);
}

#[test]
fn bytes_that_nobody_sent_are_garbage() {
    let addr = serve(|mut stream| {
        let mut bytes = [0; 64];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&[&bytes[..], b"!"].concat())?;
        stream.read(&mut bytes).map(drop)
    });
    let outcome = run(Plan { connections: 1, shards: 1, requests: Some(2), ..plan("tcp", addr) });
    assert!(outcome.tally.failures.count(Cause::Garbage) + outcome.tally.failures.count(Cause::Body) >= 1);
}

#[test]
fn a_server_that_ends_half_way_through_is_no_answer() {
    let addr = serve(|mut stream| {
        let mut bytes = [0; 64];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes[..32])
    });
    let outcome = run(Plan { connections: 1, shards: 1, requests: Some(1), ..plan("tcp", addr) });
    assert_eq!(outcome.tally.completed, 0);
    assert_failures(&outcome, &[(Cause::Closed, 1)]);
}

//! Messages that a server gives to many, and those that it loses, repeats or mixes up.

mod by_hand;

use by_hand::{TEXT, Ws, assert_failures, frame, plan, run, serve};
use lakh_loadtest::{
    Outcome, Plan,
    plan::{Pace, Publish, WsPlan},
    stats::{Broadcast, Cause},
};
use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};
use tungstenite::protocol::frame::coding::{Control, OpCode};

const RECEIVERS: usize = 6;
const MESSAGES: u64 = 30;

/// Gives each text to all sockets, as often as `copies` says of each delivery, counted from 0; the sender's own are
/// not counted, since the sender has them by itself.
fn topic(copies: impl Fn(u64) -> usize + Send + Sync + 'static) -> SocketAddr {
    let sockets = Arc::<Mutex<(Vec<TcpStream>, u64)>>::default();
    serve(move |stream| {
        // Before it agrees, so that a client that is told so misses nothing.
        sockets.lock().unwrap().0.push(stream.try_clone()?);
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, payload) = ws.read()?;
            assert_eq!(opcode, TEXT);
            let sender = ws.writer()?.peer_addr()?;
            let (sockets, delivery) = &mut *sockets.lock().unwrap();
            for socket in sockets {
                let Ok(peer) = socket.peer_addr() else { continue };
                let copies = if peer == sender { 1 } else { copies(*delivery) };
                *delivery += u64::from(peer != sender);
                for _ in 0..copies {
                    // Wrapped, as services do.
                    let text = format!("{{\"from\":1,\"text\":\"{}\"}}", String::from_utf8_lossy(&payload));
                    let _ = socket.write_all(&frame(TEXT, text.as_bytes()));
                }
            }
        }
    })
}

fn broadcast(addr: SocketAddr, trigger: Option<&str>) -> (Outcome, Broadcast) {
    broadcast_of(MESSAGES, addr, trigger)
}

fn broadcast_of(messages: u64, addr: SocketAddr, trigger: Option<&str>) -> (Outcome, Broadcast) {
    let publish = Publish {
        rate: 1000.0,
        time: Duration::from_secs(10),
        messages: Some(messages),
        trigger: trigger.map(str::to_owned),
    };
    let outcome = run(Plan {
        connections: RECEIVERS,
        pace: Pace::Silent,
        timeout: Duration::from_secs(1),
        ws: WsPlan { publish: Some(publish), ..WsPlan::default() },
        ..plan("ws", addr)
    });
    let broadcast = (**outcome.tally.broadcast.as_ref().unwrap()).clone();
    (outcome, broadcast)
}

const ALL: u64 = MESSAGES * RECEIVERS as u64;

#[test]
fn every_receiver_gets_every_message_once() {
    let (outcome, broadcast) = broadcast(topic(|_| 1), Some("{\"say\": \"{message}\"}"));
    assert_eq!((broadcast.published, broadcast.expected, broadcast.received), (MESSAGES, ALL, ALL));
    let tally = &outcome.tally;
    assert_eq!((tally.missing, tally.duplicated, tally.reordered), (0, 0, 0));
    assert_failures(&outcome, &[]);
    // A time for each message, and in this order.
    for times in [&broadcast.first, &broadcast.median, &broadcast.last] {
        assert_eq!(times.count(), MESSAGES);
    }
    assert!(broadcast.first.max() <= broadcast.last.max());
    assert!(broadcast.last.max() < Duration::from_secs(10));
    assert_eq!(tally.connections.established, RECEIVERS as u64, "the publisher is none of them");
}

#[test]
fn what_a_server_loses_is_missing() {
    let (outcome, broadcast) = broadcast(topic(|delivery| usize::from(delivery % 10 != 3)), None);
    assert_eq!((broadcast.expected, broadcast.received), (ALL, ALL - ALL / 10));
    assert_eq!((outcome.tally.missing, outcome.tally.duplicated), (ALL / 10, 0));
}

#[test]
fn the_last_message_may_be_lost_too() {
    let (outcome, broadcast) = broadcast(topic(|delivery| usize::from(delivery < ALL - 2)), None);
    assert_eq!((broadcast.published, outcome.tally.missing), (MESSAGES, 2));
}

/// What has failed, when one message is published and reaches nobody.
fn failures_of_the_last_message(addr: SocketAddr, failures: &[(Cause, u64)]) {
    let (outcome, broadcast) = broadcast_of(1, addr, None);
    assert_eq!((broadcast.published, broadcast.received), (1, 0));
    assert_eq!(outcome.tally.missing, RECEIVERS as u64);
    assert_failures(&outcome, failures);
}

#[cfg(target_os = "linux")] // elsewhere it may be no reset
#[test]
fn a_reset_that_takes_the_last_message_is_counted() {
    let addr = serve(|stream| {
        let ws = Ws::accept(stream)?;
        // Closed with a message unread, it is reset.
        ws.writer()?.peek(&mut [0]).map(drop)
    });
    failures_of_the_last_message(addr, &[(Cause::Reset, 1)]);
}

#[test]
fn a_refusal_of_the_last_message_is_counted_and_a_goodbye_is_not() {
    for (code, failures) in [(1008_u16, &[(Cause::Closed, 1)][..]), (1000, &[])] {
        let addr = serve(move |stream| {
            let mut ws = Ws::accept(stream)?;
            ws.read()?;
            ws.send(OpCode::Control(Control::Close), &code.to_be_bytes())?;
            ws.read().map(drop)
        });
        failures_of_the_last_message(addr, failures);
    }
}

#[test]
fn what_a_server_repeats_is_counted_apart() {
    let (outcome, broadcast) = broadcast(topic(|delivery| 1 + usize::from(delivery % 10 == 3)), None);
    assert_eq!((broadcast.received, outcome.tally.duplicated), (ALL, ALL / 10));
    assert_eq!(outcome.tally.missing, 0);
}

#[test]
fn connections_stand_then_echo_then_receive() {
    let addr = serve_both();
    let publish = Publish { rate: 1000.0, time: Duration::from_secs(10), messages: Some(5), trigger: None };
    let outcome = run(Plan {
        hold: Duration::from_millis(50),
        requests: Some(40),
        ws: WsPlan { publish: Some(publish), ..WsPlan::default() },
        ..plan("ws", addr)
    });
    let tally = &outcome.tally;
    assert_eq!((tally.completed, tally.connections.established, tally.connections.lost), (40, 4, 0));
    let broadcast = tally.broadcast.as_ref().unwrap();
    assert_eq!((broadcast.published, broadcast.received, tally.missing), (5, 20, 0));
    let held = outcome.held.unwrap();
    assert_eq!((held.open, held.lost), (4, 0));
    assert!(held.time >= Duration::from_millis(50) && held.time < outcome.elapsed, "{held:?}");
    assert_failures(&outcome, &[]);
}

/// Binary comes back to its sender, and text to all.
fn serve_both() -> SocketAddr {
    let sockets = Arc::<Mutex<Vec<TcpStream>>>::default();
    serve(move |stream| {
        sockets.lock().unwrap().push(stream.try_clone()?);
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, payload) = ws.read()?;
            let sockets = sockets.lock().unwrap();
            if opcode != TEXT {
                ws.send(opcode, &payload)?;
                continue;
            }
            for mut socket in sockets.iter() {
                let _ = socket.write_all(&frame(TEXT, &payload));
            }
        }
    })
}

//! WebSockets: echoes, connections that stand, and what servers do wrong.

mod by_hand;

use by_hand::{BINARY, CLOSE, PING, PONG, TEXT, Ws, assert_failures, plan, run, run_until, serve};
use lakh_loadtest::{
    Plan,
    plan::{Asked, Pace, WsPlan},
    stats::{Cause, Ended},
    template::{Files, Place, Template},
};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    sync::mpsc,
    time::Duration,
};

fn echoes(addr: SocketAddr, requests: u64) -> Plan {
    Plan { requests: Some(requests), ..plan("ws", addr) }
}

/// Connections that only stand, with what they do meanwhile.
fn idle(addr: SocketAddr, ws: WsPlan) -> Plan {
    Plan { connections: 1, shards: 1, pace: Pace::Silent, ws, ..plan("ws", addr) }
}

#[test]
fn every_message_is_answered_by_its_echo() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, payload) = ws.read()?;
            assert_eq!((opcode, payload.len()), (BINARY, 64));
            ws.send(opcode, &payload)?;
        }
    });
    for pipelined in [1, 8] {
        let outcome = run(Plan { pace: Pace::Closed { pipelined }, ..echoes(addr, 300) });
        assert_eq!((outcome.ended, outcome.tally.completed), (Ended::Done, 300));
        assert_eq!(outcome.tally.connections.established, 4);
        assert_failures(&outcome, &[]);
    }
}

#[test]
fn an_echo_may_come_in_pieces_between_pings_and_of_any_size() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, payload) = ws.read()?;
            if opcode == PONG {
                continue;
            }
            let (first, second) = payload.split_at(payload.len() / 3);
            let mut bytes = by_hand::frame(opcode, first);
            bytes[0] &= 0x7f;
            bytes.extend(by_hand::frame(PING, b"still here?"));
            bytes.extend(by_hand::frame(BINARY, second));
            let rest = bytes.len() - second.len() - if second.len() < 126 { 2 } else { 4 };
            // A continuation.
            bytes[rest] = 0x80;
            for part in bytes.chunks(40) {
                ws.write(part)?;
            }
        }
    });
    for size in [0, 1, 3, 64, 20_000] {
        let outcome = run(Plan { size, ..echoes(addr, 20) });
        assert_eq!(outcome.tally.completed, 20, "{size}");
        assert_failures(&outcome, &[]);
    }
}

#[test]
fn an_echo_that_differs_is_counted() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        for number in 1.. {
            let (opcode, mut payload) = ws.read()?;
            match number % 10 {
                0 => payload[40] ^= 1,
                5 => drop(payload.pop()),
                _ => {}
            }
            ws.send(opcode, &payload)?;
        }
        Ok(())
    });
    let outcome = run(Plan { connections: 1, shards: 1, ..echoes(addr, 100) });
    assert_eq!(outcome.tally.completed, 100);
    assert_failures(&outcome, &[(Cause::Body, 20)]);
}

#[test]
fn a_server_that_lets_all_wait_is_not_tried_to_the_last_connection() {
    // The kernel takes connections, and nobody reads them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(500);
    let plan = Plan { connections: 20_000, shards: 1, timeout, ..echoes(listener.local_addr().unwrap(), 10) };
    let outcome = run(plan);
    assert_eq!((outcome.ended, outcome.tally.connections.established), (Ended::NobodyLeft, 0));
    // So many at a time; all of them would take more than a minute.
    assert!(outcome.tally.connections.requested < 10_000, "{:?}", outcome.tally.connections);
}

#[test]
fn connections_that_are_under_way_when_a_run_is_stopped_have_not_failed() {
    let (reached, all_reached) = mpsc::channel();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let addr = serve(move |mut stream| {
        // The first socket stands. The others never hear anything.
        let before = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let ws = if before == 0 { Some(Ws::accept(stream.try_clone()?)?) } else { None };
        if before == 4 {
            let _ = reached.send(());
        }
        stream.read_to_end(&mut Vec::new())?;
        drop(ws);
        Ok(())
    });
    let five = Plan { connections: 5, ..idle(addr, WsPlan::default()) };
    let (outcome, ()) = run_until(five, &all_reached);
    let connections = outcome.tally.connections;
    assert_eq!((connections.requested, connections.failed), (5, 0), "{connections:?}");
    assert_eq!(connections.established + connections.under_way, 5, "{connections:?}");
    assert!(connections.under_way >= 4, "{connections:?}");
    assert_failures(&outcome, &[]);
}

#[test]
fn a_server_that_does_not_upgrade_is_quoted() {
    let addr = serve(|mut stream| {
        let mut byte = [0; 1024];
        let _ = stream.read(&mut byte)?;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let outcome = run(echoes(addr, 10));
    assert_eq!(outcome.ended, Ended::NobodyLeft);
    assert_eq!((outcome.tally.connections.established, outcome.tally.connections.failed), (0, 4));
    let example = outcome.tally.failures.example(Cause::Handshake).unwrap();
    assert!(example.contains("404 Not Found"), "{example}");
}

#[test]
fn frames_that_are_none_end_the_connection_as_garbage() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        let _ = ws.read()?;
        // A mask, which servers do not use.
        ws.write(&[0x82, 0x81, 1, 2, 3, 4, 5])?;
        // The end is the client's.
        ws.read().map(drop)
    });
    let outcome = run(Plan { connections: 1, shards: 1, ..echoes(addr, 1) });
    assert_failures(&outcome, &[(Cause::Garbage, 1)]);
    assert_eq!((outcome.tally.completed, outcome.tally.connections.lost), (0, 1));
}

#[test]
fn connections_that_the_server_ends_are_lost_and_made_anew() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        for _ in 0..3 {
            let (opcode, payload) = ws.read()?;
            ws.send(opcode, &payload)?;
        }
        ws.send(CLOSE, b"\x03\xe9going away")?;
        // What is sent meanwhile is not answered; the client closes in turn.
        while ws.read()?.0 != CLOSE {}
        Ok(())
    });
    let outcome = run(Plan { connections: 1, shards: 1, ..echoes(addr, 8) });
    let tally = &outcome.tally;
    let closed = tally.failures.count(Cause::Closed);
    assert_eq!(tally.completed + closed, 8, "each is answered, or fails with its connection");
    assert!(tally.connections.lost >= 2 && tally.connections.renewed >= 1, "{:?}", tally.connections);
    let example = tally.failures.example(Cause::Closed).unwrap();
    assert!(example.contains("1001 going away"), "{example}");
}

#[test]
fn pings_are_answered_with_what_they_held() {
    let (told, pongs) = mpsc::channel();
    let addr = serve(move |stream| {
        let mut ws = Ws::accept(stream)?;
        ws.send(PING, b"are you there?")?;
        let _ = told.send(ws.read()?);
        ws.read().map(drop)
    });
    let (outcome, pong) = run_until(idle(addr, WsPlan::default()), &pongs);
    assert_eq!(pong, (PONG, b"are you there?".to_vec()));
    assert_eq!((outcome.ended, outcome.tally.connections.lost), (Ended::Interrupted, 0));
    assert_failures(&outcome, &[]);
}

#[test]
fn the_first_message_of_every_socket_may_be_given() {
    let (told, first) = mpsc::channel();
    let addr = serve(move |stream| {
        let mut ws = Ws::accept(stream)?;
        let _ = told.send(ws.read()?);
        ws.read().map(drop)
    });
    let open = Some(Template::text("{\"subscribe\": \"{seq}\"}"));
    let (_, first) = run_until(idle(addr, WsPlan { open, ..WsPlan::default() }), &first);
    assert_eq!(first, (TEXT, b"{\"subscribe\": \"{seq}\"}".to_vec()));
}

#[test]
fn every_socket_has_its_number_in_its_handshake_and_its_first_message() {
    let (told, sockets) = mpsc::channel();
    let addr = serve(move |stream| {
        let mut ws = Ws::accept(stream)?;
        let (_, message) = ws.read()?;
        let _ = told.send((ws.head.clone(), String::from_utf8(message).unwrap()));
        ws.read().map(drop)
    });
    let parse = |text, place| Template::parse(text, place, &mut Files::new()).unwrap();
    // Longer than a frame's shortest lengths.
    let open = Some(parse("join {seq} as {rand:200}", Place::Text));
    let mut plan = idle(addr, WsPlan { open, ..WsPlan::default() });
    (plan.connections, plan.shards) = (10, 2);
    plan.http.asked = Asked::Template(parse("/rooms/{seq}", Place::Target));
    plan.http.headers = vec![("Cookie".to_owned(), parse("id={seq}", Place::Field))];
    let (all, enough) = mpsc::channel();
    let numbers = std::thread::spawn(move || {
        let mut numbers = BTreeSet::new();
        for (head, message) in sockets.iter().take(10) {
            let path = head.split(' ').nth(1).unwrap();
            let number: u32 = path.strip_prefix("/rooms/").unwrap().parse().unwrap();
            assert!(head.contains(&format!("\r\nCookie: id={number}\r\n")), "{head}");
            let name = message.strip_prefix(&format!("join {number} as ")).unwrap();
            assert!(name.len() == 200 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            numbers.insert(number);
        }
        let _ = all.send(());
        numbers
    });
    run_until(plan, &enough);
    assert_eq!(numbers.join().unwrap(), (0..10).collect());
}

#[test]
fn connections_ping_as_long_as_the_server_answers() {
    let (told, ends) = mpsc::channel();
    let addr = serve(move |stream| {
        let mut ws = Ws::accept(stream)?;
        for _ in 0..3 {
            assert_eq!(ws.read()?, (PING, Vec::new()));
            ws.send(PONG, b"")?;
        }
        // The fourth has no answer, and so there is no fifth.
        assert_eq!(ws.read()?, (PING, Vec::new()));
        assert!(ws.read().is_err());
        let _ = told.send(());
        Ok(())
    });
    let ping = Some(Duration::from_millis(20));
    let (outcome, ()) = run_until(idle(addr, WsPlan { ping, ..WsPlan::default() }), &ends);
    let example = outcome.tally.failures.example(Cause::Timeout).unwrap();
    assert!(example.contains("no pong"), "{example}");
    assert!(outcome.tally.connections.lost >= 1);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let addr = serve(|mut stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(drop)
    });
    let outcome = run(Plan { timeout: Duration::from_millis(100), ..echoes(addr, 1) });
    assert_eq!(outcome.ended, Ended::NobodyLeft);
    assert_eq!(outcome.tally.connections.failed, 4);
    assert!(outcome.tally.failures.count(Cause::ConnectTimeout) >= 4);
}

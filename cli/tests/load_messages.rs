//! `lakh load` as a process: WebSockets, TCP and UDP, and what comes of them in the report for programs.

#![cfg(unix)]

#[path = "../../loadtest/tests/by_hand/mod.rs"]
mod by_hand;

use by_hand::{BINARY, PING, PONG, TEXT, Ws, frame, serve};
use serde_json::Value;
use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// Runs it to its end: the exit status, the text, and the report for programs.
#[track_caller]
fn load(scheme: &str, addr: SocketAddr, options: &[&str]) -> (i32, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    command.args(["load", &format!("{scheme}://{addr}/"), "-t", "2", "--json"]).arg(&json).args(options);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    let text = String::from_utf8(stdout).unwrap();
    let report = fs::read_to_string(&json).unwrap_or_default();
    let report = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {errors}{text}"));
    (status.code().unwrap(), text, report)
}

/// That the report says so: `/connections/lost` is 0, and the like.
#[track_caller]
fn assert_counts(report: &Value, counts: &[(&str, u64)]) {
    for (name, count) in counts {
        assert_eq!(report.pointer(name).and_then(Value::as_u64), Some(*count), "{name} of {report:#}");
    }
}

/// Sends binary messages back, and gives texts to all that have joined, `copies` times by the number of the delivery.
/// Who joins says `open` first, if there is one; what is published is what stands within `trigger`, if there is one.
fn topic(
    open: Option<&'static str>,
    trigger: Option<(&'static str, &'static str)>,
    copies: impl Fn(u64) -> usize + Send + Sync + 'static,
) -> SocketAddr {
    let sockets = Arc::<Mutex<(HashMap<SocketAddr, TcpStream>, u64)>>::default();
    serve(move |stream| {
        let (own, other) = (stream.peer_addr()?, stream.try_clone()?);
        if open.is_none() {
            // Before it agrees, so that a client that is told so misses nothing.
            sockets.lock().unwrap().0.insert(own, other.try_clone()?);
        }
        let mut ws = Ws::accept(stream)?;
        if let Some(open) = open {
            assert_eq!(ws.read()?, (TEXT, open.as_bytes().to_vec()), "what is sent first");
            sockets.lock().unwrap().0.insert(own, other);
        }
        loop {
            let (opcode, payload) = ws.read()?;
            if opcode != TEXT {
                ws.send(opcode, &payload)?;
                continue;
            }
            let text = String::from_utf8(payload).unwrap();
            let message = match trigger {
                Some((begin, end)) => text.strip_prefix(begin).and_then(|text| text.strip_suffix(end)),
                None => Some(&*text),
            };
            let message = message.unwrap_or_else(|| panic!("{text} triggers nothing"));
            let (sockets, delivery) = &mut *sockets.lock().unwrap();
            for (peer, socket) in sockets {
                let copies = if *peer == own { 1 } else { copies(*delivery) };
                *delivery += u64::from(*peer != own);
                for _ in 0..copies {
                    // Some may be gone.
                    let _ = socket.write_all(&frame(TEXT, format!("all: {message}").as_bytes()));
                }
            }
        }
    })
}

#[test]
fn messages_come_back_over_a_websocket() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, payload) = ws.read()?;
            assert_eq!((opcode, payload.len()), (BINARY, 300));
            ws.send(opcode, &payload)?;
        }
    });
    for mode in [&[][..], &["--ws", "echo"], &["--ws", "echo", "-R", "5k"], &["-p", "8"]] {
        let options: Vec<_> = ["-c", "4", "-n", "200", "--size", "300"].iter().chain(mode).copied().collect();
        let (status, text, report) = load("ws", addr, &options);
        assert_counts(
            &report,
            &[
                ("/requests/completed", 200),
                ("/connections/established", 4),
                ("/connections/answered", 4),
                ("/connections/lost", 0),
                ("/errors/total", 0),
                ("/latency/response/count", 200),
            ],
        );
        assert_eq!((status, &report["held"]), (0, &Value::Null), "{text}");
    }
}

#[test]
fn an_echo_that_differs_is_an_error() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        loop {
            let (opcode, mut payload) = ws.read()?;
            payload[10] ^= 1;
            ws.send(opcode, &payload)?;
        }
    });
    let (status, text, report) = load("ws", addr, &["-c", "1", "-n", "10", "--fail-if", "errors>9"]);
    assert_counts(&report, &[("/errors/total", 10), ("/errors/causes/0/count", 10)]);
    assert_eq!((status, &report["errors"]["causes"][0]["cause"]), (99, &"body".into()), "{text}");
    assert!(text.contains("unexpected body") && text.contains("FAIL errors 10 > 9"), "{text}");
}

#[test]
fn a_message_for_all_reaches_all() {
    let addr = topic(None, None, |_| 1);
    let options = ["--ws", "broadcast", "-c", "5", "-n", "20", "--msg-rate", "500", "--fail-if", "missing>0"];
    let (status, text, report) = load("ws", addr, &options);
    assert_counts(
        &report,
        &[
            ("/broadcast/published", 20),
            ("/broadcast/received", 100),
            ("/broadcast/last/count", 20),
            ("/delivery/missing", 0),
            ("/delivery/duplicated", 0),
            ("/requests/sent", 0),
        ],
    );
    assert_eq!(status, 0, "{text}");
    for part in ["broadcasts 500/s", "published 20   received 100 of 100", "last receiver", "PASS missing 0"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn what_was_lost_of_a_broadcast_is_missing_and_may_fail_the_run() {
    // Every tenth is lost, and every tenth comes twice.
    let addr = topic(None, None, |delivery| match delivery % 10 {
        3 => 0,
        7 => 2,
        _ => 1,
    });
    let options = ["--ws", "broadcast", "-c", "5", "-n", "20", "--msg-rate", "500", "-T", "1s"];
    let (status, text, report) = load("ws", addr, &[&options[..], &["--fail-if", "missing>0"]].concat());
    assert_counts(
        &report,
        &[("/broadcast/received", 90), ("/delivery/missing", 10), ("/delivery/duplicated", 10)],
    );
    assert_eq!(status, 99, "{text}");
    assert!(
        text.contains("missing 10 (10%)   duplicated 10") && text.contains("FAIL missing 10 > 0"),
        "{text}"
    );
}

#[test]
fn connections_stand_answer_and_receive_one_after_the_other() {
    let addr = topic(None, None, |_| 1);
    let options = ["--ws", "echo,broadcast", "--hold", "1s", "-c", "6", "-n", "60"];
    let pid = std::process::id().to_string();
    let (status, text, report) = load("ws", addr, &[&options[..], &["--pid", &pid]].concat());
    assert_counts(
        &report,
        &[
            ("/requests/completed", 60),
            ("/connections/established", 6),
            ("/held/open", 6),
            ("/held/lost", 0),
            ("/broadcast/published", 1),
            ("/broadcast/received", 6),
            ("/errors/total", 0),
        ],
    );
    assert!(report["held"]["time_s"].as_f64().unwrap() >= 1.0, "{report:#}");
    if cfg!(target_os = "linux") {
        for memory in ["client", "server", "kernel_slab", "kernel_sockets"] {
            assert!(report["held"][memory]["held_bytes"].is_u64(), "{memory} of {report:#}");
        }
        assert!(report["held"]["client"]["held_bytes"].as_u64() > Some(100_000), "{report:#}");
    }
    assert!(text.contains("\n  held        1s   lost 0"), "{text}");
    assert_eq!(status, 0, "{text}");
}

#[test]
fn idle_connections_stand_and_those_that_drop_are_counted() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        // Who says this is kept; the others are cut.
        match ws.read()? {
            (TEXT, text) if text == b"keep me" => ws.read().map(drop),
            _ => Ok(()),
        }
    });
    let idle = ["--ws", "idle", "-c", "3", "--hold", "1s"];
    let (status, text, report) = load("ws", addr, &[&idle[..], &["--ws-open", "keep me"]].concat());
    assert_counts(
        &report,
        &[("/connections/established", 3), ("/connections/lost", 0), ("/held/open", 3), ("/errors/total", 0)],
    );
    assert_eq!((status, &report["plan"]["loop"]), (0, &"silent".into()), "{text}");
    assert!(text.contains("  idle\n  errors      0\n"), "{text}");

    let (status, text, report) = load("ws", addr, &[&idle[..], &["--ws-open", "cut me"]].concat());
    let count = |name: &str| report["connections"][name].as_u64().unwrap();
    assert!(count("lost") >= 3 && count("renewed") >= 1 && count("established") == 3, "{report:#}");
    assert!(text.contains("drops a minute"), "{text}");
    assert!(text.contains("closed by the server"), "{text}");
    assert!(report["errors"]["total"].as_u64() >= Some(count("lost")), "{report:#}");
    assert_eq!(status, 3, "{text}");

    // They stand from the end of the ramp on.
    let ramp = ["--ws-open", "keep me", "--ramp", "500ms"];
    let (_, text, report) = load("ws", addr, &[&idle[..], &ramp].concat());
    assert_counts(&report, &[("/held/open", 3), ("/held/lost", 0)]);
    assert_eq!(report["held"]["time_s"].as_f64(), Some(1.0), "{text}");
}

#[test]
fn connections_join_and_publish_in_the_words_of_their_server() {
    let addr = topic(Some("{\"join\":\"all\"}"), Some(("{\"say\":\"", "\"}")), |_| 1);
    let options = ["--ws", "echo,broadcast", "-c", "4", "-n", "8", "--ws-open", "{\"join\":\"all\"}"];
    let trigger = ["--ws-trigger", "{\"say\":\"{message}\"}"];
    let (status, text, report) = load("ws", addr, &[&options[..], &trigger].concat());
    assert_counts(
        &report,
        &[
            ("/requests/completed", 8),
            ("/broadcast/received", 4),
            ("/delivery/missing", 0),
            ("/errors/total", 0),
        ],
    );
    assert_eq!(status, 0, "{text}");
}

#[test]
fn sockets_ping_and_a_server_that_does_not_answer_loses_them() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        // The first ping is answered.
        ws.read()?;
        ws.send(PONG, b"")?;
        loop {
            ws.read()?;
        }
    });
    let options = ["--ws", "idle", "-c", "2", "-d", "2s", "--ping", "50ms", "--fail-if", "lost>1"];
    let (status, text, report) = load("ws", addr, &options);
    assert_eq!(report["errors"]["causes"][0]["cause"], "timeout", "{report:#}");
    assert!(text.contains("no pong"), "{text}");
    assert_eq!(status, 99, "{text}");
}

#[test]
fn a_server_without_websockets_is_quoted() {
    let addr = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1024])?;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let (status, text, report) = load("ws", addr, &["-c", "2", "-n", "10"]);
    assert_eq!((status, &report["ended"]), (3, &"nobody_left".into()), "{text}");
    assert!(text.contains("handshake refused") && text.contains("404 Not Found"), "{text}");
}

#[test]
fn a_server_that_pings_and_does_not_read_is_given_up() {
    let addr = serve(|stream| {
        let mut ws = Ws::accept(stream)?;
        loop {
            ws.send(PING, &[0; 125])?;
        }
    });
    let options = ["--ws", "echo", "-c", "1", "-n", "1", "-T", "60s"];
    let (status, text, _) = load("ws", addr, &options);
    assert!(text.contains("the server asks for answers, and does not read them"), "{text}");
    assert_eq!(status, 3, "{text}");
}

#[test]
fn a_server_that_hangs_up_at_once_is_called_less_and_less() {
    let addr = serve(|stream| Ws::accept(stream).map(drop));
    let (status, text, report) = load("ws", addr, &["--ws", "idle", "-c", "1", "-d", "2s"]);
    let renewed = report["connections"]["renewed"].as_u64().unwrap();
    // After 0.1, 0.3, 0.7 and 1.5 s; every 0.1 s it would be 20.
    assert!((1..=4).contains(&renewed), "{text}");
    assert_eq!(status, 3, "{text}");
}

#[test]
fn a_number_of_requests_that_cannot_be_reached_ends_the_run() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        // For the other thread's connection there is nobody.
        drop(listener);
        let mut bytes = [0; 64];
        while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
    });
    let (status, text, report) = load("tcp", addr, &["-c", "2", "-n", "10", "-T", "100ms"]);
    assert_counts(&report, &[("/requests/completed", 5)]);
    assert!(text.contains("ended early: nothing was answered any more"), "{text}");
    assert_eq!(status, 3, "{text}");
}

#[test]
fn bytes_come_back_over_tcp_or_not() {
    let addr = serve(|mut stream| {
        let mut bytes = [0; 100];
        for _ in 0..10 {
            stream.read_exact(&mut bytes)?;
            stream.write_all(&bytes)?;
        }
        stream.read_exact(&mut bytes)
    });
    let fails = ["--fail-if", "answered<4", "--fail-if", "established<4"];
    let options = ["-c", "4", "-n", "40", "--size", "100"];
    let (status, text, report) = load("tcp", addr, &[&options[..], &fails].concat());
    assert_counts(&report, &[("/connections/established", 4), ("/connections/answered", 4)]);
    // Each of them ends after ten, whoever had how many.
    let (completed, errors) = (report["requests"]["completed"].as_u64(), report["errors"]["total"].as_u64());
    assert_eq!(completed.unwrap() + errors.unwrap(), 40, "{report:#}");
    let lost = report["connections"]["lost"].as_u64().unwrap();
    assert_eq!(status, if lost > 0 { 3 } else { 0 }, "{text}");
}

#[test]
fn datagrams_that_come_twice_late_or_never_are_told_apart() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || -> io::Result<()> {
        let mut buf = [0; 2048];
        for number in 0.. {
            let (n, peer) = socket.recv_from(&mut buf)?;
            let copies = match number % 10 {
                3 => 0,
                7 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                socket.send_to(&buf[..n], peer)?;
            }
        }
        Ok(())
    });
    let options = ["-c", "10", "-n", "100", "-T", "1s", "--fail-if", "missing>9"];
    let (status, text, report) = load("udp", addr, &options);
    assert_counts(
        &report,
        &[
            ("/requests/completed", 90),
            ("/delivery/missing", 10),
            ("/delivery/duplicated", 10),
            ("/errors/total", 0),
        ],
    );
    assert_eq!(status, 99, "{text}");
}

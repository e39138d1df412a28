//! `lakh load` as a process: what it says of servers with faults, and how it ends.

#![cfg(unix)]

#[path = "../../loadtest/tests/common/mod.rs"]
mod common;

use common::{Connection, OK, serve};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

/// Longer than any test: what ends, ends by itself.
const FOREVER: &str = "1h";

fn load(url: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    command.args(["load", url, "-t", "2"]).args(options).stdin(Stdio::null());
    command
}

/// Runs it to its end: the exit status and the report.
fn report(addr: SocketAddr, options: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = load(&format!("http://{addr}/"), options).output().unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

#[track_caller]
fn assert_says(report: &str, parts: &[&str]) {
    // How columns are aligned is tested elsewhere.
    let words = report.split([' ', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ") + " ";
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in\n{report}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (url, options, part) in [
        ("https://127.0.0.1/", &[][..], "TLS is not there yet"),
        ("http://127.0.0.1:0/", &[], "1 to 65535"),
        ("http://no.such.host.invalid/", &[], "not resolved yet"),
        ("http://127.0.0.1/", &["-c", "many"], "20k"),
        ("http://127.0.0.1/", &["-R", "0"], "no rate"),
        ("http://127.0.0.1/", &["-R", "5", "-p", "2"], "cannot be used with"),
        ("http://127.0.0.1/", &["-H", "no field"], "Name: value"),
        ("http://127.0.0.1/", &["-H", "a: b\r\nc: d"], "control characters"),
        ("http://127.0.0.1/", &["--src", "10.0.0.0/99"], "10.0.1.0/28"),
        ("http://127.0.0.1/", &["--stages", "1s"], "TIME:CONNECTIONS"),
        ("http://127.0.0.1/", &["--stages", "1s:9", "-c", "8"], "more connections than -c"),
        ("http://127.0.0.1/", &["--stages", "1s:9,1s:0", "--hold", "1s"], "connections that stand"),
        ("http://127.0.0.1/", &["-b", "@/no/such/file"], "/no/such/file"),
        ("http://127.0.0.1/", &["--json", "/no/such/file"], "/no/such/file"),
        ("http://127.0.0.1/", &["--fail-if", "p99"], "p99>5ms"),
        ("http://127.0.0.1/", &["--fail-if", "speed>5"], "is no metric"),
        ("http://127.0.0.1/", &["--ws", "echo"], "--ws has a meaning for ws URLs only"),
        ("http://127.0.0.1/", &["-d", "0s"], "measures nothing"),
        #[cfg(target_os = "linux")]
        ("http://127.0.0.1/", &["--pid", "4294967295"], "no such process"),
        ("http://127.0.0.1/", &["--size", "1k"], "for ws, tcp and udp URLs only"),
        ("ws://127.0.0.1/", &["-b", "a"], "--body has a meaning for http URLs only"),
        ("tcp://127.0.0.1:9", &["-H", "a: b"], "--header has a meaning for http and ws URLs only"),
        ("ws://127.0.0.1/", &["--ws", "never"], "echo, broadcast, idle"),
        ("ws://127.0.0.1/", &["--ws", "idle,echo"], "--hold"),
        ("ws://127.0.0.1/", &["--ws", "idle", "-n", "5"], "-n has no meaning"),
        ("ws://127.0.0.1/", &["--ws", "idle", "-d", "5", "--hold", "5"], "are the same"),
        ("ws://127.0.0.1/", &["--msg-rate", "5"], "--ws broadcast"),
        ("ws://127.0.0.1/", &["--ws", "broadcast", "--ws-trigger", "x"], "{message}"),
        ("udp://127.0.0.1:9/", &["--ping", "5s"], "--ping has a meaning for ws URLs only"),
        ("udp://127.0.0.1:9/", &["--size", "1m"], "65,507"),
    ] {
        let Output { status, stdout, stderr } = load(url, options).output().unwrap();
        let errors = String::from_utf8(stderr).unwrap();
        assert!(errors.contains(part) && errors.lines().count() == 1, "{errors}");
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{errors}");
    }
}

#[test]
fn a_run_in_order_ends_with_0_and_counts_every_request() {
    let (tell, told) = mpsc::channel();
    let addr = serve(move |mut connection| {
        let mut head = connection.request();
        tell.send(head.clone()).unwrap();
        while !head.is_empty() && connection.send(OK) {
            head = connection.request();
        }
    });
    let options =
        ["-n", "1k", "-c", "8", "-m", "put", "-H", "X-A: b", "--expect-status", "200", "--expect-body", "ok"];
    let (status, report) = report(addr, &options);
    assert_says(&report, &["requests 1,000 ", "errors 0", "2xx 1,000 ", "established 8", "lost 0"]);
    assert_eq!(status, 0);
    let expected = format!("put / HTTP/1.1\r\nHost: {addr}\r\nX-A: b\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(told.iter().take(8).collect::<Vec<_>>(), vec![expected; 8]);
}

#[test]
fn a_condition_that_holds_ends_it_with_99() {
    let addr = serve(|mut connection| connection.answer_all());
    let options = ["-n", "50", "-c", "2", "--fail-if", "errors>0", "--fail-if", "p99>0ms"];
    let (status, text) = report(addr, &options);
    assert_says(&text, &["PASS errors 0 ≤ 0", "FAIL p99"]);
    assert_eq!(status, 99, "{text}");
    let (status, text) = report(addr, &["-n", "50", "-c", "2", "--fail-if", "errors>0"]);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn the_report_goes_to_files_too() {
    let addr = serve(|mut connection| connection.answer_all());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, html, hdr) = (path("a.json"), path("a.html"), path("a.hgrm"));
    let options = ["-n", "50", "-c", "2", "--json", &json, "--html", &html, "--hdr", &hdr];
    let (status, text) = report(addr, &options);
    assert_eq!(status, 0, "{text}");
    let read = |path| std::fs::read_to_string(path).unwrap();
    let (json, html, hdr) = (read(&json), read(&html), read(&hdr));
    assert!(
        json.starts_with('{') && json.trim_end().ends_with('}') && json.contains("\"completed\""),
        "{json}"
    );
    assert!(html.contains("<svg") && !html.contains("https://") && !html.contains("src="), "{html}");
    assert!(hdr.contains("Percentile") && hdr.contains("#[Max"), "{hdr}");
}

#[test]
fn what_the_machine_lacks_is_said_before_anything_is_sent() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, text) = report(addr, &["--check", "-c", "10"]);
    assert_says(&text, &["preflight", "open files need", "memory"]);
    assert_eq!(status, 0, "{text}");
    // Of a network for documents (RFC 5737).
    let (status, text) = report(addr, &["--check", "--src", "192.0.2.0/28"]);
    assert_says(
        &text,
        &["192.0.2.1 is none of this machine's", "NOT ENOUGH", "sudo ip address add 192.0.2.1"],
    );
    assert_eq!(status, 1, "{text}");
    // More than any machine has memory for.
    let (status, text) = report(addr, &["--check", "-c", "4000m"]);
    assert_says(&text, &["NOT ENOUGH"]);
    assert_eq!(status, 1, "{text}");
    let output = load(&format!("http://{addr}/"), &["-c", "4000m"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("NOT ENOUGH") && errors.contains("cannot do that"), "{errors}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn datagrams_come_back_or_are_missing() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buf = [0; 2048];
        for number in 1.. {
            let (n, peer) = socket.recv_from(&mut buf).unwrap();
            assert_eq!(n, 100);
            // Every tenth is lost.
            if number % 10 != 0 {
                socket.send_to(&buf[..n], peer).unwrap();
            }
        }
    });
    let url = format!("udp://{addr}");
    let options = ["-n", "100", "-c", "10", "--size", "100", "-T", "1s"];
    let output = load(&url, &options).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_says(&text, &["datagrams 90 ", "missing 10 (10%)", "duplicated 0"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn bytes_come_back_over_tcp() {
    let addr = serve(|mut connection| {
        let mut bytes = [0; 100];
        while connection.0.read_exact(&mut bytes).is_ok() && connection.send(&bytes) {}
    });
    let output = load(&format!("tcp://{addr}"), &["-n", "100", "-c", "4", "--size", "100"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_says(&text, &["messages 100 ", "errors 0 connections", "established 4", "lost 0"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn lines_tell_of_it_where_there_is_no_terminal() {
    let addr = serve(|mut connection| connection.answer_all());
    let output = load(&format!("http://{addr}/"), &["-d", "2s", "-c", "2"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("2 of 2 connections") && !errors.contains('\x1b'), "{errors}");
}

#[test]
fn nobody_listens() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for pace in [&["-c", "8"][..], &["-c", "8", "-R", "100"], &["--ramp", "100ms", "-c", "8", "-T", "1s"]] {
        let options: Vec<_> = ["-d", FOREVER].iter().chain(pace).copied().collect();
        let (status, report) = report(addr, &options);
        assert_says(
            &report,
            &[
                &format!("connection refused {addr}:"),
                "requests 0",
                "requested 8",
                "established 0",
                "failed 8",
            ],
        );
        assert_eq!(status, 3, "{report}");
    }
}

#[test]
fn an_address_that_is_not_of_this_machine_is_named_before_anything_is_sent() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // For documentation alone (RFC 5737).
    for scheme in ["tcp", "udp"] {
        let options = ["-c", "1", "-n", "1", "-T", "100ms", "--src", "192.0.2.0/28"];
        let output = load(&format!("{scheme}://{addr}"), &options).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("192.0.2.1 is none of this machine's"), "{errors}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    }
}

#[test]
fn a_server_that_dies_half_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let connections: Vec<_> = (0..4).map(|_| listener.accept().unwrap().0).collect();
        drop(listener);
        for stream in connections {
            thread::spawn(move || {
                let mut connection = Connection(BufReader::new(stream));
                for _ in 0..25 {
                    connection.request();
                    connection.send(OK);
                }
                // It has read the next one: its end is no reset.
                connection.request();
            });
        }
    });
    let (status, report) = report(addr, &["-d", FOREVER, "-c", "4", "-T", "1s"]);
    let parts = ["requests 100 ", "4 closed by the server ", "connection refused", "established 4", "lost 4"];
    assert_says(&report, &parts);
    assert_eq!(status, 3, "{report}");
}

#[test]
fn a_server_that_answers_garbage() {
    let addr = serve(|mut connection| {
        connection.request();
        connection.send(b"220 mail ESMTP\r\n");
        connection.request();
    });
    let (status, report) = report(addr, &["-d", FOREVER, "-n", "8", "-c", "4"]);
    assert_says(&report, &["requests 0 ", "errors 8", "8 not the protocol ", "established 4", "lost 8"]);
    assert_eq!(status, 3, "{report}");
}

#[test]
fn a_server_that_answers_nothing() {
    let addr = serve(|mut connection| while !connection.request().is_empty() {});
    let (status, report) = report(addr, &["-d", FOREVER, "-n", "8", "-c", "4", "-T", "200ms"]);
    assert_says(&report, &["requests 0 ", "8 answer timed out ", "established 4"]);
    assert_eq!(status, 3, "{report}");
}

#[test]
fn a_run_without_any_answer_is_no_good_run() {
    // Still waiting at its end: nothing has failed yet.
    let addr = serve(|mut connection| while !connection.request().is_empty() {});
    let (status, text) = report(addr, &["-d", "300ms", "-c", "4"]);
    assert_says(&text, &["errors 0 unanswered 4 ", "lost 0 ", "WARNING nothing was answered "]);
    assert_eq!(status, 3, "{text}");
    // Sockets for datagrams stand without anybody at the other end.
    let addr = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = load(&format!("udp://{addr}"), &["-d", "300ms", "-c", "1"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_says(
        &text,
        &["datagrams 0 ", &format!("connection refused {addr}:"), "WARNING nothing was answered "],
    );
    assert_eq!(output.status.code(), Some(3), "{text}");
}

#[test]
fn a_connection_that_breaks_while_it_is_idle_has_a_cause() {
    let addr = serve(|mut connection| {
        connection.request();
        connection.send(OK);
        // Without having said so.
    });
    let (status, text) = report(addr, &["-n", "3", "-R", "10", "-c", "1"]);
    assert_says(&text, &["requests 3 ", "closed by the server the server closed an idle connection "]);
    assert_eq!(status, 3, "{text}");
}

#[test]
fn a_server_that_stops_answering_is_not_fast() {
    let served = std::sync::atomic::AtomicU64::new(0);
    let addr = serve(move |mut connection| {
        while !connection.request().is_empty() {
            if served.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 10 && !connection.send(OK) {
                return;
            }
        }
    });
    let options = ["-R", "200", "-d", "1s", "-c", "2", "--fail-if", "p90>500ms"];
    let (status, text) = report(addr, &options);
    assert_says(&text, &["unanswered 2 ", "FAIL p90 ", "response times hold those of "]);
    assert_eq!(status, 99, "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let addr = serve(|mut connection| connection.answer_all());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = load(&format!("http://{addr}/"), &["-n", "5"]).stdout(full).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("cannot write the report"), "{errors}");
    assert_eq!(output.status.code(), Some(1), "{errors}");
}

#[test]
fn a_server_that_closes_as_it_says_it_will_loses_nothing() {
    let addr = serve(|mut connection| {
        assert!(connection.request().contains("\r\nConnection: close\r\n"));
        connection.send(OK);
    });
    let (status, report) = report(addr, &["-n", "100", "-c", "4", "--no-keepalive"]);
    assert_says(&report, &["requests 100 ", "errors 0", "established 4", "lost 0"]);
    assert_eq!(status, 0, "{report}");
}

#[test]
fn what_was_expected_and_did_not_come_is_an_error() {
    let addr = serve(|mut connection| connection.answer_all());
    let (_, status) = report(addr, &["-n", "10", "--expect-status", "204"]);
    assert_says(&status, &["errors 10", "10 unexpected status ", "2xx 10"]);
    let (_, body) = report(addr, &["-n", "10", "--expect-body", "no"]);
    assert_says(&body, &["errors 10", "10 unexpected body "]);
}

/// One that has sent requests, and would go on.
fn running(stdout: Stdio) -> Child {
    let (tell, told) = mpsc::channel();
    let addr = serve(move |mut connection| {
        connection.request();
        // The test may have heard of another one.
        let _ = tell.send(());
        connection.send(OK);
        connection.answer_all();
    });
    let child = load(&format!("http://{addr}/"), &["-d", FOREVER, "-c", "4"]).stdout(stdout).spawn().unwrap();
    told.recv().unwrap();
    child
}

#[test]
fn ctrl_c_ends_it_with_what_is_known() {
    let mut child = running(Stdio::piped());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert_says(&report, &["established 4", "errors 0", "lost 0"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn two_signals_at_once_are_one() {
    // As timeout(1) sends them, to the process and then to its group; two of a kind may come as one.
    for signals in [[Signal::INT, Signal::INT], [Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM]] {
        let mut child = running(Stdio::piped());
        for signal in signals {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        let mut report = String::new();
        child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        assert_says(&report, &["established 4", "errors 0", "lost 0"]);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signals:?}");
    }
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let (_reader, mut writer) = io::pipe().unwrap();
    // As much as a pipe holds (pipe(7)): the report waits for somebody who reads it.
    writer.write_all(&[0; 65_536]).unwrap();
    let mut child = running(writer.into());
    let status = loop {
        // Two that are close together may count as one.
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        thread::yield_now();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(130));
}

//! The echo example as its users run it: a process, sockets, signals.
#![cfg(unix)]

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

/// Ends a test that hangs; no test is meant to come near it.
const HANG: Option<Duration> = Some(Duration::from_secs(60));

/// `cargo test` builds the examples beside the tests.
fn program() -> Command {
    let mut path: PathBuf = env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples/echo"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Server {
    process: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(shards: &str) -> Self {
        let args = ["--listen", "127.0.0.1:0", "--shards", shards];
        let mut process = program().args(args).spawn().expect("cargo builds the example");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.strip_prefix("listening on tcp://").and_then(|rest| rest.split(' ').next());
        let addr = addr.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        assert_eq!(line, format!("listening on tcp://{addr} and udp://{addr}\n"));
        Server { process, addr }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(HANG).unwrap();
        stream.set_write_timeout(HANG).unwrap();
        stream
    }

    /// Sends a signal by name, and waits for the end.
    fn end_with(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.process.wait().unwrap()
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn streams_come_back_whole_and_end_after_they_were_ended() {
    let server = Server::start("2");
    let sent: Vec<u8> = (0..8_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stream = server.connect();
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut received).unwrap();
    });
    assert!(received == sent);
}

#[test]
fn a_peer_that_sends_much_before_it_reads_loses_nothing() {
    let server = Server::start("1");
    let mut stream = server.connect();
    let sender = stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        let chunk = [5; 64 * 1024];
        // More than all buffers on the way hold: the server stops reading, and other peers go on.
        (0..400).for_each(|_| (&sender).write_all(&chunk).unwrap());
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut other = server.connect();
    for _ in 0..100 {
        other.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        other.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    thread.join().unwrap();
    assert_eq!(received.len(), 400 * 64 * 1024);
}

#[test]
fn datagrams_come_back_to_their_senders() {
    let server = Server::start("2");
    for i in 0..20_u8 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(HANG).unwrap();
        socket.connect(server.addr).unwrap();
        for len in [0, 1, 1000, 50_000] {
            socket.send(&vec![i; len]).unwrap();
            let mut buf = vec![0; 65_536];
            assert_eq!(socket.recv(&mut buf).unwrap(), len);
            assert!(buf[..len].iter().all(|byte| *byte == i));
        }
    }
}

#[test]
fn a_signal_ends_it_although_a_connection_is_open() {
    for signal in ["TERM", "INT"] {
        let server = Server::start("2");
        let mut stream = server.connect();
        stream.write_all(b"here").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(server.end_with(signal).code(), Some(0), "{signal}");
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0, "the connection has ended");
    }
}

/// The server has read bytes that it could not send back yet when the signal comes.
#[test]
fn what_was_read_before_the_signal_is_still_sent_back() {
    let mut server = Server::start("1");
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0_u64;
    while let Ok(n) = stream.write(&[6; 64 * 1024]) {
        sent += n as u64;
    }
    server.signal("TERM");
    let mut line = String::new();
    BufReader::new(server.process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "echo: ending, 1 connections get their rest\n");
    let mut received = 0;
    let mut buf = [0; 64 * 1024];
    // It leaves with bytes unread, so the end may come as a reset.
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        assert!(buf[..n].iter().all(|byte| *byte == 6));
        received += n as u64;
    }
    assert!(received > 0 && received <= sent);
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

fn fails(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = program().args(args).output().unwrap();
    assert_eq!(status.code(), Some(2), "{args:?}");
    assert!(stdout.is_empty());
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_taken_port_is_refused_in_one_line() {
    let server = Server::start("2");
    let addr = server.addr.to_string();
    let said = fails(&["--listen", &addr, "--shards", "2"]);
    assert!(said.starts_with(&format!("echo: cannot listen on {addr}: ")), "{said}");
    let mut stream = server.connect();
    stream.write_all(b"mine").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
}

//! Running out of descriptors. The server is a process of its own: this test program again, with a
//! low limit.
#![cfg(unix)]

mod common;

use common::*;
use lakh_core::{Runtime, Shard, current};
use lakh_net::{AcceptMetrics, ListenOptions, ListenerGroup, TcpListener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    env,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

/// Where the server reports to, and how many shards it has: set in the server's process only.
const CONTROL: &str = "LAKH_TEST_CONTROL";
const SHARDS: &str = "LAKH_TEST_SHARDS";
/// Set if each of them has a descriptor table of its own.
const PRIVATE: &str = "LAKH_TEST_PRIVATE";
/// Descriptors of the server: its own are about twenty.
const LIMIT: u64 = 40;

/// Asks for the counters.
const METRICS: u8 = b'm';
/// Asks the server to open files until the descriptor that is kept in reserve is among them.
const STEAL: u8 = b's';
/// Asks the server to close them.
const GIVE_BACK: u8 = b'g';

/// The server's part. Greets each connection, echoes, and holds it until its peer leaves.
#[test]
#[ignore = "started by the other tests"]
fn server() {
    let Ok(control) = env::var(CONTROL) else { return };
    let shards = env::var(SHARDS).unwrap().parse().unwrap();
    let mut control = TcpStream::connect(control).unwrap();
    let metrics = Arc::new(AcceptMetrics::default());
    let group = ListenerGroup::bind(loopback(), &ListenOptions::default()).unwrap();
    let addr = group.local_addr();
    let mut builder = Runtime::builder().shards(shards).private_descriptors(env::var(PRIVATE).is_ok());
    let listeners = group.for_runtime(&mut builder).unwrap();
    let counted = Arc::clone(&metrics);
    let start = move |shard: &Shard| {
        if let Some(listener) = listeners.listen(shard)? {
            shard.spawn_detached(accept_all(listener.count_in(Arc::clone(&counted))));
        }
        Ok(())
    };
    let _runtime = builder.start(start).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum }).unwrap();
    control.write_all(format!("{addr}\n").as_bytes()).unwrap();

    let mut stolen = Vec::new();
    let mut request = [0];
    // The other side closes this connection when it has seen enough.
    while control.read(&mut request).unwrap() == 1 {
        match request[0] {
            METRICS => {
                let m = [metrics.accepted(), metrics.shed(), metrics.starved(), metrics.errors()];
                control.write_all(&m.map(u64::to_le_bytes).concat()).unwrap();
            }
            STEAL => {
                while metrics.starved() == 0 {
                    stolen.extend(File::open("/dev/null"));
                }
                control.write_all(&request).unwrap();
            }
            GIVE_BACK => stolen.clear(),
            other => panic!("an unknown request: {other}"),
        }
    }
}

async fn accept_all(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepting goes on");
        current().spawn_detached(async move {
            // It may have left already.
            let _ = stream.write_all(b"k").await;
            let mut request = [0];
            while let Ok(1) = stream.read(&mut request).await {
                stream.write_all(&request).await.unwrap();
            }
        });
    }
}

struct Server {
    process: Child,
    control: TcpStream,
    addr: SocketAddr,
    /// Connections that it could not have.
    most: usize,
}

impl Server {
    fn start(shards: usize) -> Self {
        Self::start_with(shards, false, Stdio::piped())
    }

    #[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
    fn start_private(shards: usize) -> Self {
        Self::start_with(shards, true, Stdio::piped())
    }

    fn start_with(shards: usize, private: bool, stderr: Stdio) -> Self {
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "server", "--ignored", "--nocapture"])
            .env(CONTROL, listener.local_addr().unwrap().to_string())
            .env(SHARDS, shards.to_string())
            .envs(private.then_some((PRIVATE, "1")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut control = accept_from(&listener, &mut process);
        let mut line = String::new();
        while !line.ends_with('\n') {
            let mut byte = [0];
            control.read_exact(&mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        let tables = if private { shards } else { 1 };
        Server { process, control, addr: line.trim_end().parse().unwrap(), most: tables * LIMIT as usize }
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream
    }

    /// A connection if the server has greeted it; `None` if it was shed.
    fn connect(&self) -> Option<TcpStream> {
        greeted(self.open())
    }

    fn ask(&mut self, request: u8) {
        self.control.write_all(&[request]).unwrap();
    }

    /// Accepted, shed, starved, errors.
    fn metrics(&mut self) -> [u64; 4] {
        self.ask(METRICS);
        let mut answer = [0; 32];
        self.control.read_exact(&mut answer).unwrap();
        [0, 1, 2, 3].map(|i| u64::from_le_bytes(answer[8 * i..][..8].try_into().unwrap()))
    }

    /// The counters once `n` connections were shed: they are counted after they were closed.
    fn metrics_with_shed(&mut self, n: u64) -> [u64; 4] {
        let begin = Instant::now();
        loop {
            let metrics = self.metrics();
            if metrics[1] >= n || begin.elapsed() > HANG {
                return metrics;
            }
        }
    }

    /// Fills the server until it has shed `n` connections; those that were served.
    fn fill(&self, n: usize) -> Vec<TcpStream> {
        let mut served = Vec::new();
        let mut shed = 0;
        while shed < n {
            match self.connect() {
                Some(stream) => served.push(stream),
                None => shed += 1,
            }
            assert!(served.len() < self.most, "the limit does not hold");
        }
        served
    }

    /// Ends the server; what it has said on stderr.
    fn end(mut self) -> String {
        drop(self.control);
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.process.wait().unwrap().success(), "{said}");
        said
    }
}

/// Waits until the server greets the connection, or closes it.
fn greeted(mut stream: TcpStream) -> Option<TcpStream> {
    match stream.read(&mut [0]) {
        Ok(1) => Some(stream),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
        Err(error) => panic!("neither greeted nor closed: {error}"),
    }
}

/// Fails if the process ends instead of connecting.
fn accept_from(listener: &std::net::TcpListener, process: &mut Child) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(HANG)).unwrap();
                return stream;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert_eq!(process.try_wait().unwrap(), None, "the server has not started");
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_served(mut stream: &TcpStream) {
    let mut answer = [0];
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"x");
}

#[test]
fn without_descriptors_connections_are_closed_and_counted_until_there_are_some_again() {
    let begin = Instant::now();
    let mut server = Server::start(1);
    let mut served = server.fill(20);
    let count = served.len() as u64;
    assert!(count > 0);
    assert_eq!(server.metrics_with_shed(20), [count, 20, 0, 0]);

    // The connections that were served are still served, and those that leave make room.
    let keep = served.pop().unwrap();
    drop(served);
    let mut again = Vec::new();
    for _ in 0..1000 {
        again.extend(server.connect());
        if again.len() as u64 == count - 1 {
            break;
        }
    }
    assert_eq!(again.len() as u64, count - 1, "accepting has not recovered");
    is_served(&keep);
    let [accepted, shed_in_all, starved, errors] = server.metrics();
    assert_eq!((accepted, starved, errors), (2 * count - 1, 0, 0));
    assert!(shed_in_all >= 20);

    let said = server.end();
    let most = 1 + begin.elapsed().as_secs() / 10;
    let lines = said.matches("cannot accept").count() as u64;
    assert!((1..=most).contains(&lines), "one line in ten seconds: {said}");
}

#[test]
fn with_two_shards_whoever_comes_without_descriptors_is_greeted_or_closed() {
    const CLIENTS: usize = 4;
    const EACH: usize = 60;
    let mut server = Server::start(2);
    let served: Vec<TcpStream> = std::thread::scope(|scope| {
        let client = || (0..EACH).filter_map(|_| server.connect()).collect::<Vec<_>>();
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    served.iter().for_each(is_served);
    let count = served.len() as u64;
    let closed = (CLIENTS * EACH) as u64 - count;
    let [accepted, shed, _, errors] = server.metrics_with_shed(closed);
    assert_eq!((accepted, shed, errors), (count, closed, 0));
    server.end();
}

#[test]
fn a_reserve_that_others_took_is_regained_when_a_descriptor_is_free() {
    for shards in [1, 2] {
        let mut server = Server::start(shards);
        let served = server.fill(1);
        server.ask(STEAL);
        server.control.set_nonblocking(true).unwrap();
        let mut waiting: Vec<TcpStream> = Vec::new();
        let stolen = |server: &mut Server| server.control.read(&mut [0]).is_ok_and(|n| n == 1);
        // There is always something to be shed, until nothing can be.
        while !stolen(&mut server) {
            waiting.retain(|stream| !is_closed(stream));
            while waiting.len() < 32 {
                waiting.push(server.open());
            }
        }
        server.control.set_nonblocking(false).unwrap();
        server.ask(GIVE_BACK);
        waiting.extend((0..10).map(|_| server.open()));
        let answered: Vec<_> = waiting.into_iter().filter_map(greeted).collect();
        drop(server.fill(20));
        served.iter().for_each(is_served);
        drop(answered);
        server.end();
    }
}

#[test]
fn a_standard_error_that_nobody_reads_holds_no_shard_up() {
    let (mut reader, writer) = full_pipe();
    let mut server = Server::start_with(1, false, writer.into());
    let served = server.fill(20);
    assert_eq!(server.metrics_with_shed(20), [served.len() as u64, 20, 0, 0]);
    served.iter().for_each(is_served);
    // The line was only waiting to be read.
    let mut said = Vec::new();
    while !said.windows(13).any(|words| words == b"cannot accept") {
        let mut some = [0; 4096];
        let n = reader.read(&mut some).unwrap();
        assert!(n > 0, "the line has not come");
        said.extend_from_slice(&some[..n]);
    }
    drop(server.control);
    assert!(server.process.wait().unwrap().success());
}

/// Each shard's table has the limit for itself, runs out by itself, and comes back by itself.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn shards_with_their_own_tables_hold_more_than_the_limit() {
    let shared = Server::start(2);
    let in_one = shared.fill(1).len();
    shared.end();

    let mut server = Server::start_private(2);
    // The kernel chooses the shard by a hash, so connections are shed long before both tables are full.
    let mut served = server.fill(200);
    let count = served.len();
    // Standard streams, poll, event, listener and reserve are what each shard has besides.
    assert_eq!(count, 2 * (LIMIT as usize - 7), "in one table: {in_one}");
    assert!(count > LIMIT as usize && in_one < LIMIT as usize);
    served.iter().for_each(is_served);
    let [accepted, shed, starved, errors] = server.metrics_with_shed(200);
    assert_eq!((accepted, shed, starved, errors), (count as u64, 200, 0, 0));

    served.truncate(count / 2);
    let begin = Instant::now();
    while served.len() < count {
        served.extend(server.connect());
        assert!(begin.elapsed() < HANG, "accepting has not recovered");
    }
    served.iter().for_each(is_served);
    let said = server.end();
    assert!(said.contains("cannot accept"), "{said}");
}

/// A pipe that takes no byte before some are read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b' '; 512]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Whether the server has closed it, without waiting.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let result = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match result {
        Ok(n) => n == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

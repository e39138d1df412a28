//! Running out of descriptors. The server is a process of its own: this test program again, with a
//! low limit.
#![cfg(unix)]

mod common;

use common::*;
use lakh_core::{current, spawn_detached};
use lakh_net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    env,
    io::{self, Read, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    rc::Rc,
    time::Instant,
};

/// Where the server reports to: set in the server's process only.
const CONTROL: &str = "LAKH_TEST_CONTROL";
/// Descriptors of the server: its own are about fifteen.
const LIMIT: u64 = 40;

/// Asks for the counters.
const METRICS: u8 = b'm';

/// The server's part. Greets each connection, and holds it until its peer leaves.
#[test]
#[ignore = "started by the other test"]
fn server() {
    let Ok(control) = env::var(CONTROL) else { return };
    on_shard(async move {
        let control = TcpStream::connect(control.parse().unwrap()).await.unwrap();
        let listener = Rc::new(TcpListener::bind(loopback()).unwrap());
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum }).unwrap();
        control.write_all(format!("{}\n", listener.local_addr().unwrap()).as_bytes()).await.unwrap();
        spawn_detached(accept_all(listener));
        // The other side closes this connection when it has seen enough.
        assert_eq!(control.read(&mut [0]).await.unwrap(), 0);
    });
}

async fn accept_all(listener: Rc<TcpListener>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepting goes on");
        let listener = listener.clone();
        current().spawn_detached(async move {
            stream.write_all(b"k").await.unwrap();
            let mut request = [0];
            while let Ok(1) = stream.read(&mut request).await {
                assert_eq!(request[0], METRICS);
                let m = listener.metrics();
                let answer = [m.accepted, m.shed, m.errors].map(u64::to_le_bytes).concat();
                stream.write_all(&answer).await.unwrap();
            }
        });
    }
}

struct Server {
    process: Child,
    control: std::net::TcpStream,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "server", "--ignored", "--nocapture"])
            .env(CONTROL, listener.local_addr().unwrap().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut control = accept_from(&listener, &mut process);
        let mut line = String::new();
        while !line.ends_with('\n') {
            let mut byte = [0];
            control.read_exact(&mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        Server { process, control, addr: line.trim_end().parse().unwrap() }
    }

    /// A connection if the server has greeted it; `None` if it was shed.
    fn connect(&self) -> Option<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let mut greeting = [0];
        match stream.read(&mut greeting) {
            Ok(1) => Some(stream),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("neither greeted nor closed: {error}"),
        }
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

/// Fails if the process ends instead of connecting.
fn accept_from(listener: &std::net::TcpListener, process: &mut Child) -> std::net::TcpStream {
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

fn metrics(stream: &mut std::net::TcpStream) -> [u64; 3] {
    stream.write_all(&[METRICS]).unwrap();
    let mut answer = [0; 24];
    stream.read_exact(&mut answer).unwrap();
    [0, 1, 2].map(|i| u64::from_le_bytes(answer[8 * i..][..8].try_into().unwrap()))
}

#[test]
fn without_descriptors_connections_are_closed_and_counted_until_there_are_some_again() {
    let begin = Instant::now();
    let server = Server::start();
    let mut served = Vec::new();
    let mut shed = 0;
    while shed < 20 {
        match server.connect() {
            Some(stream) => served.push(stream),
            None => shed += 1,
        }
        assert!(served.len() < LIMIT as usize, "the limit does not hold");
    }
    assert!(!served.is_empty());
    let count = served.len() as u64;
    assert_eq!(metrics(&mut served[0]), [count, shed, 0]);

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
    let [accepted, shed_in_all, errors] = metrics(&mut { keep });
    assert_eq!((accepted, errors), (2 * count - 1, 0));
    assert!(shed_in_all >= shed);

    let said = server.end();
    let most = 1 + begin.elapsed().as_secs() / 10;
    let lines = said.matches("cannot accept").count() as u64;
    assert!((1..=most).contains(&lines), "one line in ten seconds: {said}");
}

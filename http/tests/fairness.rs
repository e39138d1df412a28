//! Connections that always want more, beside others that want little: what each gets of a shard.
//!
//! The measure is the shard's turns. A task lets the loop go on for one turn at a time, so that the test decides
//! what has come before each of them; how fast the machine is does not matter.

mod common;

use bytes::Bytes;
use common::{Client, TestServer, eventually, get};
use lakh_http::{App, Body, BodyError, Limits, RequestBody, Response};
use std::{
    convert::Infallible,
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    task::Poll,
    thread::JoinHandle,
    time::Duration,
};

const OTHERS: usize = 64;
const ROUNDS: usize = 10;
/// Turns of a round: the kernel tells of the requests in the first, and the second polls their connections.
const TURNS: usize = 2;

/// Of so many turns in which others are ready, one is its.
const REST: usize = 8;
/// What a connection gets of one turn, at most.
const REQUESTS: usize = 16;
const BYTES: usize = 256 * 1024;
/// The last step of a turn may go beyond: a whole buffer is read, and a chunk is sent as it is.
const STEP: usize = 80 * 1024;

/// Lets a shard turn when it is told to, and holds it meanwhile.
struct Steps {
    held: Receiver<()>,
    go: Sender<()>,
}

impl Steps {
    fn of(server: &TestServer) -> Self {
        let ((hold, held), (go, wait)) = (channel(), channel::<()>());
        let step = move || hold.send(()).is_ok() && wait.recv().is_ok();
        let hold_each_turn = async move || {
            poll_fn(|cx| {
                if !step() {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        };
        server.running.shards().next().unwrap().spawn_on(hold_each_turn).unwrap();
        held.recv().unwrap();
        Steps { held, go }
    }

    /// One turn from here to here.
    fn turn(&self) {
        self.go.send(()).unwrap();
        self.held.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}

/// What the greedy one has got, as its handler or stream sees it.
#[derive(Clone, Default)]
struct Got(Arc<AtomicUsize>);

impl Got {
    fn add(&self, n: usize) {
        self.0.fetch_add(n, SeqCst);
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// `/` is what the others ask for.
fn app(got: &Got) -> App {
    let [plain, later, upload, download] = std::array::from_fn(|_| got.clone());
    App::new()
        .get("/", || "hello")
        .get("/plain", move || plain.add(1))
        .get("/async", move || {
            let later = later.clone();
            async move {
                let yielded = std::cell::Cell::new(false);
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if yielded.replace(true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                later.add(1);
            }
        })
        .post("/upload", move |mut body: RequestBody| {
            let upload = upload.clone();
            async move {
                while let Some(chunk) = body.chunk().await {
                    upload.add(chunk?.len());
                }
                Ok::<_, BodyError>("all")
            }
        })
        .get("/download", move || {
            let (download, chunk) = (download.clone(), Bytes::from(vec![b'x'; 30_000]));
            Response::new(Body::from_poll_fn(move |_| {
                download.add(chunk.len());
                Poll::Ready(Some(Ok::<_, Infallible>(chunk.clone())))
            }))
        })
        .get("/big", || vec![b'x'; 64 << 20])
}

/// A client that writes and reads as much as it can, until it is dropped.
struct Greedy {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Greedy {
    /// Sends `first`, and then `again` for ever.
    fn start(server: &TestServer, first: &str, again: Vec<u8>) -> Self {
        let mut stream = server.connect().stream;
        stream.write_all(first.as_bytes()).unwrap();
        let (mut writing, mut reading) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut threads = vec![std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while reading.read(&mut buffer).is_ok_and(|n| n > 0) {}
        })];
        if !again.is_empty() {
            threads.push(std::thread::spawn(move || {
                while !stopped.load(SeqCst) && writing.write_all(&again).is_ok() {}
            }));
        }
        Greedy { stream, stop, threads }
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.stream.shutdown(Shutdown::Both); // the server may have ended it
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn endless() -> Limits {
    Limits { body: u64::MAX, ..Limits::default() }
}

/// Each of the others is answered in every round, and the greedy one gets its share and no more. Gives what it has
/// got in all rounds.
fn has_its_share(first: &str, again: Vec<u8>, share: usize) -> usize {
    let got = Got::default();
    let seen = got.clone();
    let server = TestServer::with_limits(endless(), move |_| app(&seen));
    let mut others: Vec<Client> = (0..OTHERS).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.exchange(get("/")).text(), "hello"));
    let greedy = Greedy::start(&server, first, again);
    eventually("the greedy one is under way", || got.count() > 4 * share);
    let steps = Steps::of(&server);
    let at_first = got.count();
    for _ in 0..ROUNDS {
        others.iter_mut().for_each(|other| other.send(get("/")));
        let before = got.count();
        (0..TURNS).for_each(|_| steps.turn());
        let more = got.count() - before;
        assert!(more <= TURNS * share, "{more} in {TURNS} turns, where {share} in each is its share");
        others.iter_mut().for_each(|other| assert_eq!(other.answer().text(), "hello"));
    }
    let all = got.count() - at_first;
    drop(steps);
    let before = got.count();
    eventually("the greedy one goes on", || got.count() > before);
    drop(greedy);
    all
}

#[test]
fn a_connection_that_always_wants_more_sits_out_turns_in_which_others_are_ready() {
    // Of these a thousand come at once, so that it waits for nothing but its turn: but for the end of that many.
    let all = has_its_share("", get("/plain").repeat(1000).into_bytes(), REQUESTS);
    let turns = (TURNS * ROUNDS).div_ceil(REST) + 1;
    assert!(all <= turns * REQUESTS, "{all} in {} turns, of which {turns} are its", TURNS * ROUNDS);
}

#[test]
fn a_connection_that_pipelines_without_end_leaves_the_others_their_share() {
    has_its_share("", get("/plain").repeat(1000).into_bytes(), REQUESTS);
    has_its_share("", get("/async").repeat(1000).into_bytes(), REQUESTS);
}

#[test]
fn an_upload_without_end_leaves_the_others_their_share() {
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\n";
    let length = format!("{head}Content-Length: {}\r\n\r\n", u64::MAX);
    has_its_share(&length, vec![b'x'; 1 << 20], BYTES + STEP);
    let chunk = [b"186A0\r\n".to_vec(), vec![b'x'; 100_000], b"\r\n".to_vec()].concat();
    has_its_share(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"), chunk, BYTES + STEP);
}

#[test]
fn a_download_without_end_leaves_the_others_their_share() {
    has_its_share(&get("/download"), Vec::new(), BYTES + STEP);
}

/// The kernel would take megabytes of it in one call.
#[test]
fn a_long_body_in_memory_is_sent_a_part_in_each_turn() {
    let server = TestServer::start(|_| app(&Got::default()));
    let mut client = server.connect();
    client.exchange(get("/"));
    let steps = Steps::of(&server);
    client.send(get("/big"));
    client.stream.set_nonblocking(true).unwrap();
    let mut read = 0;
    for turn in 1..=20 {
        steps.turn();
        read += all_there_is(&mut client.stream);
        assert!(read <= turn * (BYTES + STEP), "{read} bytes in {turn} turns");
    }
    assert!(read > BYTES, "{read} bytes in all");
}

/// Reads what has come, and gives its length.
fn all_there_is(stream: &mut TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the connection has ended"),
            Ok(n) => length += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return length,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn greedy_connections_of_all_kinds_go_on_beside_each_other() {
    let all: [Got; 3] = Default::default();
    let seen = all.clone();
    let server = TestServer::with_limits(endless(), move |_| {
        let [requests, up, down] = &seen;
        App::new().nest("/requests", app(requests)).nest("/up", app(up)).nest("/down", app(down))
    });
    let upload = format!("POST /up/upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    let _greedy = [
        Greedy::start(&server, "", get("/requests/plain").repeat(1000).into_bytes()),
        Greedy::start(&server, &upload, vec![b'x'; 1 << 20]),
        Greedy::start(&server, &get("/down/download"), Vec::new()),
    ];
    let mut other = server.connect();
    for _ in 0..3 {
        let before = all.each_ref().map(Got::count);
        assert_eq!(other.exchange(get("/requests")).text(), "hello");
        eventually("each of them goes on", || {
            all.iter().zip(before).all(|(got, before)| got.count() > before + 10)
        });
    }
}

//! The cpu lane has more than it can do, and nothing but what computes waits for it.
//!
//! No hash begins before the test opens a gate: what is answered until then has not waited for one.

use lakh::{
    compress::{self, Coding, Level},
    core::pool::{Kind, Lane, LaneConfig, PoolConfig},
    fs,
    http::{
        App, Bytes, Files, HandlerResult, Server,
        extract::{Path, State},
        middleware::Compress,
        testing::TestServer,
    },
    password::{Algorithm, Hasher},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
};

const WORKERS: usize = 2;
/// Jobs that the cpu lane has room for.
const ROOM: usize = 8;
const FILES: usize = 50;

async fn hash(password: String) -> HandlerResult<&'static str> {
    let hasher = Hasher::new(Algorithm::Bcrypt { cost: 4 })?.limit(100);
    hasher.hash(password).await?;
    Ok("hashed")
}

async fn pack(body: Bytes) -> HandlerResult<Bytes> {
    Ok(compress::compress(Coding::Gzip, Level::Fast, body).await?)
}

/// How many jobs wait in the cpu lane.
fn waiting() -> String {
    lakh::core::with(|shard| shard.pool().metrics().lane(Lane::CPU).unwrap().queued).to_string()
}

async fn read(State(folder): State<PathBuf>, Path(name): Path<String>) -> HandlerResult<String> {
    Ok(fs::read_to_string(folder.join(name), 1000).await?)
}

fn app(folder: PathBuf) -> App<PathBuf> {
    App::with_state(folder.clone())
        .get("/", || "hello")
        .get("/waiting", waiting)
        .get("/read/{name}", read)
        .nest("/page", App::new().get("/", || "text ".repeat(10_000)).wrap(Compress::all()))
        .post("/hash", hash)
        .post("/pack", pack)
        .files("/files", Files::dir(folder))
}

/// A server whose cpu workers wait for the sender's end.
fn server(folder: &std::path::Path) -> (TestServer, mpsc::Sender<()>) {
    let mut config = PoolConfig::new(1).workers(Kind::Cpu, WORKERS);
    config.set_lane(Lane::CPU, LaneConfig::new(Kind::Cpu).queue_limit(ROOM));
    let (gate, shut) = mpsc::channel::<()>();
    let shut = Arc::new(Mutex::new(shut));
    let folder = folder.to_owned();
    let server = Server::new(move |shard| {
        let (begun, has_begun) = mpsc::channel();
        for _ in 0..WORKERS {
            let (shut, begun) = (Arc::clone(&shut), begun.clone());
            let wait = move || {
                begun.send(()).unwrap();
                let _ = shut.lock().unwrap().recv();
            };
            shard.pool().run(Lane::CPU, wait).unwrap().detach();
        }
        // Or these jobs would take the room that is meant for others.
        has_begun.iter().take(WORKERS).for_each(drop);
        app(folder.clone())
    });
    (TestServer::from_server(server.shards(1).pool(config)), gate)
}

fn get(server: &TestServer, path: &str) -> String {
    let mut answer = server.get(path).send();
    assert_eq!(answer.status(), 200, "{path}");
    answer.text()
}

/// Sends so many passwords at once, and calls `meanwhile` when all of them wait for the cpu lane.
fn with_hashes(server: &TestServer, gate: mpsc::Sender<()>, meanwhile: impl FnOnce()) {
    thread::scope(|scope| {
        let ask = || server.post("/hash").body("correct horse").send().text();
        let hashes: Vec<_> = (0..ROOM).map(|_| scope.spawn(ask)).collect();
        while get(server, "/waiting") != ROOM.to_string() {
            thread::yield_now();
        }
        meanwhile();
        assert_eq!(get(server, "/waiting"), ROOM.to_string(), "none of them has begun");
        drop(gate);
        for hash in hashes {
            assert_eq!(hash.join().unwrap(), "hashed");
        }
    });
}

#[test]
fn neither_files_nor_plain_answers_wait_for_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        std::fs::write(folder.path().join(number.to_string()), format!("file {number}")).unwrap();
    }
    let (server, gate) = server(folder.path());
    with_hashes(&server, gate, || {
        for number in 0..FILES {
            assert_eq!(get(&server, "/"), "hello");
            assert_eq!(get(&server, &format!("/read/{number}")), format!("file {number}"));
            assert_eq!(
                get(&server, &format!("/files/{number}")),
                format!("file {number}"),
                "for the first time"
            );
        }
    });
}

#[test]
fn what_finds_no_room_to_compute_is_told_to_come_back_or_sent_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (server, gate) = server(folder.path());
    let body = "text ".repeat(10_000);
    with_hashes(&server, gate, || {
        for (path, body) in [("/hash", "correct horse"), ("/pack", &*body)] {
            let mut answer = server.post(path).body(body.to_owned()).send();
            assert_eq!((answer.status().as_u16(), answer.header("retry-after")), (503, Some("1")), "{path}");
            assert_eq!(answer.text(), "Service Unavailable");
        }
        let mut page = server.get("/page").header("accept-encoding", "gzip").send();
        assert_eq!((page.status().as_u16(), page.header("content-encoding")), (200, None));
        assert_eq!(page.text(), body);
    });
    let page = server.get("/page").header("accept-encoding", "gzip").send();
    assert_eq!(page.header("content-encoding"), Some("gzip"));
}

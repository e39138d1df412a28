//! What lanes are for: files and plain answers beside hashing that has no end.
//!
//! ```text
//! cargo run --release --example lanes -- --files examples --hashing 64
//! curl -i http://127.0.0.1:8080/
//! curl -i http://127.0.0.1:8080/files/lanes.rs
//! curl -i http://127.0.0.1:8080/hash -d 'correct horse'
//! ```
//!
//! `--hashing N`: N passwords are hashed at a time, for ever. `--one-lane yes`: all that blocks waits in one queue for four
//! threads of normal priority, as in libuv. `benches/compare/starvation.py` measures both.

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, fail};
use lakh::{
    blocking_on, fs,
    http::{
        App, HandlerResult, Server, StatusCode,
        extract::{Path, State},
    },
    password::{Algorithm, Hasher},
    pool::{Kind, Lane, LaneConfig, PoolConfig},
};
use std::{
    io,
    path::{self, Component, PathBuf},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a file that may be asked for.
const LARGEST: usize = 1 << 20;
/// Hashes that may be asked for beside those that have no end.
const ROOM: usize = 64;
const MEMORY_OF_A_HASH: u64 = 32 << 20;
const THREADS_OF_LIBUV: usize = 4;

#[derive(Clone)]
struct Service {
    folder: PathBuf,
    hasher: Hasher,
    one_lane: bool,
}

fn main() {
    let flags = Flags::from_args_and(8080, &["--files", "--hashing", "--one-lane"]);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> io::Result<()> {
    let value = |name: &str| flags.others.iter().find(|(flag, _)| flag == name).map(|(_, value)| &**value);
    let hashing = value("--hashing").unwrap_or("0");
    let hashing =
        hashing.parse::<u16>().unwrap_or_else(|error| fail(&format!("--hashing {hashing}: {error}")));
    let hashing = usize::from(hashing);
    let at_once = hashing + ROOM;
    let hasher = Hasher::new(Algorithm::default()).map_err(io::Error::other)?;
    let service = Service {
        folder: path::absolute(value("--files").unwrap_or("."))?,
        hasher: hasher.limit(at_once).memory(at_once as u64 * MEMORY_OF_A_HASH),
        one_lane: value("--one-lane") == Some("yes"),
    };
    let one_lane = service.one_lane;
    let mut server = Server::new(move |shard| {
        for _ in 0..if shard.id() == 0 { hashing } else { 0 } {
            lakh::spawn_detached(hash_for_ever(service.hasher.clone()));
        }
        App::with_state(service.clone())
            .get("/", || "Hello, World!")
            .get("/files/{*path}", file)
            .post("/hash", hash)
    });
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    if one_lane {
        server = server.pool(as_in_libuv());
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

/// The lane of what computes has all threads but the two that the other lanes keep and do not use, and hardly an end.
fn as_in_libuv() -> PoolConfig {
    let mut config = PoolConfig::new(1).workers(Kind::Io, THREADS_OF_LIBUV + 2);
    config.set_lane(Lane::CPU, LaneConfig::new(Kind::Io).queue_limit(1_000_000));
    config
}

async fn hash_for_ever(hasher: Hasher) {
    while hasher.hash("correct horse").await.is_ok() {}
}

async fn hash(State(service): State<Service>, password: String) -> HandlerResult<&'static str> {
    service.hasher.hash(password).await?;
    Ok("hashed")
}

async fn file(
    State(service): State<Service>,
    Path(path): Path<String>,
) -> HandlerResult<Result<Vec<u8>, StatusCode>> {
    let is_beneath = path::Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_beneath {
        return Ok(Err(StatusCode::NOT_FOUND));
    }
    let path = service.folder.join(path);
    if service.one_lane {
        return Ok(Ok(blocking_on(Lane::CPU, move || std::fs::read(path)).await??));
    }
    match fs::read(path, LARGEST).await {
        Err(error) if error.is_not_found() => Ok(Err(StatusCode::NOT_FOUND)),
        read => Ok(Ok(read?)),
    }
}

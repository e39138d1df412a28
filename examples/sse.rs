//! Server-Sent Events: a clock for each client, a feed for all, and a page that shows both. Its tests are in
//! `tests/sse.rs`.
//!
//! ```text
//! cargo run --release --example sse -- --listen 127.0.0.1:8080 --shards 2
//! curl -N http://127.0.0.1:8080/feed &
//! curl http://127.0.0.1:8080/feed --data-binary 'hello'
//! curl -N http://127.0.0.1:8080/feed -H 'Last-Event-ID: …'   # an id from above: what came after it
//! ```

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, fail};
use lakh::http::{
    App, HandlerError, HandlerResult, Html, RouteLimits, Server, StatusCode,
    extract::State,
    sse::{Event, Feed, LastEventId, Sse},
};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that the feed keeps for clients that come back.
const KEPT: usize = 1000;
/// Bytes of an event.
const LONGEST: u64 = 1000;

fn main() {
    let flags = Flags::from_args(8080);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    // One feed for all shards: the factory gives each a clone.
    let feed = feed();
    let mut server = Server::new(move |_shard| app(feed.clone()));
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

/// What a client is sent that has missed too much is an event of another name.
pub(crate) fn feed() -> Feed {
    Feed::new(KEPT).gap_event(&Event::new("").name("gap"))
}

pub(crate) fn app(feed: Feed) -> App<Feed> {
    App::with_state(feed)
        .get("/", || Html(include_str!("sse.html")))
        .get("/clock", clock)
        .get("/feed", listen)
        .post("/feed", say)
        .limits(RouteLimits::new().body(LONGEST))
}

/// Seconds since this client came. The function is a part of the answer: it is dropped where it waits
/// when the client goes away.
fn clock() -> Sse {
    Sse::from_async_fn(async |events| {
        for second in 0_u64.. {
            if events.send(Event::new(second.to_string())).await.is_err() {
                return;
            }
            lakh::sleep(Duration::from_secs(1)).await;
        }
    })
}

fn listen(State(feed): State<Feed>, last: Option<LastEventId>) -> Sse {
    feed.subscribe(last).retry(Duration::from_secs(1))
}

async fn say(State(feed): State<Feed>, text: String) -> HandlerResult<StatusCode> {
    if text.trim().is_empty() {
        return Err(HandlerError::bad_request("say something"));
    }
    feed.publish(Event::new(text));
    Ok(StatusCode::ACCEPTED)
}

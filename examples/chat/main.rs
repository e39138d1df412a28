//! Rooms to talk in, with a page.
//!
//! ```text
//! cargo run --release --example chat -- --listen 127.0.0.1:8080 --shards 2
//! xdg-open http://127.0.0.1:8080/#lobby
//! ```
//!
//! A room is a topic, so its people may be on any shard. The page sends what is said as it is, and gets events in JSON
//! ([`rooms::Event`]). There are no accounts: a name is whoever says so, and anybody may read a room whose name is
//! known.
//!
//! | limit | | beyond it |
//! |---|---|---|
//! | a message | 2,000 bytes | closed with 1009 |
//! | messages of one connection | 8 at once, then 2 a second | read no faster |
//! | what waits for one connection | 256 KiB | closed with 1013; the page comes back |
//! | rooms; people in a room | 1,000; 500 | the room that was left first goes; closed with 1013 |
//! | what a room remembers | its last 50 messages | forgotten |

#[path = "../common/flags.rs"]
mod flags;
mod rooms;

use flags::{Flags, fail};
use lakh::{
    http::{
        App, Html, Response, Server,
        extract::{Path, Query, State},
        middleware::SecurityHeaders,
    },
    ws::{CloseCode, Config, DeflateOptions, Message, Topics, WebSocket, WebSocketRoutes},
};
use rooms::{Full, Rooms};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONGEST_TEXT: usize = 2_000;
const LONGEST_NAME: usize = 30;
const QUEUE: usize = 256 << 10;
const BURST: u32 = 8;
const EVERY: Duration = Duration::from_millis(500);
/// Pages come back by themselves, so nobody needs long to leave.
const GRACE: Duration = Duration::from_secs(4);
/// Scripts, styles and connections of this origin alone.
const POLICY: &str =
    "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn main() {
    let flags = Flags::from_args(8080);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    let topics = Topics::new();
    let rooms = Arc::new(Rooms::new(topics.clone()));
    let config = Config::new()
        .max_message(LONGEST_TEXT)
        .queue(QUEUE)
        .deflate(DeflateOptions::default())
        .topics(&topics);
    let mut server = Server::new(move |_shard| app(Arc::clone(&rooms), config.clone())).grace(GRACE);
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

fn app(rooms: Arc<Rooms>, config: Config) -> App<Arc<Rooms>> {
    App::with_state(rooms)
        .get("/", || Html(include_str!("page.html")))
        .get("/page.css", || file("text/css", include_str!("page.css")))
        .get("/page.js", || file("text/javascript", include_str!("page.js")))
        .ws_with("/rooms/{room}", config, chat)
        .wrap(SecurityHeaders::new().content_security_policy(POLICY))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    Response::new(text).with_header("content-type", kind).with_header("cache-control", "no-cache")
}

#[derive(serde::Deserialize)]
struct Guest {
    name: String,
}

async fn chat(
    mut socket: WebSocket,
    State(rooms): State<Arc<Rooms>>,
    Path(room): Path<String>,
    Query(guest): Query<Guest>,
) {
    let name = guest.name.trim();
    if !is_name(&room) || !is_name(name) {
        return socket.close(CloseCode::Policy, "names of people and rooms have 1 to 30 characters").await;
    }
    // Before the welcome: what is said meanwhile comes twice, and never not at all. The page tells by its number.
    if socket.subscribe(&room).is_err() {
        return;
    }
    let (seat, welcome) = match rooms.enter(&room, name) {
        Ok(entered) => entered,
        Err(Full) => return socket.close(CloseCode::Again, "there is no room left").await,
    };
    if socket.send(welcome).await.is_err() {
        return;
    }
    let mut pace = Pace(Instant::now());
    while let Some(message) = socket.recv().await {
        let Message::Text(text) = message else {
            return socket.close(CloseCode::Unsupported, "only text is understood").await;
        };
        seat.say(text.trim());
        pace.wait().await;
    }
}

fn is_name(text: &str) -> bool {
    let length = text.chars().count();
    (1..=LONGEST_NAME).contains(&length) && !text.chars().any(char::is_control)
}

/// Who sends faster is read from later, which the kernels tell the sender: nothing is lost, and nothing piles up.
struct Pace(Instant);

impl Pace {
    async fn wait(&mut self) {
        let now = Instant::now();
        self.0 = self.0.max(now) + EVERY;
        let ahead = self.0 - now;
        if ahead > EVERY * BURST {
            lakh::sleep(ahead - EVERY * BURST).await;
        }
    }
}

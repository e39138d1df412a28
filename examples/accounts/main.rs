//! Accounts: signing up, logging in, and a page for both.
//!
//! ```text
//! cargo run --release --example accounts -- --listen 127.0.0.1:8080 --database accounts.db
//! xdg-open http://127.0.0.1:8080/
//! curl -c jar http://127.0.0.1:8080/signup --json '{"name": "ann", "password": "correct horse"}'
//! curl -b jar http://127.0.0.1:8080/me
//! ```
//!
//! What is sent may be a form of the page or JSON; browsers are answered with a page, programs with JSON. Passwords are
//! hashed by Argon2id on the pool's cpu lane, the database has a lane of its own, and so neither holds up a shard, nor one
//! of them the other.
//!
//! | limit | | beyond it |
//! |---|---|---|
//! | logins of one address; signups; changes of passwords; deletions | 10 at once, then one in 6 s, on each shard | 429 |
//! | wrong passwords for one name, whether it exists or not | 5 at once, then one a minute | 429 |
//! | passwords being hashed or waiting for it | 32 for each processor | 503 |
//! | waiting for the database | 256; 10 s | 503 |
//! | a session; sessions of one account | a week; 16 | over; the oldest is over |
//! | the database | 1 GiB | 507 |
//! | a request's body | 4 KiB | 413 |
//!
//! Behind a proxy that speaks TLS, name it by `--proxy ADDRESS` (or a network; may be repeated): then clients are known
//! by the addresses that it tells, and cookies are for HTTPS alone.

mod accounts;
mod attempts;
mod database;
#[path = "../common/flags.rs"]
mod flags;
mod handlers;
mod page;
mod sent;
mod sessions;
mod visitor;

use attempts::Attempts;
pub(crate) use database::Database;
use flags::{Flags, fail};
use lakh::{
    core::pool::PoolConfig,
    http::{
        App, HandlerError, IntoResponse, Response, RouteLimits, Server, StatusCode,
        extract::Json,
        middleware::{Network, ProxyHeaders, RateLimit, SameOrigin, SecurityHeaders},
    },
    password::Hasher,
};
use std::{io, path::Path, sync::Arc, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONGEST_BODY: u64 = 4 << 10;
/// Of each address, in a minute, of each kind that has a password hashed.
const MOST_REQUESTS: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The page's own style and forms, and nothing else: there is no script.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// One for all shards: clones share everything.
#[derive(Clone)]
pub(crate) struct Site {
    database: Database,
    hasher: Hasher,
    attempts: Arc<Attempts>,
}

impl Site {
    pub(crate) fn new(database: Database, hasher: Hasher) -> Self {
        Site { database, hasher, attempts: Arc::default() }
    }
}

fn main() {
    let flags = Flags::from_args_and(8080, &["--database", "--proxy"]);
    let values = |name: &'static str| {
        flags.others.iter().filter(move |(flag, _)| flag == name).map(|(_, value)| value.as_str())
    };
    let proxies: Vec<Network> = values("--proxy")
        .map(|text| text.parse().unwrap_or_else(|error| fail(&format!("--proxy {text}: {error}"))))
        .collect();
    let path = values("--database").next_back().unwrap_or("accounts.db");
    let mut pool = PoolConfig::from_environment().unwrap_or_else(|error| fail(&error.to_string()));
    let database = Database::open(Path::new(path), &mut pool)
        .unwrap_or_else(|error| fail(&format!("--database {path}: {error}")));
    let site = Site::new(database.clone(), Hasher::default());
    let served = run(&flags, server(site, pool, proxies));
    let closed = database.close();
    if let Err(error) = served {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
    if let Err(error) = closed {
        fail(&format!("--database {path} was not closed in order: {error}"));
    }
}

fn run(flags: &Flags, mut server: Server) -> io::Result<()> {
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    let report = running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    if report.cut > 0 {
        eprintln!("accounts: {} connections were cut", report.cut);
    }
    Ok(())
}

/// The service, apart from where it listens: what the tests ask. `pool` is the one that the database was opened with.
pub(crate) fn server(site: Site, pool: PoolConfig, proxies: Vec<Network>) -> Server {
    Server::new(move |_shard| app(&site, &proxies)).pool(pool)
}

fn app(site: &Site, proxies: &[Network]) -> App {
    App::new()
        .get("/health", || "ok")
        .get("/style.css", style)
        .merge(forms(site))
        .wrap(ProxyHeaders::trust(proxies.iter().copied()))
        .wrap(SecurityHeaders::new().content_security_policy(POLICY))
        .on_error(render)
}

/// Whatever needs to know who asks.
fn forms(site: &Site) -> App<Site> {
    let per_client = || RateLimit::per_client(MOST_REQUESTS, MINUTE);
    let visited = site.clone();
    App::with_state(site.clone())
        .get("/", handlers::page)
        .get("/me", handlers::me)
        .post("/signup", handlers::sign_up)
        .wrap_route(per_client())
        .post("/login", handlers::log_in)
        .wrap_route(per_client())
        .post("/password", handlers::change_password)
        .wrap_route(per_client())
        .post("/delete", handlers::delete)
        .wrap_route(per_client())
        .post("/logout", handlers::log_out)
        .fallback(|| HandlerError::status_only(StatusCode::NOT_FOUND))
        .default_limits(RouteLimits::new().body(LONGEST_BODY))
        .wrap(move |request, next| visitor::visit(visited.clone(), request, next))
        // `SameSite=Lax` of the session keeps other sites out; this does so with other hosts of the same site, too, and for
        // logging in, where there is no session yet.
        .wrap(SameOrigin::new())
}

fn style() -> Response {
    Response::new(include_str!("style.css"))
        .with_header("content-type", "text/css")
        .with_header("cache-control", "no-cache")
}

/// Errors as programs are told of them; for browsers, [`visitor`] makes a page of them.
fn render(error: &HandlerError) -> impl IntoResponse + use<> {
    log(error);
    (error.status(), Json(serde_json::json!({ "error": error.message() })))
}

/// The client is not told of the cause.
fn log(error: &HandlerError) {
    if let Some(cause) = error.cause() {
        lakh::core::warn(format_args!("accounts: {}: {cause}", error.status()));
    }
}

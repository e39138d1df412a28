//! Seeing inside a running server, over HTTP: metrics for Prometheus, a page with live plots, what lives on a shard.
//!
//! [`Server::metrics_addr`](crate::Server::metrics_addr) gives all of it a port and a thread of its own, so that it
//! answers while shards are stalled. [`app`] is the same as an [`App`] to be nested in one's own, and [`metrics`] a handler
//! for Prometheus alone:
//!
//! ```
//! use lakh_http::{App, Server, diagnostics};
//!
//! let server = Server::new(|shard| {
//!     let inside = diagnostics::app(shard.diagnostics());
//!     App::new().get("/metrics", diagnostics::metrics).nest("/inside", inside)
//! });
//! # let running = server.bind("127.0.0.1:0")?.start()?;
//! # assert!(running.diagnostics().exposition().contains("lakh_http_requests_total"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | path | |
//! |---|---|
//! | `/` | the page: one file, that asks nobody else |
//! | `/metrics` | [text](lakh_core::diagnostics::Exposition) for Prometheus |
//! | `/snapshot` | [`SnapshotDocument`] as JSON |
//! | `/inspect?shard=0&what=sockets` | [`PageDocument`] as JSON; `what` is `sockets`, `tasks`, `timers` or `requests`; `from` and `limit` |
//!
//! Nothing in here asks for a password. Requests that come over loopback have to name it as their host (an address, or
//! `localhost`): else a page of the internet could have its own name lead to 127.0.0.1 and read all of this (DNS
//! rebinding).
//!
//! What it costs: the counters are kept whether anybody reads them or not. A request is counted once, by additions
//! that no other thread takes part in.

mod document;
mod families;
mod page;

pub use document::{
    HandleDocument, LaneDocument, PageDocument, ProcessDocument, ShardDocument, SnapshotDocument,
    StallDocument, TimesDocument, WorkersDocument,
};

use crate::{
    App, HandlerError, HandlerResult,
    extract::{Json, Query, State},
    host::without_port,
    into_response::IntoResponse,
    metrics::ServiceMetrics,
    middleware::Next,
    request::{Head, Request},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use lakh_core::diagnostics::{Diagnostics, Exposition, InspectError, Query as Question};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Parts of a shard's tables that one request goes through at most.
const PARTS: usize = 8;

/// What the services of a server count, left with its diagnostics.
pub(crate) struct Services(pub(crate) Arc<[Arc<ServiceMetrics>]>);

/// By a server that has started.
pub(crate) fn register(diagnostics: &Diagnostics, services: Services) {
    let services = Arc::new(services);
    diagnostics.set_part(Arc::clone(&services));
    diagnostics.collect_with(move |out| families::write(&services.0, out));
}

/// Answers with the metrics of the server that it belongs to, for Prometheus; see the [module](self).
pub fn metrics(_: &Head<'_>) -> Response {
    lakh_core::with(|shard| exposition(shard.diagnostics()))
}

fn exposition(of: &Diagnostics) -> Response {
    let content_type = HeaderValue::from_static(Exposition::CONTENT_TYPE);
    let mut response = of.exposition().into_response();
    response.set_header(header::CONTENT_TYPE, content_type);
    response
}

/// All that the [module](self) has, about the server of these diagnostics: its own
/// ([`Shard::diagnostics`](lakh_core::Shard::diagnostics)) or another one's in this process.
pub fn app(of: &Diagnostics) -> App<Diagnostics> {
    App::with_state(of.clone())
        .get("/", page::page)
        .get("/metrics", |State(of): State<Diagnostics>| exposition(&of))
        .get("/snapshot", |State(of): State<Diagnostics>| unstored(Json(SnapshotDocument::of(&of))))
        .get("/inspect", inspect)
        .wrap(no_foreign_hosts)
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    shard: usize,
    #[serde(default)]
    what: What,
    #[serde(default)]
    from: u32,
    limit: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum What {
    #[default]
    Sockets,
    Tasks,
    Timers,
    Requests,
}

async fn inspect(State(of): State<Diagnostics>, Query(asked): Query<Asked>) -> HandlerResult<Response> {
    let question = match asked.what {
        What::Sockets => Question::sockets(),
        What::Tasks => Question::tasks(),
        What::Timers => Question::timers(),
        What::Requests => Question::requests(),
    };
    let limit = asked.limit.unwrap_or(lakh_core::diagnostics::MAX_ITEMS);
    let mut question = question.from(asked.from).limit(limit);
    let mut whole: Option<PageDocument> = None;
    for _ in 0..PARTS {
        let answer = lakh_core::timeout(PATIENCE, of.inspect(asked.shard, question)).await;
        let page = match answer {
            Ok(page) => page.map_err(refusal)?,
            Err(_) => return Err(stalled(asked.shard)),
        };
        let document = whole.get_or_insert_with(|| PageDocument::new(&page));
        document.add(&page);
        match page.next {
            Some(next) if document.items.len() < limit => {
                question = question.from(next).limit(limit - document.items.len());
            }
            _ => break,
        }
    }
    Ok(unstored(Json(whole)))
}

fn refusal(error: InspectError) -> HandlerError {
    let status = if error.is_no_shard() { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
    HandlerError::new(status, error.to_string())
}

fn stalled(shard: usize) -> HandlerError {
    let text = format!("shard {shard} does not answer: something blocks it");
    HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn unstored(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.set_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn no_foreign_hosts(request: Request, next: Next) -> Response {
    let head = request.head();
    let over_loopback = head.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    if over_loopback && !is_own_host(head.host()) {
        let text = "over loopback this is for an address or localhost as the host";
        return HandlerError::new(StatusCode::FORBIDDEN, text).into_response();
    }
    let mut response = next.run(request).await;
    response.set_header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An address, or `localhost`, or below that: no name that could be made to lead here. Without a host (HTTP/1.0)
/// it is no browser.
fn is_own_host(host: &str) -> bool {
    let name = String::from_utf8_lossy(without_port(host.as_bytes())).to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    name.is_empty() || bare.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_anywhere_are_foreign() {
        for host in ["127.0.0.1:9464", "[::1]:9464", "[::1]", "localhost", "LocalHost:80", "a.localhost", ""]
        {
            assert!(is_own_host(host), "{host}");
        }
        for host in
            ["example.com", "localhost.example.com:80", "127.0.0.1.example.com", "notlocalhost", "1.2.3"]
        {
            assert!(!is_own_host(host), "{host}");
        }
    }
}

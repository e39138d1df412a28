//! axum on hyper's HTTP/1: plain text and JSON as in its TechEmpower entry, and the service of
//! `lakh_service` with its two middlewares.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Request, State};
use axum::http::header::{HOST, HeaderValue, SERVER};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::service::TowerToHyperService;
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::tokio_shards;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("axum_server", run())
}

#[derive(Clone)]
struct Service {
    greeting: &'static str,
    served: Arc<AtomicU64>,
}

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn run() -> lakh_compare::Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    let service = Service { greeting: "Hello, World!", served: Arc::default() };
    let users = Router::new()
        .route("/users/{id}", get(greet))
        .layer(from_fn(known_hosts_only))
        .layer(from_fn_with_state(service.clone(), count))
        .with_state(service);
    let app = Router::new().route("/plaintext", get(plaintext)).route("/json", get(json)).merge(users);
    tokio_shards::serve(&flags, TowerToHyperService::new(app))
}

async fn greet(State(service): State<Service>, Path(id): Path<u64>) -> Result<&'static str, StatusCode> {
    if id > 0 { Ok(service.greeting) } else { Err(StatusCode::NOT_FOUND) }
}

async fn count(State(service): State<Service>, request: Request, next: Next) -> Response {
    service.served.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

async fn known_hosts_only(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(HOST) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn plaintext() -> ([(HeaderName, HeaderValue); 1], &'static str) {
    ([(SERVER, AXUM)], "Hello, World!")
}

async fn json() -> ([(HeaderName, HeaderValue); 1], Json<Message>) {
    ([(SERVER, AXUM)], Json(Message { message: "Hello, World!" }))
}

const AXUM: HeaderValue = HeaderValue::from_static("axum");

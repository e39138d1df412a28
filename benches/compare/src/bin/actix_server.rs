//! actix-web with one worker per shard: the shape of its TechEmpower entry, and the service of
//! `lakh_service` with its two middlewares.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};

use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderValue, SERVER};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Context, Error, Result, sys};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> ExitCode {
    lakh_compare::error::exit_with("actix_server", run())
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    sys::raise_open_files().context(|| "open files".to_owned())?;
    sys::exit_on_signals().context(|| "signals".to_owned())?;
    let app = || {
        let service = Service { greeting: "Hello, World!", served: Rc::default() };
        let served = Rc::clone(&service.served);
        let count = move |request: ServiceRequest, next: Next<BoxBody>| {
            served.set(served.get() + 1);
            next.call(request)
        };
        let users = web::resource("/users/{id}").route(web::get().to(greet));
        App::new()
            .app_data(web::Data::new(service))
            .service(web::resource("/plaintext").to(plaintext))
            .service(web::resource("/json").to(json))
            .service(users.wrap(from_fn(known_hosts_only)).wrap(from_fn(count)))
    };
    let server = HttpServer::new(app)
        .workers(flags.shards)
        .backlog(4096)
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .disable_signals()
        .bind(flags.listen)
        .context(|| format!("cannot listen on {}", flags.listen))?;
    let address = *server.addrs().first().ok_or_else(|| Error::new("no address was bound"))?;
    actix_web::rt::System::new().block_on(async move {
        let running = server.run();
        println!("listening on http://{address}");
        running.await.context(|| "serving".to_owned())
    })
}

struct Service {
    greeting: &'static str,
    served: Rc<Cell<u64>>,
}

async fn greet(service: web::Data<Service>, id: web::Path<u64>) -> Option<&'static str> {
    (*id > 0).then_some(service.greeting)
}

async fn known_hosts_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> actix_web::Result<ServiceResponse<BoxBody>> {
    if !request.headers().contains_key(HOST) {
        return Ok(request.into_response(HttpResponse::Forbidden().finish()));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

async fn plaintext() -> HttpResponse<Bytes> {
    answer("text/plain", Bytes::from_static(b"Hello, World!"))
}

async fn json() -> HttpResponse<Bytes> {
    let body = serde_json::to_vec(&Message { message: "Hello, World!" }).unwrap_or_default();
    answer("application/json", Bytes::from(body))
}

fn answer(kind: &'static str, body: Bytes) -> HttpResponse<Bytes> {
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("actix"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! A service of lakh as people write them: an async handler with a parameter and state, within two middlewares.
//! Besides, it takes and gives as much as anybody wants, for the greedy.

use std::cell::Cell;
use std::convert::Infallible;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::Poll;

use lakh::http::extract::{Path, State};
use lakh::http::middleware::Next;
use lakh::http::{
    App, Body, Bytes, HandlerResult, Request, RequestBody, Response, RouteLimits, Server, StatusCode,
};
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Context, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("lakh_service", run())
}

#[derive(Clone)]
struct Service {
    greeting: &'static str,
    served: Rc<Cell<u64>>,
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    let server = Server::new(|_shard| {
        let service = Service { greeting: "Hello, World!", served: Rc::default() };
        let served = Rc::clone(&service.served);
        let count = move |request: Request, next: Next| {
            served.set(served.get() + 1);
            next.run(request)
        };
        App::with_state(service)
            .get("/users/{id}", greet)
            .get("/download", download)
            .post("/upload", upload)
            .limits(RouteLimits::new().body(u64::MAX))
            .wrap(count)
            .wrap(known_hosts_only)
    });
    let listen = || format!("cannot listen on {}", flags.listen);
    let running = server
        .name("lakh")
        .shards(flags.shards)
        .bind(flags.listen)
        .context(listen)?
        .start()
        .context(listen)?;
    let address = running.addrs()[0];
    let ready = move || println!("listening on http://{address}");
    running.run_until_signal(ready, |_| {}).context(|| "serving".to_owned())?;
    Ok(())
}

async fn greet(State(service): State<Service>, Path(id): Path<u64>) -> Option<&'static str> {
    (id > 0).then_some(service.greeting)
}

async fn known_hosts_only(request: Request, next: Next) -> Response {
    if request.head().header("host").is_none() {
        return Response::empty(StatusCode::FORBIDDEN);
    }
    next.run(request).await
}

/// A body without an end.
fn download() -> Body {
    static CHUNK: [u8; 16 * 1024] = [b'd'; 16 * 1024];
    Body::from_poll_fn(|_| Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from_static(&CHUNK)))))
}

/// Takes a body in, and keeps nothing of it.
async fn upload(mut body: RequestBody) -> HandlerResult<StatusCode> {
    while let Some(chunk) = body.chunk().await {
        chunk?;
    }
    Ok(StatusCode::NO_CONTENT)
}

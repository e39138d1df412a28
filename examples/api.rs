//! A JSON service: books on a shelf, with parameters, pages, errors in JSON, an export that is streamed,
//! and middleware of its own. Its tests are in `tests/api.rs`.
//!
//! ```text
//! cargo run --release --example api -- --listen 127.0.0.1:8080 --shards 2
//! curl -i http://127.0.0.1:8080/books --json '{"title": "Emma", "year": 1815}'
//! curl -i 'http://127.0.0.1:8080/books?limit=10'
//! curl -i http://127.0.0.1:8080/books/1
//! curl -N http://127.0.0.1:8080/books.ndjson
//! ```

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, fail};
use lakh::http::{
    App, Body, Bytes, HandlerError, HandlerResult, IntoResponse, Request, Response, RouteLimits, Server,
    StatusCode,
    extract::{Json, Path, Query, State},
    middleware::Next,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Instant,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Books that the shelf has room for.
const BOOKS_AT_MOST: usize = 100_000;
/// Books on a page, if the client does not say, and however many it wants.
const PAGE: usize = 20;
const PAGE_AT_MOST: usize = 100;

fn main() {
    let flags = Flags::from_args(8080);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    // One shelf for all shards: the factory gives each a clone.
    let shelf = Shelf::default();
    let mut server = Server::new(move |_shard| app(shelf.clone()));
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

/// The service, apart from where it listens: what the tests ask.
pub(crate) fn app(shelf: Shelf) -> App<Shelf> {
    App::with_state(shelf)
        .get("/books", list)
        .post("/books", create)
        .get("/books/{id}", show)
        .put("/books/{id}", replace)
        .delete("/books/{id}", remove)
        .get("/books.ndjson", export)
        .default_limits(RouteLimits::new().body(16 << 10))
        .wrap(timed)
        .on_error(render)
}

#[derive(Clone, Serialize)]
struct Book {
    id: u64,
    #[serde(flatten)]
    about: About,
}

/// What a client says of a book.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    title: String,
    year: Option<u16>,
}

impl About {
    fn checked(self) -> HandlerResult<Self> {
        if self.title.trim().is_empty() {
            return Err(HandlerError::new(StatusCode::UNPROCESSABLE_ENTITY, "a book has a title"));
        }
        Ok(self)
    }
}

/// All books. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    by_id: BTreeMap<u64, Book>,
    last_id: u64,
}

impl Shelf {
    /// Held for moments, and never while something waits.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books in the order of their ids, from behind `after` on.
    fn page(&self, after: u64, limit: usize) -> Vec<Book> {
        let books = self.lock();
        books.by_id.range(after.saturating_add(1)..).take(limit).map(|(_, book)| book.clone()).collect()
    }
}

#[derive(Deserialize)]
struct Paging {
    /// The id of the last book of the page before.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page {
    books: Vec<Book>,
    /// Where the next page is; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn list(State(shelf): State<Shelf>, Query(paging): Query<Paging>) -> Json<Page> {
    let limit = paging.limit.unwrap_or(PAGE).clamp(1, PAGE_AT_MOST);
    // One more tells whether there is a next page.
    let mut books = shelf.page(paging.after, limit + 1);
    let has_more = books.len() > limit;
    books.truncate(limit);
    let last = books.last().filter(|_| has_more);
    let next = last.map(|book| format!("/books?after={}&limit={limit}", book.id));
    Json(Page { books, next })
}

async fn create(State(shelf): State<Shelf>, Json(about): Json<About>) -> HandlerResult {
    let about = about.checked()?;
    let book = {
        let mut books = shelf.lock();
        if books.by_id.len() >= BOOKS_AT_MOST {
            return Err(HandlerError::new(StatusCode::INSUFFICIENT_STORAGE, "the shelf is full"));
        }
        books.last_id += 1;
        let book = Book { id: books.last_id, about };
        books.by_id.insert(book.id, book.clone());
        book
    };
    let location = [("location", format!("/books/{}", book.id))];
    Ok((StatusCode::CREATED, location, Json(book)).into_response())
}

fn show(State(shelf): State<Shelf>, Path(id): Path<u64>) -> HandlerResult<Json<Book>> {
    shelf.lock().by_id.get(&id).cloned().map(Json).ok_or_else(|| missing(id))
}

async fn replace(
    State(shelf): State<Shelf>,
    Path(id): Path<u64>,
    Json(about): Json<About>,
) -> HandlerResult<Json<Book>> {
    let about = about.checked()?;
    let mut books = shelf.lock();
    let book = books.by_id.get_mut(&id).ok_or_else(|| missing(id))?;
    book.about = about;
    Ok(Json(book.clone()))
}

fn remove(State(shelf): State<Shelf>, Path(id): Path<u64>) -> HandlerResult<StatusCode> {
    shelf.lock().by_id.remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or_else(|| missing(id))
}

fn missing(id: u64) -> HandlerError {
    HandlerError::not_found(format!("there is no book {id}"))
}

/// Every book, a line of JSON for each. A page is asked for when the client has taken the one before, so
/// the export takes the memory of one page, however long it is.
fn export(State(shelf): State<Shelf>) -> Response {
    let mut after = 0;
    let body = Body::from_poll_fn(move |_| {
        let page = shelf.page(after, PAGE_AT_MOST);
        let Some(last) = page.last() else { return Poll::Ready(None) };
        after = last.id;
        Poll::Ready(Some(lines(&page)))
    });
    Response::new(body).with_header("content-type", "application/x-ndjson")
}

fn lines(books: &[Book]) -> serde_json::Result<Bytes> {
    let mut lines = Vec::new();
    for book in books {
        serde_json::to_writer(&mut lines, book)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// Middleware: tells the client how long its handler took.
async fn timed(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1000.0);
    response.with_header("server-timing", took)
}

#[derive(Serialize)]
struct Problem {
    status: u16,
    error: String,
}

/// All errors look alike, and the cause of one that is the server's own is told to the log alone.
fn render(error: &HandlerError) -> impl IntoResponse + use<> {
    if error.cause().is_some() {
        lakh::core::warn(format_args!("api: {error}"));
    }
    let status = error.status();
    (status, Json(Problem { status: status.as_u16(), error: error.message().to_owned() }))
}

//! The service of lakh's `examples/api.rs` with axum: the same routes, limits, errors and middleware.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BOOKS_AT_MOST: usize = 100_000;
const PAGE: usize = 20;
const PAGE_AT_MOST: usize = 100;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listen: SocketAddr = match std::env::args().nth(1).map(|listen| listen.parse()) {
        Some(Ok(listen)) => listen,
        None => SocketAddr::from(([127, 0, 0, 1], 8080)),
        Some(Err(_)) => return Err(std::io::Error::other("usage: axum-api [ADDR:PORT]")),
    };
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(Shelf::default())).with_graceful_shutdown(interrupted()).await
}

async fn interrupted() {
    // Without a handler for it the signal ends the process by itself.
    let _ = tokio::signal::ctrl_c().await;
}

fn app(shelf: Shelf) -> Router {
    Router::new()
        .route("/books", get(list).post(create))
        .route("/books/{id}", get(show).put(replace).delete(remove))
        .route("/books.ndjson", get(export))
        .layer(DefaultBodyLimit::max(16 << 10))
        .layer(from_fn(timed))
        .with_state(shelf)
}

#[derive(Clone, Serialize)]
struct Book {
    id: u64,
    #[serde(flatten)]
    about: About,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    title: String,
    year: Option<u16>,
}

impl About {
    fn checked(self) -> Result<Self, Problem> {
        if self.title.trim().is_empty() {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "a book has a title"));
        }
        Ok(self)
    }
}

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    by_id: BTreeMap<u64, Book>,
    last_id: u64,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, after: u64, limit: usize) -> Vec<Book> {
        let books = self.lock();
        books.by_id.range(after.saturating_add(1)..).take(limit).map(|(_, book)| book.clone()).collect()
    }
}

#[derive(Deserialize)]
struct Paging {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page {
    books: Vec<Book>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(State(shelf): State<Shelf>, Query(paging): Query<Paging>) -> Json<Page> {
    let limit = paging.limit.unwrap_or(PAGE).clamp(1, PAGE_AT_MOST);
    let mut books = shelf.page(paging.after, limit + 1);
    let has_more = books.len() > limit;
    books.truncate(limit);
    let last = books.last().filter(|_| has_more);
    let next = last.map(|book| format!("/books?after={}&limit={limit}", book.id));
    Json(Page { books, next })
}

async fn create(State(shelf): State<Shelf>, Json(about): Json<About>) -> Result<Response, Problem> {
    let about = about.checked()?;
    let book = {
        let mut books = shelf.lock();
        if books.by_id.len() >= BOOKS_AT_MOST {
            return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "the shelf is full"));
        }
        books.last_id += 1;
        let book = Book { id: books.last_id, about };
        books.by_id.insert(book.id, book.clone());
        book
    };
    let location = [(LOCATION, format!("/books/{}", book.id))];
    Ok((StatusCode::CREATED, location, Json(book)).into_response())
}

async fn show(State(shelf): State<Shelf>, Path(id): Path<u64>) -> Result<Json<Book>, Problem> {
    shelf.lock().by_id.get(&id).cloned().map(Json).ok_or_else(|| missing(id))
}

async fn replace(
    State(shelf): State<Shelf>,
    Path(id): Path<u64>,
    Json(about): Json<About>,
) -> Result<Json<Book>, Problem> {
    let about = about.checked()?;
    let mut books = shelf.lock();
    let book = books.by_id.get_mut(&id).ok_or_else(|| missing(id))?;
    book.about = about;
    Ok(Json(book.clone()))
}

async fn remove(State(shelf): State<Shelf>, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    shelf.lock().by_id.remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or_else(|| missing(id))
}

fn missing(id: u64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no book {id}"))
}

/// A page is asked for when the client has taken the one before.
async fn export(State(shelf): State<Shelf>) -> Response {
    let pages = stream::unfold((shelf, 0), |(shelf, after)| async move {
        let page = shelf.page(after, PAGE_AT_MOST);
        let after = page.last()?.id;
        Some((lines(&page), (shelf, after)))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response()
}

fn lines(books: &[Book]) -> serde_json::Result<Bytes> {
    let mut lines = Vec::new();
    for book in books {
        serde_json::to_writer(&mut lines, book)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

async fn timed(request: Request, next: Next) -> Result<Response, Infallible> {
    let began = Instant::now();
    let mut response = next.run(request).await;
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1000.0);
    if let Ok(took) = HeaderValue::try_from(took) {
        response.headers_mut().append(HeaderName::from_static("server-timing"), took);
    }
    Ok(response)
}

/// Errors look alike, those of the extractors too: axum's way is extractors of one's own.
#[derive(Serialize)]
struct Problem {
    status: u16,
    error: String,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem { status: status.as_u16(), error: error.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(self)).into_response()
    }
}

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
struct Path<T>(T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
struct Query<T>(T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

//! What answers requests for files on a shard.

use super::{
    Options, answer,
    flight::Flight,
    known::{Entry, Key, Known, Memory},
    lookup::{Checked, Found, Query},
    path,
    root::{Kind, Root},
};
use crate::{
    handler::{Answer, Endpoint, Incoming, Outcome},
    request::Head,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use lakh_core::pool::{Job, Lane, PoolFull};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the filesystem said less than this ago is served. With the time for which an open folder is taken for
/// the one at its path, it is less than a second.
const FRESH: Duration = Duration::from_millis(850);
/// What is asked for when it is older than this is looked up again meanwhile.
const AGEING: Duration = Duration::from_millis(500);

/// A tree of files, on one shard.
#[derive(Clone)]
pub(super) struct FilesEndpoint(Rc<Tree>);

struct Tree {
    root: Arc<Root>,
    kind: Kind,
    options: Arc<Options>,
    /// The key of the page that says that something is missing.
    page: Option<Box<[u8]>>,
    memory: Rc<Memory>,
    flights: RefCell<HashMap<Key, Rc<Flight>>>,
}

impl FilesEndpoint {
    pub(super) fn new(root: Arc<Root>, kind: Kind, options: Options) -> Self {
        FilesEndpoint(Rc::new(Tree {
            root,
            kind,
            page: options.not_found.as_deref().filter(|_| kind == Kind::Dir).map(key_of),
            memory: Memory::new(options.cache),
            flights: RefCell::default(),
            options: Arc::new(options),
        }))
    }
}

impl Endpoint for FilesEndpoint {
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        let (tree, head) = (&self.0, incoming.head());
        if !matches!(*head.method(), Method::GET | Method::HEAD) {
            return Outcome::Ready(refuse(head.method()));
        }
        let key = match tree.key(&head) {
            Target::Key(key) => Some(key),
            Target::Nothing => None,
            Target::Refused(status) => return Outcome::Ready(answer::of_status(status)),
            Target::MountItself => return Outcome::Ready(answer::redirect(&head)),
        };
        if let Some(response) = tree.answer_now(&head, key.as_deref()) {
            return Outcome::Ready(response);
        }
        let key = key.map(|key| Key::from(&*key));
        let (tree, request) = (Rc::clone(tree), incoming.into_request());
        Outcome::Later(Answer::new(async move { tree.answer_later(request.head(), key.as_deref()).await }))
    }
}

/// What a request is for.
enum Target<'a> {
    Key(Cow<'a, [u8]>),
    /// Something that is not there, whatever the folder holds.
    Nothing,
    Refused(StatusCode),
    /// The prefix without the slash that its relative links need.
    MountItself,
}

/// What of the path is below the route's prefix: from the slash in front of the catch-all parameter on; a
/// slash, or nothing, if it is the prefix itself.
fn below_prefix<'a>(head: &Head<'a>) -> &'a [u8] {
    let path = head.path().as_bytes();
    let len = match head.raw_param("path") {
        Some(rest) => rest.len() + 1,
        None => usize::from(path.ends_with(b"/")),
    };
    &path[path.len().saturating_sub(len)..]
}

impl Tree {
    fn key<'a>(&self, head: &Head<'a>) -> Target<'a> {
        let raw = below_prefix(head);
        match self.kind {
            Kind::File if raw.is_empty() || (raw == b"/" && head.path() == "/") => {
                Target::Key(Cow::Borrowed(b""))
            }
            Kind::File => Target::Nothing,
            Kind::Dir if raw.is_empty() => Target::MountItself,
            Kind::Dir => match path::key(raw, path::Policy { hidden: self.options.hidden }) {
                Ok(key) => Target::Key(key),
                Err(error) => match error.status() {
                    StatusCode::NOT_FOUND => Target::Nothing,
                    status => Target::Refused(status),
                },
            },
        }
    }

    /// The answer, if the cache has what it takes.
    fn answer_now(self: &Rc<Self>, head: &Head<'_>, key: Option<&[u8]>) -> Option<Response> {
        let now = now();
        let known = match key {
            Some(key) => self.fresh(key, now)?,
            None => Known::nothing(StatusCode::NOT_FOUND),
        };
        let page = match &self.page {
            Some(page) if known.is_missing() => Some(self.fresh(page, now)?),
            _ => None,
        };
        Some(answer(head, &known, page.as_deref()))
    }

    async fn answer_later(self: Rc<Self>, head: Head<'_>, key: Option<&[u8]>) -> Response {
        let known = match key {
            Some(key) => self.find(key).await,
            None => Known::nothing(StatusCode::NOT_FOUND),
        };
        let page = match &self.page {
            Some(page) if known.is_missing() => Some(self.find(page).await),
            _ => None,
        };
        answer(&head, &known, page.as_deref())
    }

    /// What is known of a key, if it was asked of the filesystem just now.
    fn fresh(self: &Rc<Self>, key: &[u8], now: Instant) -> Option<Rc<Known>> {
        let entry = self.memory.get(key)?;
        let age = now.saturating_duration_since(entry.checked);
        if age >= FRESH || entry.known.has_changed(now) {
            return None;
        }
        if age >= AGEING {
            // Asked for again meanwhile, so that nobody has to wait for it. If the pool is full, the next
            // request tries.
            let _ = self.join(key, now);
        }
        Some(entry.known)
    }

    async fn find(self: &Rc<Self>, key: &[u8]) -> Rc<Known> {
        let now = now();
        if let Some(known) = self.fresh(key, now) {
            return known;
        }
        match self.join(key, now) {
            Ok(flight) => flight.landed().await,
            Err(_) => Known::nothing(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The question for this key that is on its way, or a new one. One that began too long ago may have been
    /// answered by the filesystem too long ago.
    fn join(self: &Rc<Self>, key: &[u8], now: Instant) -> Result<Rc<Flight>, PoolFull> {
        let flight = self.flights.borrow().get(key).cloned();
        match flight {
            Some(flight) if now.saturating_duration_since(flight.began) < FRESH => Ok(flight),
            _ => self.depart(key, now),
        }
    }

    fn depart(self: &Rc<Self>, key: &[u8], now: Instant) -> Result<Rc<Flight>, PoolFull> {
        let old = self.memory.get(key).map(|entry| entry.known);
        let (path, wants_folder) = path_of(key);
        let pool = lakh_core::with(|shard| shard.pool().clone());
        let whereabouts = self.root.whereabouts(&path, &pool, now);
        let job = submit(Query {
            root: Arc::clone(&self.root),
            options: Arc::clone(&self.options),
            path,
            wants_folder,
            group: whereabouts.group,
            at_home: whereabouts.at_home,
            known: old.as_deref().and_then(Known::identity),
        })?;
        let flight = Rc::new(Flight::new(now));
        let key = Key::from(key);
        self.flights.borrow_mut().insert(Rc::clone(&key), Rc::clone(&flight));
        lakh_core::spawn_detached(fly(Rc::clone(self), key, Rc::clone(&flight), old, job));
        Ok(flight)
    }

    /// Remembers what was found, and tells those who wait for it.
    fn land(self: &Rc<Self>, key: &Key, flight: &Rc<Flight>, checked: Instant, known: Rc<Known>) {
        self.memory.put(key, Entry { checked, known: Rc::clone(&known) });
        {
            let mut flights = self.flights.borrow_mut();
            if flights.get(key).is_some_and(|current| Rc::ptr_eq(current, flight)) {
                flights.remove(key);
            }
        }
        flight.land(known);
    }
}

/// Waits for the pool's answer, but not for ever.
async fn fly(tree: Rc<Tree>, key: Key, flight: Rc<Flight>, old: Option<Rc<Known>>, job: Job<Checked>) {
    let checked = lakh_core::timeout(tree.options.patience, answer_of(job)).await;
    let failed = |status| (flight.began, Known::nothing(status));
    let (at, known) = match checked {
        Ok(Ok(Checked { at, found })) => match (found, old) {
            (Found::Same, Some(old)) => (at, old),
            (Found::File(facts, content), _) => (at, Rc::new(Known::File(facts, content))),
            (Found::Folder, _) => (at, Rc::new(Known::Folder)),
            (Found::Nothing(status), _) => (at, Known::nothing(status)),
            (Found::Elsewhere(_) | Found::Same, _) => failed(StatusCode::INTERNAL_SERVER_ERROR),
        },
        Ok(Err(status)) => failed(status),
        Err(_) => failed(StatusCode::SERVICE_UNAVAILABLE),
    };
    tree.land(&key, &flight, at, known);
}

async fn answer_of(job: Job<Checked>) -> Result<Checked, StatusCode> {
    let checked = job.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let Found::Elsewhere(query) = checked.found else { return Ok(checked) };
    let job = submit(query.elsewhere()).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    job.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn submit(query: Query) -> Result<Job<Checked>, PoolFull> {
    let group = query.group;
    lakh_core::with(|shard| shard.pool().run_in_group(Lane::FILE, group, move || query.run()))
}

fn answer(head: &Head<'_>, known: &Known, page: Option<&Known>) -> Response {
    match (known, page) {
        (Known::File(facts, content), _) => answer::of_file(head, facts, content),
        (Known::Folder, _) => answer::redirect(head),
        (Known::Nothing(StatusCode::NOT_FOUND), Some(Known::File(facts, content))) => {
            answer::of_page(facts, content)
        }
        (Known::Nothing(status), _) => answer::of_status(*status),
    }
}

fn refuse(method: &Method) -> Response {
    let response = if method == Method::OPTIONS {
        Response::empty(StatusCode::NO_CONTENT)
    } else {
        Response::plain(StatusCode::METHOD_NOT_ALLOWED)
    };
    response.with_field(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"))
}

/// The key of a path in the tree.
fn key_of(path: &Path) -> Box<[u8]> {
    let names: Vec<&[u8]> = path.components().map(|name| name.as_os_str().as_encoded_bytes()).collect();
    names.join(&b'/').into()
}

/// The path that a key stands for, and whether it is a folder's.
fn path_of(key: &[u8]) -> (PathBuf, bool) {
    match key.strip_suffix(b"/") {
        Some(folder) => (path::from_key(folder), true),
        None => (path::from_key(key), false),
    }
}

fn now() -> Instant {
    lakh_core::with(lakh_core::Shard::now)
}

//! What answers requests for files on a shard.

use super::{
    Options, answer,
    cache::Cache,
    lookup::{Checked, Content, Facts, Found, Identity, Query},
    open::Reach,
    path,
    root::{Kind, Root},
};
use crate::{
    handler::{Endpoint, Incoming, Outcome},
    request::Head,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use lakh_core::pool::{Job, Lane, PoolFull};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{HashMap, HashSet},
    future::poll_fn,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// What the filesystem said less than this ago is served. With the time for which an open folder is taken for
/// the one at its path, it is less than a second.
const FRESH: Duration = Duration::from_millis(850);
/// What is asked for when it is older than this is looked up again meanwhile.
const AGEING: Duration = Duration::from_millis(500);
/// The part of the cache that remembers what is not there.
const MISSING_PART: usize = 16;

/// An open file takes as much of the cache as makes this many of them fill it.
const OPEN_FILES: usize = 128;
/// Open files that nobody has asked for in this time are closed: they may have been deleted, and keep their
/// blocks.
const CLOSED_AFTER: Duration = Duration::from_secs(2);

/// A tree of files, on one shard.
#[derive(Clone)]
pub(super) struct FilesEndpoint(Rc<Tree>);

struct Tree {
    root: Arc<Root>,
    kind: Kind,
    options: Arc<Options>,
    /// Bytes of a request's path that are not the file's.
    prefix: usize,
    /// The key of the page that says that something is missing.
    page: Option<Box<[u8]>>,
    present: RefCell<Cache<Entry>>,
    missing: RefCell<Cache<Entry>>,
    /// Keys of open files in `present`. While there are any, a task looks for those to be closed.
    open: RefCell<HashSet<Key>>,
    flights: RefCell<HashMap<Key, Rc<Flight>>>,
}

/// What was found by a key, and when the filesystem said so.
#[derive(Clone)]
struct Entry {
    checked: Instant,
    known: Rc<Known>,
}

/// What is known of a key: the path in the tree, decoded, with a slash at its end if a folder is meant.
enum Known {
    File(Box<Facts>, Content),
    Folder,
    Nothing(StatusCode),
}

/// A question to the filesystem, on its way. All who want the answer wait for one.
struct Flight {
    began: Instant,
    answer: RefCell<Option<Rc<Known>>>,
    waiting: RefCell<Vec<Waker>>,
}

type Key = Rc<[u8]>;

impl FilesEndpoint {
    pub(super) fn new(root: Arc<Root>, kind: Kind, options: Options, prefix: usize) -> Self {
        let missing = options.cache / MISSING_PART;
        FilesEndpoint(Rc::new(Tree {
            root,
            kind,
            prefix,
            page: options.not_found.as_deref().filter(|_| kind == Kind::Dir).map(key_of),
            present: RefCell::new(Cache::new(options.cache - missing)),
            missing: RefCell::new(Cache::new(missing)),
            open: RefCell::default(),
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
        let key = match tree.key(head) {
            Target::Key(key) => Some(key),
            Target::Nothing => None,
            Target::Refused(status) => return Outcome::Ready(answer::of_status(status)),
            Target::MountItself => return Outcome::Ready(answer::redirect(head)),
        };
        if let Some(response) = tree.answer_now(head, key.as_deref()) {
            return Outcome::Ready(response);
        }
        let key = key.map(|key| Key::from(&*key));
        let (tree, request) = (Rc::clone(tree), incoming.into_request());
        Outcome::Later(Box::pin(async move { tree.answer_later(request.head(), key.as_deref()).await }))
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

impl Tree {
    fn key<'a>(&self, head: &Head<'a>) -> Target<'a> {
        let raw = head.path().as_bytes().get(self.prefix..).unwrap_or_default();
        match self.kind {
            Kind::File if raw.is_empty() || (raw == b"/" && self.prefix == 0) => {
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
        let entry = self.remembered(key)?;
        let age = now.saturating_duration_since(entry.checked);
        if age >= FRESH || entry.known.has_changed() {
            return None;
        }
        if age >= AGEING {
            // Asked for again meanwhile, so that nobody has to wait for it. If the pool is full, the next
            // request tries.
            let _ = self.join(key, now);
        }
        Some(entry.known)
    }

    fn remembered(&self, key: &[u8]) -> Option<Entry> {
        if let Some(entry) = self.present.borrow_mut().get(key) {
            return Some(entry.clone());
        }
        self.missing.borrow_mut().get(key).cloned()
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
        let old = self.remembered(key).map(|entry| entry.known);
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
        let flight = Rc::new(Flight { began: now, answer: RefCell::default(), waiting: RefCell::default() });
        let key = Key::from(key);
        self.flights.borrow_mut().insert(Rc::clone(&key), Rc::clone(&flight));
        lakh_core::spawn_detached(fly(Rc::clone(self), key, Rc::clone(&flight), old, job));
        Ok(flight)
    }

    /// Remembers what was found, and tells those who wait for it.
    fn land(self: &Rc<Self>, key: &Key, flight: &Rc<Flight>, checked: Instant, known: Rc<Known>) {
        self.remember(key, Entry { checked, known: Rc::clone(&known) });
        {
            let mut flights = self.flights.borrow_mut();
            if flights.get(key).is_some_and(|current| Rc::ptr_eq(current, flight)) {
                flights.remove(key);
            }
        }
        flight.land(known);
    }

    fn remember(self: &Rc<Self>, key: &Key, entry: Entry) {
        match &*entry.known {
            Known::File(_, content) if content.can_be_kept() => {
                drop(self.missing.borrow_mut().remove(key));
                self.keep(key, entry);
            }
            Known::File(..) => self.forget(key),
            Known::Folder | Known::Nothing(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) => {
                drop(self.present.borrow_mut().remove(key));
                drop(self.missing.borrow_mut().insert(key, entry, 0));
            }
            // The filesystem could not say: what it said before grows old by itself.
            Known::Nothing(_) => {}
        }
    }

    fn forget(&self, key: &[u8]) {
        drop(self.present.borrow_mut().remove(key));
        drop(self.missing.borrow_mut().remove(key));
    }

    fn keep(self: &Rc<Self>, key: &Key, entry: Entry) {
        let mut present = self.present.borrow_mut();
        match present.get(key) {
            // Two questions have overtaken each other.
            Some(old) if old.checked > entry.checked => return,
            Some(old) if Rc::ptr_eq(&old.known, &entry.known) => {
                old.checked = entry.checked;
                return;
            }
            _ => {}
        }
        let (bytes, is_open) = match &*entry.known {
            Known::File(_, Content::Read(bytes)) => (bytes.len(), false),
            _ => (present.limit() / OPEN_FILES, true),
        };
        let gone = present.insert(key, entry, bytes);
        drop(present);
        // Closes files, perhaps.
        drop(gone);
        if is_open {
            self.watch(key);
        }
    }

    /// Has the open file of this key closed when nobody asks for it any more.
    fn watch(self: &Rc<Self>, key: &Key) {
        let mut open = self.open.borrow_mut();
        if open.is_empty() {
            lakh_core::spawn_detached(close_unused(Rc::clone(self)));
        }
        open.insert(Rc::clone(key));
    }

    /// Closes the open files that nobody has asked for; true if there are any left.
    fn close_unused(&self) -> bool {
        let now = now();
        let mut gone = Vec::new();
        self.open.borrow_mut().retain(|key| {
            let mut present = self.present.borrow_mut();
            let Some(entry) = present.peek(key) else { return false };
            let is_unused = now.saturating_duration_since(entry.checked) >= CLOSED_AFTER;
            if is_unused && entry.known.is_open() {
                gone.extend(present.remove(key));
            }
            !is_unused
        });
        drop(gone);
        !self.open.borrow().is_empty()
    }
}

async fn close_unused(tree: Rc<Tree>) {
    loop {
        lakh_core::sleep(CLOSED_AFTER).await;
        if !tree.close_unused() {
            return;
        }
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
    response.with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"))
}

impl Known {
    fn nothing(status: StatusCode) -> Rc<Self> {
        Rc::new(Known::Nothing(status))
    }

    fn is_missing(&self) -> bool {
        matches!(self, Known::Nothing(StatusCode::NOT_FOUND))
    }

    fn identity(&self) -> Option<Identity> {
        match self {
            Known::File(facts, _) if facts.is_settled => Some(facts.identity),
            _ => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Known::File(_, Content::Open(_)))
    }

    /// An open file is asked itself, since it is not what it was if it was written to in the meantime.
    fn has_changed(&self) -> bool {
        match self {
            Known::File(facts, Content::Open(file)) => {
                file.identity().map_or(true, |identity| identity != facts.identity)
            }
            _ => false,
        }
    }
}

impl Content {
    /// Only local files are kept open: they can be asked about on the shard.
    fn can_be_kept(&self) -> bool {
        match self {
            Content::Read(_) => true,
            Content::Open(file) => file.reach() != Reach::Pool,
        }
    }
}

impl Flight {
    async fn landed(&self) -> Rc<Known> {
        poll_fn(|cx| self.poll_landed(cx)).await
    }

    fn poll_landed(&self, cx: &mut Context<'_>) -> Poll<Rc<Known>> {
        if let Some(known) = &*self.answer.borrow() {
            return Poll::Ready(Rc::clone(known));
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn land(&self, known: Rc<Known>) {
        self.answer.replace(Some(known));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
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

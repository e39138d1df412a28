//! What a shard remembers of a tree of files, and for how long.

use super::{
    cache::Cache,
    lookup::{Content, Facts, Identity},
    open::Reach,
};
use http::StatusCode;
use std::{
    cell::RefCell,
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

/// The part of the cache that remembers what is not there.
const MISSING_PART: usize = 16;

/// An open file takes as much of the cache as makes this many of them fill it.
const OPEN_FILES: usize = 128;
/// Open files that nobody has asked for in this time are closed: they may have been deleted, and keep their
/// blocks.
const CLOSED_AFTER: Duration = Duration::from_secs(2);

/// What was found by a key, and when the filesystem said so.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) checked: Instant,
    pub(super) known: Rc<Known>,
}

/// A path in the tree, decoded, with a slash at its end if a folder is meant.
pub(super) type Key = Rc<[u8]>;

/// What is known of a key.
pub(super) enum Known {
    File(Box<Facts>, Content),
    Folder,
    Nothing(StatusCode),
}

impl Known {
    pub(super) fn nothing(status: StatusCode) -> Rc<Self> {
        Rc::new(Known::Nothing(status))
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Known::Nothing(StatusCode::NOT_FOUND))
    }

    /// By which a lookup can tell that there is nothing new.
    pub(super) fn identity(&self) -> Option<Identity> {
        match self {
            Known::File(facts, _) if facts.is_settled => Some(facts.identity),
            _ => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Known::File(_, Content::Open(_)))
    }

    /// An open file is asked itself, once in a turn of the shard, since it is not what it was if it was written
    /// to in the meantime.
    pub(super) fn has_changed(&self, now: Instant) -> bool {
        match self {
            Known::File(facts, Content::Open(file)) => {
                let is_unchanged = || file.identity().is_ok_and(|identity| identity == facts.identity);
                !file.is_unchanged_at(now, is_unchanged)
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

/// A bounded memory of files that are there, and of names that are not.
pub(super) struct Memory {
    present: RefCell<Cache<Entry>>,
    missing: RefCell<Cache<Entry>>,
    /// Keys of open files in `present`. While there are any, a task looks for those to be closed.
    open: RefCell<HashSet<Key>>,
}

impl Memory {
    /// Of `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Rc<Self> {
        let missing = bytes / MISSING_PART;
        Rc::new(Memory {
            present: RefCell::new(Cache::new(bytes - missing)),
            missing: RefCell::new(Cache::new(missing)),
            open: RefCell::default(),
        })
    }

    /// What was found last, however long ago.
    pub(super) fn get(&self, key: &[u8]) -> Option<Entry> {
        if let Some(entry) = self.present.borrow_mut().get(key) {
            return Some(entry.clone());
        }
        self.missing.borrow_mut().get(key).cloned()
    }

    /// Remembers what was found now.
    pub(super) fn put(self: &Rc<Self>, key: &Key, entry: Entry) {
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
        let now = lakh_core::with(lakh_core::Shard::now);
        let mut gone = Vec::new();
        self.open.borrow_mut().retain(|key| {
            let mut present = self.present.borrow_mut();
            let Some(entry) = present.peek(key).filter(|entry| entry.known.is_open()) else { return false };
            let is_unused = now.saturating_duration_since(entry.checked) >= CLOSED_AFTER;
            if is_unused {
                gone.extend(present.remove(key));
            }
            !is_unused
        });
        drop(gone);
        !self.open.borrow().is_empty()
    }
}

async fn close_unused(memory: Rc<Memory>) {
    loop {
        lakh_core::sleep(CLOSED_AFTER).await;
        if !memory.close_unused() {
            return;
        }
    }
}

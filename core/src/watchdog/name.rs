//! Names for what shards work on.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// Names are kept for the life of the process; further ones become [`OTHER`].
const MOST_NAMES: usize = 16 * 1024;
const _: () = assert!(MOST_NAMES < u16::MAX as usize);
const OTHER: &str = "(too many names)";

/// The name of a piece of work (a route, a task) in four bytes, so that a shard can publish it with one
/// store: it is what the watchdog calls a stall by.
///
/// Every text is kept once and for the life of the process, 16,384 of them at most: name kinds of work,
/// such as a route's pattern, not single pieces of it.
///
/// ```
/// use lakh_core::WorkName;
///
/// let name = WorkName::new("/users/{id}");
/// assert_eq!(name, WorkName::new("/users/{id}"));
/// assert_eq!(name.text(), Some("/users/{id}"));
/// assert_eq!(WorkName::NONE.text(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkName(pub(super) u32);

impl WorkName {
    /// Work without a name.
    pub const NONE: WorkName = WorkName(0);

    /// The name for a text. Takes a lock: make it beforehand, not for each piece of work.
    pub fn new(text: &str) -> Self {
        names().intern(text)
    }

    /// In two bytes: there are not more names than that.
    pub(crate) fn short(self) -> u16 {
        u16::try_from(self.0).unwrap_or(0)
    }

    pub(crate) fn from_short(short: u16) -> Self {
        WorkName(short.into())
    }

    /// The text; `None` for work without a name.
    pub fn text(self) -> Option<&'static str> {
        let at = (self.0 as usize).checked_sub(1)?;
        names().texts.get(at).copied()
    }
}

impl fmt::Debug for WorkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkName").field(&self.text()).finish()
    }
}

#[derive(Default)]
struct Names {
    texts: Vec<&'static str>,
    places: HashMap<&'static str, WorkName>,
}

impl Names {
    fn intern(&mut self, text: &str) -> WorkName {
        if let Some(name) = self.places.get(text) {
            return *name;
        }
        let text = if self.texts.len() < MOST_NAMES { Box::leak(text.into()) } else { OTHER };
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text);
            WorkName(self.texts.len() as u32)
        })
    }
}

fn names() -> MutexGuard<'static, Names> {
    static NAMES: OnceLock<Mutex<Names>> = OnceLock::new();
    // No code of the user runs under the lock: it is never left half changed.
    NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_one() {
        let mut names = Names::default();
        let first = names.intern("0");
        for n in 1..MOST_NAMES {
            names.intern(&n.to_string());
        }
        let (a, b) = (names.intern("one more"), names.intern("another"));
        assert_eq!((a, names.intern("0")), (b, first));
        assert_eq!(names.texts.last(), Some(&OTHER));
        assert_eq!(names.texts.len(), MOST_NAMES + 1);
    }
}

//! What a watch tells.

use std::path::{Path, PathBuf};

/// Something that has happened beneath a path that is watched. The paths begin with the one that was given.
///
/// It says where to look, not what is there: when it is read, more may have happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatchEvent {
    /// There is something of this name that was not there, or has taken the place of what was.
    Created(PathBuf),
    /// What is in a file has changed, or what is known of it (rights, times, links).
    Modified(PathBuf),
    /// The name is gone: removed, or renamed to somewhere that is not watched.
    Removed(PathBuf),
    /// A name has become another; with a directory, the names of all that is in it, of which nothing else is told.
    Renamed {
        /// Its name before.
        from: PathBuf,
        /// Its name now. What had it before is gone.
        to: PathBuf,
    },
    /// More has happened than there was room to tell: look at everything again.
    Rescan,
}

impl WatchEvent {
    /// Where to look: the path that there is, or was. `None` is everywhere.
    pub fn path(&self) -> Option<&Path> {
        match self {
            WatchEvent::Created(path) | WatchEvent::Modified(path) | WatchEvent::Removed(path) => Some(path),
            WatchEvent::Renamed { to, .. } => Some(to),
            WatchEvent::Rescan => None,
        }
    }

    /// What is left to tell of a path of which this was, and then `later`.
    pub(super) fn merge(&mut self, later: WatchEvent) {
        let is_new_all_the_same =
            matches!((&*self, &later), (WatchEvent::Created(_), WatchEvent::Modified(_)));
        if !is_new_all_the_same {
            *self = later;
        }
    }
}

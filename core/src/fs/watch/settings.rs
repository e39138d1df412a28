//! What a watch is told to do, for the shard and for workers.

use super::super::{group::Group, held::Held};
use crate::pool::Pool;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(super) type Ignore = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// See [`WatchOptions`](super::WatchOptions).
#[derive(Clone)]
pub(super) struct Settings {
    /// The path as it was given, with which those of events begin.
    pub(super) given: PathBuf,
    /// Where it is, without links.
    pub(super) real: PathBuf,
    pub(super) pool: Pool,
    pub(super) group: Group,
    pub(super) recursive: bool,
    pub(super) ignore: Option<Ignore>,
    pub(super) max_watches: usize,
    pub(super) interval: Duration,
}

impl Settings {
    /// What is told of something; its path is one from the root on.
    pub(super) fn told(&self, path: &Path) -> PathBuf {
        beneath(&self.given, path)
    }

    /// Where something is.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        beneath(&self.real, path)
    }

    pub(super) fn ignores(&self, path: &Path) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore(&self.told(path)))
    }

    /// For workers.
    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Held<fs::ReadDir>> {
        let entries = fs::read_dir(self.real(path))?;
        Ok(Held::new(entries, self.group, self.pool.clone()))
    }
}

/// Joined with an empty path, one would end with a slash.
fn beneath(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("given", &self.given).finish_non_exhaustive()
    }
}

/// Whether an error says that what was just seen is gone, or something else by now.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

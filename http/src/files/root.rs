//! The folder that is served: open, and where it stands among the mounts.

use super::open::Group;
use lakh_core::{
    Pool,
    pool::Lane,
    sys::{file::Directory, mounts::MountTable},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A folder that was opened less than this ago is taken for the one at its path still.
const REOPEN_AFTER: Duration = Duration::from_millis(100);
/// Mounts that were read less than this ago are taken for those that exist.
const MOUNTS_AFTER: Duration = Duration::from_secs(1);
/// The group of the job that reads the mounts: no mount's number, which has 32 bits.
const MOUNTS_GROUP: Group = Some(u64::MAX);

/// What is at the path of a [`Files`](super::Files).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    File,
}

/// The folder that is served, shared by all shards.
#[derive(Debug)]
pub(super) struct Root {
    /// Absolute, as it was given: links in it are followed each time it is opened.
    path: PathBuf,
    kind: Kind,
    view: Mutex<View>,
    reads_mounts: Arc<AtomicBool>,
}

/// The folder and the mounts, as they were last seen.
#[derive(Clone, Debug)]
struct View {
    place: Option<Arc<Place>>,
    opened: Instant,
    mounts: Arc<MountTable>,
    mounts_read: Instant,
}

/// The folder that was found at the path.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: Directory,
    /// Where it really is.
    canonical: PathBuf,
    /// The file in it that is served, if it is only one.
    pub(super) file: Option<PathBuf>,
}

/// Where a path leads, by its text.
pub(super) struct Whereabouts {
    pub(super) group: Group,
    /// On the folder's own mount. A link may still lead to another one.
    pub(super) at_home: bool,
}

impl Root {
    /// Blocks.
    pub(super) fn open(path: &Path, kind: Kind) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let opened = Instant::now();
        let place = Some(Arc::new(Place::open(&path, kind)?));
        let mounts = Arc::new(MountTable::read().unwrap_or_default());
        let view = Mutex::new(View { place, opened, mounts, mounts_read: opened });
        Ok(Root { path, kind, view, reads_mounts: Arc::default() })
    }

    /// The folder as it is now. Blocks: for workers.
    ///
    /// # Errors
    /// If it is gone.
    pub(super) fn place(&self) -> io::Result<Arc<Place>> {
        let view = self.view().clone();
        // All who find it too old open it again: what they have may be as old as the last request.
        if view.opened.elapsed() >= REOPEN_AFTER {
            return self.reopen(view);
        }
        view.place.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn reopen(&self, view: View) -> io::Result<Arc<Place>> {
        let opened = Instant::now();
        let place = match (Place::open(&self.path, self.kind), view.place) {
            (Ok(place), _) => Ok(Arc::new(place)),
            (Err(error), _) if is_gone(&error) => Err(error),
            // No descriptor left, for instance: the one we have will do.
            (Err(_), Some(place)) => Ok(place),
            (Err(error), None) => Err(error),
        };
        let mut view = self.view();
        if opened >= view.opened {
            view.place = place.as_ref().ok().cloned();
            view.opened = opened;
        }
        place
    }

    /// Where `path`, taken from the folder, leads. Does not block.
    pub(super) fn whereabouts(self: &Arc<Self>, path: &Path, pool: &Pool, now: Instant) -> Whereabouts {
        let view = self.view().clone();
        if now.saturating_duration_since(view.mounts_read) >= MOUNTS_AFTER {
            self.read_mounts(pool);
        }
        let unknown = Whereabouts { group: None, at_home: false };
        let Some(place) = view.place else { return unknown };
        let path = place.file.as_deref().unwrap_or(path);
        let id_of = |path: &Path| view.mounts.lookup(path).map(|mount| mount.id);
        match (id_of(&place.canonical.join(path)), id_of(&place.canonical)) {
            (Some(id), home) => Whereabouts { group: Some(id.into()), at_home: home == Some(id) },
            (None, _) => unknown,
        }
    }

    fn read_mounts(self: &Arc<Self>, pool: &Pool) {
        let Some(only) = Only::one(Arc::clone(&self.reads_mounts)) else { return };
        let root = Arc::clone(self);
        let job = pool.run_in_group(Lane::FILE, MOUNTS_GROUP, move || {
            let _only = only;
            let mounts_read = Instant::now();
            // What cannot be read now is read a second later.
            let mounts = MountTable::read();
            let mut view = root.view();
            view.mounts_read = mounts_read;
            if let Ok(mounts) = mounts {
                view.mounts = Arc::new(mounts);
            }
        });
        if let Ok(job) = job {
            job.detach();
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn open(path: &Path, kind: Kind) -> io::Result<Self> {
        let canonical = path.canonicalize()?;
        match kind {
            Kind::Dir => Ok(Place { dir: Directory::open(&canonical)?, canonical, file: None }),
            Kind::File => {
                let name = canonical.file_name().map(PathBuf::from);
                let (Some(folder), Some(name)) = (canonical.parent(), name) else {
                    return Err(io::ErrorKind::IsADirectory.into());
                };
                if canonical.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                Ok(Place { dir: Directory::open(folder)?, canonical: folder.to_owned(), file: Some(name) })
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// The right to do something that only one at a time does, wherever it is dropped.
struct Only(Arc<AtomicBool>);

impl Only {
    fn one(taken: Arc<AtomicBool>) -> Option<Self> {
        (!taken.swap(true, Ordering::AcqRel)).then_some(Only(taken))
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::symlink,
        sync::{Barrier, atomic::AtomicUsize},
        thread,
    };

    /// A folder that is set anew long after it was last looked at.
    fn replaced(folder: &Path, root: &Root, release: usize) {
        let next = folder.join("next");
        symlink(release.to_string(), &next).unwrap();
        fs::rename(next, folder.join("current")).unwrap();
        let mut view = root.view();
        view.opened = view.opened.checked_sub(Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn a_folder_that_was_replaced_is_seen_by_all_who_ask_at_the_same_time() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 60;
        let temp = tempfile::tempdir().unwrap();
        // A long way, so that others ask while one opens it.
        let folder = temp.path().join("deep/".repeat(300));
        fs::create_dir_all(folder.join("0")).unwrap();
        fs::create_dir_all(folder.join("1")).unwrap();
        symlink("0", folder.join("current")).unwrap();
        let root = Root::open(&folder.join("current"), Kind::Dir).unwrap();
        let (barrier, stale) = (Barrier::new(THREADS), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (root, folder, barrier, stale) = (&root, &folder, &barrier, &stale);
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        if number == 0 {
                            replaced(folder, root, round % 2);
                        }
                        barrier.wait();
                        let place = root.place().unwrap();
                        barrier.wait();
                        let is_new = place.canonical.ends_with((round % 2).to_string());
                        stale.fetch_add(usize::from(!is_new), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(stale.into_inner(), 0);
    }
}

//! Open files, and where they are closed.

use lakh_core::pool::Lane;
use std::{
    fs::File,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The mount that a job is counted for; `None` if it is not known.
pub(super) type Group = Option<u64>;

/// Closing the last descriptor of a deleted file frees its blocks, which takes longer the more there are.
const CLOSED_AT_ONCE: u64 = 64 << 20;

/// An open file. Closing one can wait for a filesystem as opening does (FUSE's flush, NFS's commit), so a
/// shard that drops it leaves that to the pool.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// Taken when it is dropped.
    file: Option<File>,
    size: u64,
    reach: Reach,
    group: Group,
    /// How long reading a part of it may take.
    patience: Duration,
    /// All of it was in memory when it was last sent.
    is_warm: AtomicBool,
    made: Instant,
    /// The turns of the shard in which it was last found to be unchanged, and to be in memory as a whole.
    unchanged: Turn,
    in_memory: Turn,
}

/// A turn of the shard, by its time: nanoseconds since the file was opened, and one; 0 is none.
type Turn = AtomicU64;

/// What a shard may do with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing: all of it is for the pool.
    Pool,
    /// Ask the filesystem for what is in memory, and close it if it is short.
    Local,
    /// And send it, since the page cache says what it holds.
    Sendable,
}

impl Reach {
    /// Blocks.
    pub(super) fn of(file: &File) -> Self {
        if !lakh_core::sys::file::is_local(file) {
            Reach::Pool
        } else if lakh_core::sys::file::cached_bytes(file, 0, 1).is_ok() {
            Reach::Sendable
        } else {
            Reach::Local
        }
    }
}

impl OpenFile {
    pub(super) fn new(file: File, size: u64, reach: Reach, group: Group, patience: Duration) -> Self {
        OpenFile {
            file: Some(file),
            size,
            reach,
            group,
            patience,
            is_warm: AtomicBool::new(false),
            made: Instant::now(),
            unchanged: Turn::default(),
            in_memory: Turn::default(),
        }
    }

    /// Asks whether the file is unchanged, unless it said so in the shard's turn that began at `now`.
    pub(super) fn is_unchanged_at(&self, now: Instant, ask: impl FnOnce() -> bool) -> bool {
        self.once(&self.unchanged, now, ask)
    }

    /// The same of all of it being in memory.
    pub(super) fn is_in_memory_at(&self, now: Instant, ask: impl FnOnce() -> bool) -> bool {
        self.once(&self.in_memory, now, ask)
    }

    fn once(&self, last: &Turn, now: Instant, ask: impl FnOnce() -> bool) -> bool {
        let turn = now.saturating_duration_since(self.made).as_nanos() as u64 + 1;
        if last.load(Ordering::Relaxed) == turn {
            return true;
        }
        let answer = ask();
        last.store(if answer { turn } else { 0 }, Ordering::Relaxed);
        answer
    }

    pub(super) fn file(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }

    /// When it was opened.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn is_warm(&self) -> bool {
        self.is_warm.load(Ordering::Relaxed)
    }

    pub(super) fn set_warm(&self, is_warm: bool) {
        self.is_warm.store(is_warm, Ordering::Relaxed);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.reach == Reach::Pool || self.size > CLOSED_AT_ONCE {
            close_elsewhere(file, self.group);
        }
    }
}

/// Files that wait for a worker to close them. As many as there can be open ones.
static CLOSING: Mutex<Vec<(Group, File)>> = Mutex::new(Vec::new());

fn close_elsewhere(file: File, group: Group) {
    let pool = lakh_core::try_with(|shard| shard.pool().clone());
    // Elsewhere than on a shard, blocking is allowed.
    let Some(pool) = pool else { return };
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner).push((group, file));
    if let Ok(job) = pool.run_in_group(Lane::FILE, group, move || close_waiting(group)) {
        job.detach();
    }
    // If the lane is full, the group's next job does it.
}

/// Closes the files of this group that wait for it. For workers.
pub(super) fn close_waiting(group: Group) {
    loop {
        let next = {
            let mut closing = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
            closing.iter().position(|(g, _)| *g == group).map(|at| closing.swap_remove(at))
        };
        if next.is_none() {
            return;
        }
    }
}

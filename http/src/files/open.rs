//! Open files, and where they are closed.

use lakh_core::pool::Lane;
use std::{
    fs::File,
    sync::{Mutex, PoisonError},
    time::Duration,
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
    group: Group,
    /// The filesystem answers from memory what it has there.
    is_local: bool,
    /// Besides, the page cache says what it holds.
    is_sendable: bool,
    is_short: bool,
    /// How long reading a part of it may take.
    patience: Duration,
}

impl OpenFile {
    pub(super) fn new(file: File, group: Group, size: u64, patience: Duration) -> Self {
        let is_local = lakh_core::sys::file::is_local(&file);
        let is_sendable = is_local && lakh_core::sys::file::cached_bytes(&file, 0, 1).is_ok();
        let is_short = size <= CLOSED_AT_ONCE;
        OpenFile { file: Some(file), group, is_local, is_sendable, is_short, patience }
    }

    pub(super) fn file(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether a shard can send it without waiting for a disk.
    pub(super) fn is_sendable(&self) -> bool {
        self.is_sendable
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if !(self.is_local && self.is_short) {
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

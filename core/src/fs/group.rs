//! The mount that a file will be on, known before anything on it is asked.

use super::FileError;
use crate::{
    pool::{Lane, Pool},
    sys::mounts::MountTable,
};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A group of the file lane: a mount's number, or `None` for all that are unknown.
pub(super) type Group = Option<u64>;

/// Mounts that were read less than this ago are taken for those that exist.
const READ_AFTER: Duration = Duration::from_secs(1);
/// The group of the job that reads them: no mount's number, which has 32 bits.
const READING: Group = Some(u64::MAX);

/// The mounts as they were last seen: a process has one view of them.
static SEEN: Mutex<Option<(Instant, Arc<MountTable>)>> = Mutex::new(None);

/// The group by the path's text. A link in it may lead elsewhere: the open file tells.
pub(super) async fn group_of(path: &Path, pool: &Pool, now: Instant) -> Result<Group, FileError> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let fresh = seen.filter(|(read, _)| now.saturating_duration_since(*read) < READ_AFTER);
    let mounts = match fresh {
        Some((_, mounts)) => mounts,
        None => pool.run_in_group(Lane::FILE, READING, read_mounts)?.await?,
    };
    Ok(mounts.lookup(path).map(|mount| mount.id.into()))
}

/// Blocks. What cannot be read tells of no mount, and then all files share a group.
fn read_mounts() -> Arc<MountTable> {
    let read = Instant::now();
    let mounts = Arc::new(MountTable::read().unwrap_or_default());
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = Some((read, Arc::clone(&mounts)));
    mounts
}

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

/// After this long the mounts are read again, by one job; until it is done, the others take them as they were.
const READ_AFTER: Duration = Duration::from_secs(1);
/// The group of the job that reads them: no mount's number, which has 32 bits.
const READING: Group = Some(u64::MAX);

/// The mounts as they were last seen, and when they were last asked for: a process has one view of them.
static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

type Seen = (Instant, Arc<MountTable>);

/// The group by the path's text. A link in it may lead elsewhere: the open file tells.
pub(super) async fn group_of(path: &Path, pool: &Pool, now: Instant) -> Result<Group, FileError> {
    Ok(mounts(pool, now).await?.lookup(path).map(|mount| mount.id.into()))
}

/// The group of a job that touches both: the one that is likelier to wait.
pub(super) async fn group_of_both(
    (first, second): (&Path, &Path),
    pool: &Pool,
    now: Instant,
) -> Result<Group, FileError> {
    let mounts = mounts(pool, now).await?;
    let first = mounts.lookup(first);
    let second = mounts.lookup(second);
    let slower = match first {
        Some(mount) if mount.local => second,
        other => other,
    };
    Ok(slower.map(|mount| mount.id.into()))
}

/// As they are, or were about a second ago.
pub(super) async fn mounts(pool: &Pool, now: Instant) -> Result<Arc<MountTable>, FileError> {
    let known = known(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner), now);
    match known {
        Some(mounts) => Ok(mounts),
        None => Ok(pool.run_in_group(Lane::FILE, READING, read_mounts)?.await?),
    }
}

/// `None` for who has to read them: all while nothing is known, and then one at a time.
fn known(seen: &mut Option<Seen>, now: Instant) -> Option<Arc<MountTable>> {
    let (asked, mounts) = seen.as_mut()?;
    if now.saturating_duration_since(*asked) < READ_AFTER {
        return Some(Arc::clone(mounts));
    }
    *asked = now;
    None
}

/// Blocks. What cannot be read tells of no mount, and then all files share a group.
fn read_mounts() -> Arc<MountTable> {
    let read = Instant::now();
    let mounts = Arc::new(MountTable::read().unwrap_or_default());
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = Some((read, Arc::clone(&mounts)));
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_are_old_are_read_again_by_one_and_used_by_the_others() {
        let start = Instant::now();
        assert!(known(&mut None, start).is_none());
        let mut seen = Some((start, Arc::default()));
        assert!(known(&mut seen, start + READ_AFTER / 2).is_some());
        assert!(known(&mut seen, start + READ_AFTER).is_none(), "this one reads them");
        assert!(known(&mut seen, start + READ_AFTER).is_some());
        assert!(known(&mut seen, start + READ_AFTER * 2).is_none(), "that one did not");
    }
}

//! What is closed by workers only: closing may wait, and a descriptor's number means nothing on a shard
//! with a descriptor table of its own.

use super::group::Group;
use crate::{
    pool::{Lane, Pool},
    sys::table,
};
use std::{
    any::Any,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Something open. Whoever drops it has the pool close it.
#[derive(Debug)]
pub(super) struct Held<T: Send + 'static> {
    /// Empty from its drop on.
    open: Option<T>,
    group: Group,
    pool: Pool,
}

impl<T: Send + 'static> Held<T> {
    pub(super) fn new(open: T, group: Group, pool: Pool) -> Self {
        Held { open: Some(open), group, pool }
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// For workers, which need no other one to close it.
    pub(super) fn close(mut self) {
        drop(self.open.take());
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.open.as_mut().expect("open until it is dropped")
    }
}

impl<T: Send + 'static> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.open.as_ref().expect("open until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            discard(open, self.group, &self.pool);
        }
    }
}

/// On its way to a worker; empty once a worker has it.
type Parcel = Arc<Mutex<Option<Box<dyn Any + Send>>>>;

/// What the pool did not take: the next job of its group drops it. At most as much as was open.
static DISCARDED: Mutex<Vec<(Group, Parcel)>> = Mutex::new(Vec::new());

/// Has a worker drop it.
pub(super) fn discard<T: Send + 'static>(unwanted: T, group: Group, pool: &Pool) {
    let parcel: Parcel = Arc::new(Mutex::new(Some(Box::new(unwanted))));
    let sent = Arc::clone(&parcel);
    let job = pool.run_in_group(Lane::FILE, group, move || {
        discard_waiting(group);
        // Taken out, and then dropped, since this thread may still have the parcel when the worker is done.
        let unwanted = locked(&sent).take();
        drop(unwanted);
    });
    match job {
        Ok(job) => job.detach(),
        // With another descriptor table, this thread cannot even close it.
        Err(refused) if refused.is_full() || table::is_private() => {
            locked(&DISCARDED).push((group, parcel));
        }
        // The pool has shut down: no worker is left to do it, and no shard to be held up.
        Err(_) => {}
    }
}

/// Drops what of this group waits for it. For workers.
pub(super) fn discard_waiting(group: Group) {
    loop {
        let next = {
            let mut discarded = locked(&DISCARDED);
            discarded.iter().position(|(g, _)| *g == group).map(|at| discarded.swap_remove(at))
        };
        if next.is_none() {
            return;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

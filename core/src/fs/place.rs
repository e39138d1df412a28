//! Where a file under work is while no worker has it.

use super::{
    FileError,
    group::Group,
    held::{discard, discard_waiting},
    target::{Mode, Target},
};
use crate::pool::{Job, Lane, Pool};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Shared by a writer and its job. Nothing blocks under the lock, and targets are dropped by workers only.
#[derive(Debug, Default)]
pub(super) struct Place(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Empty before it is open, while a worker has it, and once it is finished.
    target: Option<Target>,
    group: Group,
    /// The bytes of the next job, and the emptied buffer after it.
    bytes: Vec<u8>,
    /// Set by the writer's end, never unset: what a worker brings back is discarded.
    abandoned: bool,
}

/// What a job does with the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Write,
    Finish { sync: bool },
}

impl Place {
    /// Of what is open already.
    pub(super) fn with(target: Target, group: Group) -> Self {
        Place(Mutex::new(Inner { target: Some(target), group, ..Inner::default() }))
    }

    /// Starts a job that opens the file.
    pub(super) fn open(self: &Arc<Self>, path: &Path, mode: Mode, pool: &Pool, group: Group) -> Opening {
        let (place, path) = (Arc::clone(self), path.to_owned());
        Ok(pool.run_in_group(Lane::FILE, group, move || {
            discard_waiting(group);
            let target = Target::open(&path, mode)?;
            place.inner().group = target.group().or(group);
            place.put_back(target);
            Ok(())
        })?)
    }

    /// Starts a job that writes `bytes`, and perhaps finishes the file. If the pool refuses it, the bytes
    /// stay with the caller.
    pub(super) fn start(self: &Arc<Self>, work: Work, bytes: &mut Vec<u8>, pool: &Pool) -> Opening {
        let group = self.group();
        std::mem::swap(&mut self.inner().bytes, bytes);
        let place = Arc::clone(self);
        let job = pool.run_in_group(Lane::FILE, group, move || {
            discard_waiting(group);
            place.work(work)
        });
        if job.is_err() {
            std::mem::swap(&mut self.inner().bytes, bytes);
        }
        Ok(job?)
    }

    /// For workers.
    fn work(&self, work: Work) -> io::Result<()> {
        let (target, mut bytes) = {
            let mut inner = self.inner();
            (inner.target.take(), std::mem::take(&mut inner.bytes))
        };
        // A job that panicked has taken it along.
        let mut target = target.ok_or(io::ErrorKind::BrokenPipe)?;
        target.write(&bytes)?;
        bytes.clear();
        match work {
            Work::Write => {
                self.inner().bytes = bytes;
                self.put_back(target);
                Ok(())
            }
            Work::Finish { sync } => target.finish(sync),
        }
    }

    fn put_back(&self, target: Target) {
        let mut inner = self.inner();
        let unwanted = match inner.abandoned {
            true => Some(target),
            false => inner.target.replace(target),
        };
        drop(inner);
        drop(unwanted);
    }

    pub(super) fn group(&self) -> Group {
        self.inner().group
    }

    /// The buffer that the last job has emptied.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        std::mem::take(&mut self.inner().bytes)
    }

    /// The writer is gone: a worker closes and removes the file.
    pub(super) fn discard(&self, pool: &Pool) {
        let (group, target) = {
            let mut inner = self.inner();
            inner.abandoned = true;
            (inner.group, inner.target.take())
        };
        // Without one, a worker has it and will see that it is abandoned, or it is finished.
        if let Some(target) = target {
            discard(target, group, pool);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) type Opening = Result<Job<io::Result<()>>, FileError>;

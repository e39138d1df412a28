//! How an operation becomes a job of the file lane.

use super::{
    FileError,
    group::{Group, group_of, group_of_both},
    held::{Held, discard_waiting},
};
use crate::{
    pool::{Job, Lane, Pool, PoolFull, Step},
    shard,
    sys::file::mount_id,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

/// Bytes that a job reads, writes or copies before others have their turn.
pub(super) const STEP: u64 = 1024 * 1024;

/// Where a job works.
#[derive(Debug)]
pub(super) struct Site {
    /// Absolute.
    pub(super) path: PathBuf,
    pub(super) pool: Pool,
    pub(super) group: Group,
}

impl Site {
    /// The path as it stands in the table of mounts.
    ///
    /// # Panics
    /// Outside a shard.
    pub(super) async fn of(path: &Path) -> Result<Self, FileError> {
        let (pool, now) = pool_and_now();
        let path = std::path::absolute(path)?;
        let group = group_of(&path, &pool, now).await?;
        Ok(Site { path, pool, group })
    }

    /// What is open from one step to the next, since the shard may drop it in between.
    pub(super) fn hold<T: Send + 'static>(&self, open: T) -> Held<T> {
        Held::new(open, self.group, self.pool.clone())
    }

    /// Opens a file, which is of its own mount's group from then on. For workers.
    pub(super) fn open(&self, options: &fs::OpenOptions) -> io::Result<Held<fs::File>> {
        let file = options.open(&self.path)?;
        let group = mount_id(&file).or(self.group);
        Ok(Held::new(file, group, self.pool.clone()))
    }

    pub(super) async fn run<T, F>(self, work: F) -> Result<T, FileError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> io::Result<T> + Send + 'static,
    {
        let mut work = Some(work);
        self.run_steps(move |site| work.take().expect("done after one step")(site).map(Some)).await
    }

    /// Runs steps up to the one that gives something.
    pub(super) async fn run_steps<T, F>(self, mut step: F) -> Result<T, FileError>
    where
        T: Send + 'static,
        F: FnMut(&Self) -> io::Result<Option<T>> + Send + 'static,
    {
        let (pool, group) = (self.pool.clone(), self.group);
        steps(&pool, group, move || step(&self)).await
    }
}

/// What the current shard lends to an operation.
pub(super) fn pool_and_now() -> (Pool, Instant) {
    shard::with(|shard| (shard.pool().clone(), shard.now()))
}

/// Runs `work`, which may block, in the group of the path's mount.
pub(super) async fn on_path<T, F>(verb: &'static str, path: &Path, work: F) -> Result<T, FileError>
where
    T: Send + 'static,
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
{
    let done = async { Site::of(path).await?.run(|site| work(&site.path)).await };
    done.await.map_err(|error| error.doing(verb, path))
}

/// The same for two paths, in the group of the one that is likelier to wait. The site is that of the first.
pub(super) async fn on_paths<T, F>(
    verb: &'static str,
    (from, to): (&Path, &Path),
    mut step: F,
) -> Result<T, FileError>
where
    T: Send + 'static,
    F: FnMut(&Site, &Path) -> io::Result<Option<T>> + Send + 'static,
{
    let (pool, now) = pool_and_now();
    let done = async {
        let (path, to) = (std::path::absolute(from)?, std::path::absolute(to)?);
        let group = group_of_both((&path, &to), &pool, now).await?;
        Site { path, pool, group }.run_steps(move |site| step(site, &to)).await
    };
    done.await.map_err(|error: FileError| error.doing(verb, from))
}

/// Runs a job of this group up to the step that gives something.
pub(super) async fn steps<T, F>(pool: &Pool, group: Group, step: F) -> Result<T, FileError>
where
    T: Send + 'static,
    F: FnMut() -> io::Result<Option<T>> + Send + 'static,
{
    Ok(begin_steps(pool, group, step)?.await??)
}

/// As [`steps`], for who polls the job.
pub(super) fn begin_steps<T, F>(
    pool: &Pool,
    group: Group,
    mut step: F,
) -> Result<Job<io::Result<T>>, PoolFull>
where
    T: Send + 'static,
    F: FnMut() -> io::Result<Option<T>> + Send + 'static,
{
    let step = move || match step() {
        Ok(None) => Step::Again,
        Ok(Some(done)) => Step::Done(Ok(done)),
        Err(error) => Step::Done(Err(error)),
    };
    pool.run_steps(Lane::FILE, group, discarding(group, step))
}

/// The work, after what others of its group have left.
pub(super) fn discarding<T>(group: Group, mut work: impl FnMut() -> T) -> impl FnMut() -> T {
    move || {
        discard_waiting(group);
        work()
    }
}

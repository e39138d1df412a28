//! Many small files.

use super::{
    FileError,
    content::{Progress, read_on},
    group::{Group, mounts},
    job::{discarding, pool_and_now},
};
use crate::pool::{Job, Lane, Pool};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Files that a job reads.
const BATCH: usize = 64;
/// Jobs that are queued or run at a time.
const JOBS: usize = 4;

/// Reads many files of up to `limit` bytes each, by one job for 64 of a mount instead of one for each: for small ones
/// the way to the pool and back costs more than the reading. The results are in the order of the paths.
///
/// Four jobs at a time. All that is read is in memory in the end; a job reads 64 times `limit` before others have
/// their turn.
///
/// Cancel safe: as the [module](super) says; a job that runs reads its files to the end.
///
/// # Errors
/// For all of them: the pool is full, has shut down, or lost a job. For each file: as [`read`](super::read).
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path().to_owned();
/// # lakh_core::block_on(async move {
/// use lakh_core::fs;
///
/// fs::write(root.join("a.html"), "<p>a").await?;
/// let templates = fs::read_many(["a.html", "b.html"].map(|name| root.join(name)), 64 * 1024).await?;
/// assert_eq!(templates[0].as_ref().unwrap(), "<p>a");
/// assert!(templates[1].as_ref().unwrap_err().is_not_found());
/// # Ok::<(), lakh_core::fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn read_many<P: AsRef<Path>>(
    paths: impl IntoIterator<Item = P>,
    limit: usize,
) -> Result<Vec<Result<Bytes, FileError>>, FileError> {
    let (pool, now) = pool_and_now();
    let mut by_mount: HashMap<Group, Vec<(usize, PathBuf)>> = HashMap::new();
    let mut results = Vec::new();
    let mounts = mounts(&pool, now).await?;
    for (at, path) in paths.into_iter().enumerate() {
        // Each has its place, in which its own result comes.
        results.push(Err(FileError::from(io::Error::from(io::ErrorKind::InvalidInput))));
        let given = path.as_ref();
        match std::path::absolute(given) {
            Ok(path) => {
                let group = mounts.lookup(&path).map(|mount| mount.id.into());
                by_mount.entry(group).or_default().push((at, path));
            }
            Err(error) => results[at] = Err(FileError::from(error).doing("read", given)),
        }
    }
    let mut running = VecDeque::new();
    for (group, files) in by_mount {
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            if running.len() == JOBS {
                take_first(&mut running, &mut results).await?;
            }
            running.push_back(start(&pool, group, files.by_ref().take(BATCH).collect(), limit)?);
        }
    }
    while !running.is_empty() {
        take_first(&mut running, &mut results).await?;
    }
    Ok(results)
}

type Read = Vec<(usize, Result<Bytes, FileError>)>;

fn start(
    pool: &Pool,
    group: Group,
    files: Vec<(usize, PathBuf)>,
    limit: usize,
) -> Result<Job<Read>, FileError> {
    let work = move || {
        let read = |(at, path): &(usize, PathBuf)| {
            (*at, read_one(path, limit).map_err(|error| error.doing("read", path)))
        };
        files.iter().map(read).collect()
    };
    Ok(pool.run_in_group(Lane::FILE, group, discarding(group, work))?)
}

async fn take_first(
    running: &mut VecDeque<Job<Read>>,
    results: &mut [Result<Bytes, FileError>],
) -> Result<(), FileError> {
    if let Some(job) = running.pop_front() {
        for (at, result) in job.await? {
            results[at] = result;
        }
    }
    Ok(())
}

/// For workers.
fn read_one(path: &Path, limit: usize) -> Result<Bytes, FileError> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    loop {
        match read_on(&file, &mut bytes, limit)? {
            Progress::More => {}
            Progress::End => return Ok(bytes.into()),
            Progress::TooLarge => return Err(FileError::too_large(limit as u64)),
        }
    }
}

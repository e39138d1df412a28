//! Directories, in batches.

use super::{
    FileError,
    group::Group,
    held::Held,
    job::{Site, discarding},
};
use crate::pool::{Job, Lane, Pool};
use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, FileType},
    future::{Future, poll_fn},
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Entries that a job reads.
const BATCH: usize = 256;

/// Opens a directory to read what is in it (`opendir(3)`).
///
/// Cancel safe: as the [module](super) says.
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// let mut entries = lakh_core::fs::read_dir("/").await?;
/// while let Some(batch) = entries.next_batch().await? {
///     for entry in batch {
///         println!("{}", entry.path().display());
///     }
/// }
/// # Ok::<(), lakh_core::fs::FileError>(())
/// # }).unwrap().unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> Result<ReadDir, FileError> {
    let given: Arc<Path> = path.as_ref().into();
    let done = async {
        let site = Site::of(&given).await?;
        let (pool, group, folder) = (site.pool.clone(), site.group, Arc::clone(&given));
        let batch = site.run(move |site| read(site.hold(fs::read_dir(&site.path)?), &folder)).await?;
        Ok((pool, group, batch))
    };
    let (pool, group, batch) = done.await.map_err(|error: FileError| error.doing("read", &given))?;
    let mut entries =
        ReadDir { path: given, pool, group, open: None, ready: VecDeque::new(), job: None, failed: None };
    entries.take(batch);
    Ok(entries)
}

/// A directory that is read, from [`read_dir`]: in no order, without `.` and `..`.
///
/// It holds 256 entries at most, and reads the next ones when these have been taken. What comes and goes
/// meanwhile may be seen or not.
pub struct ReadDir {
    path: Arc<Path>,
    pool: Pool,
    group: Group,
    /// Empty while a worker has it, and at the end.
    open: Option<Held<fs::ReadDir>>,
    ready: VecDeque<DirEntry>,
    job: Option<Job<io::Result<Batch>>>,
    /// Said once the entries before it have been taken.
    failed: Option<FileError>,
}

impl ReadDir {
    /// The entries that there are, or else the next ones, 256 at most; `None` at the end.
    ///
    /// Cancel safe: what was read meanwhile comes with the next call.
    ///
    /// # Errors
    /// As the [module](super) says. If the pool is full, the next call goes on where this one was refused; after
    /// another error, there is nothing more.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<DirEntry>>, FileError> {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        let batch: Vec<_> = std::mem::take(&mut self.ready).into();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    /// The next entry; as [`next_batch`](Self::next_batch).
    ///
    /// # Errors
    /// As there.
    pub async fn next_entry(&mut self) -> Result<Option<DirEntry>, FileError> {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        Ok(self.ready.pop_front())
    }

    /// Ready once there is an entry, or no more of them.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error));
            }
            let Some(job) = &mut self.job else {
                if self.open.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if let Err(error) = self.start() {
                    return Poll::Ready(Err(error.doing("read", &self.path)));
                }
                continue;
            };
            let outcome = ready!(Pin::new(job).poll(cx));
            self.job = None;
            match outcome.map_err(FileError::from).and_then(|read| Ok(read?)) {
                Ok(batch) => self.take(batch),
                Err(error) => return Poll::Ready(Err(error.doing("read", &self.path))),
            }
        }
    }

    /// If the pool refuses, the directory stays open.
    fn start(&mut self) -> Result<(), FileError> {
        // A slot that both have, since a closure that the pool refuses is gone.
        let slot = Arc::new(std::sync::Mutex::new(self.open.take()));
        let (sent, folder) = (Arc::clone(&slot), Arc::clone(&self.path));
        let take = |slot: &std::sync::Mutex<Option<Held<fs::ReadDir>>>| {
            slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        };
        let work = move || read(take(&sent).ok_or(io::ErrorKind::BrokenPipe)?, &folder);
        match self.pool.run_in_group(Lane::FILE, self.group, discarding(self.group, work)) {
            Ok(job) => {
                self.job = Some(job);
                Ok(())
            }
            Err(refused) => {
                self.open = take(&slot);
                Err(refused.into())
            }
        }
    }

    fn take(&mut self, batch: Batch) {
        self.ready = batch.entries.into();
        self.open = batch.more;
        self.failed = batch.failed.map(|error| FileError::from(error).doing("read", &self.path));
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("path", &self.path)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

/// Something in a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    folder: Arc<Path>,
    name: OsString,
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Its name in the directory.
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// The path of the directory, as it was given, and the name.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// What it is; a link is a link. `None` if it was gone before that could be asked, on filesystems that do not
    /// tell with the name.
    pub fn file_type(&self) -> Option<FileType> {
        self.file_type
    }
}

/// What a job has read.
struct Batch {
    entries: Vec<DirEntry>,
    /// Unless that was all.
    more: Option<Held<fs::ReadDir>>,
    failed: Option<io::Error>,
}

/// For workers.
fn read(mut open: Held<fs::ReadDir>, folder: &Arc<Path>) -> io::Result<Batch> {
    let mut entries = Vec::new();
    while entries.len() < BATCH {
        match open.get_mut().next() {
            Some(Ok(entry)) => entries.push(DirEntry {
                folder: Arc::clone(folder),
                name: entry.file_name(),
                file_type: entry.file_type().ok(),
            }),
            end => {
                open.close();
                let failed = end.and_then(Result::err);
                return Ok(Batch { entries, more: None, failed });
            }
        }
    }
    Ok(Batch { entries, more: Some(open), failed: None })
}

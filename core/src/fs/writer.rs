//! The shard's half of writing a file: a buffer that fills while another one is written.

use super::{
    FileError,
    group::group_of,
    held::Held,
    place::{Opening, Place, Work},
    target::{Mode, Target},
};
use crate::{
    pool::{Job, Lane, Pool, Room},
    shard,
};
use std::{
    fmt,
    fs::File,
    future::{Future, poll_fn},
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Bytes of a buffer: enough that a job costs little beside its writing.
const BUFFER: usize = 256 * 1024;

/// How a file is written; made by [`FileWriter::options`].
///
/// ```
/// use lakh_core::fs::FileWriter;
///
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("report");
/// lakh_core::block_on(async move {
///     let mut file = FileWriter::options().create_new().sync(true).open(path).await?;
///     file.write_all(b"all of it, or nothing").await?;
///     file.finish().await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileWriterOptions {
    mode: Mode,
    sync: bool,
    buffer: usize,
}

impl FileWriterOptions {
    /// Never replaces a file: an error at once if there is one of this name, or at the end if there is one
    /// by then.
    pub fn create_new(self) -> Self {
        FileWriterOptions { mode: Mode::New, ..self }
    }

    /// Empties the file that is there and writes into it, or makes one; for what keeps its owner or
    /// other names, and for devices. What was written stays there if the writer is dropped.
    pub fn in_place(self) -> Self {
        FileWriterOptions { mode: Mode::InPlace, ..self }
    }

    /// Whether [`finish`](FileWriter::finish) waits until the file and its name are on the disk and
    /// outlast a power cut (`fsync(2)`). Not by default: it may take long.
    pub fn sync(self, sync: bool) -> Self {
        FileWriterOptions { sync, ..self }
    }

    /// Bytes of each of the two buffers, at least 1. 256 KiB by default.
    pub fn buffer(self, bytes: usize) -> Self {
        FileWriterOptions { buffer: bytes.max(1), ..self }
    }

    /// Opens the file; waits for the pool.
    ///
    /// Cancel safe: what was opened meanwhile is removed.
    ///
    /// # Errors
    /// What the system says; [`is_full`](FileError::is_full) if the file lane, or the share of the
    /// file's mount, is full.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<FileWriter, FileError> {
        let path: PathBuf = std::path::absolute(path)?;
        let (pool, now) = shard::with(|shard| (shard.pool().clone(), shard.now()));
        let group = group_of(&path, &pool, now).await?;
        let place = Arc::<Place>::default();
        let job = place.open(&path, self.mode, &pool, group)?;
        let mut writer = FileWriter::new(place, pool, self);
        writer.job = Some(job);
        poll_fn(|cx| writer.poll_job(cx)).await?;
        Ok(writer)
    }
}

/// Writes a file from a shard, by the pool.
///
/// Bytes are copied into a buffer, and a full one is written by a job of the file lane while the next one
/// fills; with both full, the caller waits. So it takes two buffers of memory at most
/// ([`FileWriterOptions::buffer`]), none while nothing has been written, and no more than one job.
///
/// The file has another name in the same folder (`.lakh-….part`) until [`finish`](FileWriter::finish)
/// gives it its own, in the place of a file that is there. It has that one's rights (as they were when this one was
/// opened) and, if this process may give it to it, its group; another group may do no more than everybody. It has neither its
/// owner nor the right to run as another user. A writer that is dropped before, or fails, has the
/// pool remove it; so nobody ever sees half a file. Only the end of the process can leave one behind.
///
/// **Errors** of writing come at the next call, and at every later one. A pool that is full refuses to open
/// files; those that are open wait for room in it, and so does who writes to them.
///
/// ```
/// use lakh_core::fs::{FileError, FileWriter};
///
/// async fn store(chunks: &[&[u8]]) -> Result<u64, FileError> {
///     let mut file = FileWriter::create("/srv/uploads/17").await?;
///     for chunk in chunks {
///         file.write_all(chunk).await?;
///     }
///     file.finish().await
/// }
/// ```
pub struct FileWriter {
    place: Arc<Place>,
    pool: Pool,
    options: FileWriterOptions,
    /// Bytes that no job has yet.
    gathered: Vec<u8>,
    /// A buffer that a job has emptied.
    spare: Vec<u8>,
    job: Option<Job<io::Result<()>>>,
    /// Its place among those who wait for a full pool.
    room: Option<Room>,
    /// Bytes taken from the caller.
    taken: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Open,
    /// The job is the last one.
    Finishing,
    Finished,
    Failed(FileError),
}

impl FileWriter {
    /// Opens a file that comes into being when it is finished, in the place of one that is there.
    /// As [`FileWriterOptions::open`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn create(path: impl AsRef<Path>) -> Result<FileWriter, FileError> {
        Self::options().open(path).await
    }

    /// Other ways to write a file.
    pub fn options() -> FileWriterOptions {
        FileWriterOptions { mode: Mode::Replace, sync: false, buffer: BUFFER }
    }

    pub(super) fn at(file: Arc<Held<File>>, path: &Path, offset: u64) -> FileWriter {
        let (pool, group) = (file.pool().clone(), file.group());
        let place = Place::with(Target::part(file, path, offset), group);
        Self::new(Arc::new(place), pool, Self::options().in_place())
    }

    fn new(place: Arc<Place>, pool: Pool, options: FileWriterOptions) -> FileWriter {
        FileWriter {
            place,
            pool,
            options,
            gathered: Vec::new(),
            spare: Vec::new(),
            job: None,
            room: None,
            taken: 0,
            stage: Stage::Open,
        }
    }

    /// Takes some of `bytes`, and says how many: as many as there is room for, once there is room.
    ///
    /// Cancel safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    /// As the [type](FileWriter) says. Nothing of `bytes` is taken then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError> {
        poll_fn(|cx| self.poll_write(cx, bytes)).await
    }

    /// Takes all of `bytes`.
    ///
    /// Not cancel safe: a future that is dropped may have taken some. To go on after it, use
    /// [`write`](FileWriter::write).
    ///
    /// # Errors
    /// As [`write`](FileWriter::write).
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            let taken = self.write(bytes).await?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Ready with what [`write`](FileWriter::write) gives.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FileError>> {
        match &self.stage {
            Stage::Failed(error) => return Poll::Ready(Err(error.clone())),
            Stage::Open => {}
            Stage::Finishing | Stage::Finished => {
                return Poll::Ready(Err(io::Error::other("the file is finished").into()));
            }
        }
        let busy = match self.poll_job(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => false,
            Poll::Pending => true,
        };
        if self.is_full() {
            if busy {
                return Poll::Pending;
            }
            ready!(self.poll_start(cx, Work::Write))?;
        }
        let taken = self.gather(bytes);
        if self.is_full() && self.job.is_none() {
            // What the pool refuses now it may take with the next call, which has no room and waits.
            let _ = self.start(Work::Write);
        }
        Poll::Ready(Ok(taken))
    }

    /// Has everything that was taken written, though perhaps not to the disk. A file that comes into being when it
    /// is finished is not there yet.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As the [type](FileWriter) says.
    pub async fn flush(&mut self) -> Result<(), FileError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ready with what [`flush`](FileWriter::flush) gives.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        loop {
            if let Stage::Failed(error) = &self.stage {
                return Poll::Ready(Err(error.clone()));
            }
            ready!(self.poll_job(cx))?;
            if self.gathered.is_empty() || !matches!(self.stage, Stage::Open) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_start(cx, Work::Write))?;
        }
    }

    /// Has the rest written and gives the file its name; gives its length in bytes.
    ///
    /// Cancel safe: it goes on meanwhile, and the next call tells how it ended. A writer that is dropped
    /// instead may have finished or not.
    ///
    /// # Errors
    /// As the [type](FileWriter) says; [`is_already_exists`](FileError::is_already_exists) if the file was
    /// to be a [new one](FileWriterOptions::create_new) and is not. If [`sync`](FileWriterOptions::sync)
    /// of the folder fails, the file is there all the same.
    pub async fn finish(&mut self) -> Result<u64, FileError> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Ready with what [`finish`](FileWriter::finish) gives.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, FileError>> {
        loop {
            ready!(self.poll_job(cx))?;
            match &self.stage {
                Stage::Failed(error) => return Poll::Ready(Err(error.clone())),
                Stage::Finished => return Poll::Ready(Ok(self.taken)),
                Stage::Finishing => {
                    self.stage = Stage::Finished;
                    (self.gathered, self.spare) = (Vec::new(), Vec::new());
                }
                Stage::Open => {
                    let work = Work::Finish { sync: self.options.sync };
                    ready!(self.poll_start(cx, work))?;
                    self.stage = Stage::Finishing;
                }
            }
        }
    }

    /// Bytes taken so far. Some of them may not be written yet.
    pub fn len(&self) -> u64 {
        self.taken
    }

    /// Whether nothing has been taken so far.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Ready once no job runs; an error of the last one is kept.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        let Some(job) = &mut self.job else { return Poll::Ready(Ok(())) };
        let outcome = ready!(Pin::new(job).poll(cx));
        self.job = None;
        let error: FileError = match outcome {
            Ok(Ok(())) => {
                self.spare = self.place.take_buffer();
                return Poll::Ready(Ok(()));
            }
            Ok(Err(error)) => error.into(),
            Err(lost) => lost.into(),
        };
        (self.gathered, self.spare) = (Vec::new(), Vec::new());
        self.stage = Stage::Failed(error.clone());
        Poll::Ready(Err(error))
    }

    /// As [`start`](Self::start), once the pool has room: a file that is half written is not given up because
    /// others write, too.
    fn poll_start(&mut self, cx: &Context<'_>, work: Work) -> Poll<Result<(), FileError>> {
        self.room = None;
        match self.start(work) {
            Err(error) if error.is_full() => {
                self.room = self.pool.wait_for_room(Lane::FILE, self.place.group(), cx.waker().clone());
                if self.room.is_none() {
                    // There is room by now.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            started => Poll::Ready(started),
        }
    }

    /// No job may be running.
    fn start(&mut self, work: Work) -> Result<(), FileError> {
        let started: Opening = self.place.start(work, &mut self.gathered, &self.pool);
        self.job = Some(started?);
        self.gathered = std::mem::take(&mut self.spare);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.gathered.len() >= self.options.buffer
    }

    fn gather(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.options.buffer - self.gathered.len());
        if taken > self.gathered.capacity() - self.gathered.len() {
            // Doubling would go beyond the bound.
            self.gathered.reserve_exact(self.options.buffer - self.gathered.len());
        }
        self.gathered.extend_from_slice(&bytes[..taken]);
        self.taken += taken as u64;
        taken
    }
}

/// Closing is [finishing](FileWriter::finish).
impl futures_io::AsyncWrite for FileWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        FileWriter::poll_write(&mut self, cx, bytes).map_err(io::Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        FileWriter::poll_flush(&mut self, cx).map_err(io::Error::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map(|finished| finished.map(drop).map_err(io::Error::from))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        // A job that is queued is taken back; one that runs sees that nobody wants the file.
        self.job = None;
        self.place.discard(&self.pool);
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, stage, options, .. } = self;
        f.debug_struct("FileWriter")
            .field("taken", taken)
            .field("stage", stage)
            .field("options", options)
            .finish_non_exhaustive()
    }
}

//! Open files.

use super::{
    FileError, FileReader, FileWriter,
    held::Held,
    job::{STEP, Site, steps},
};
use crate::sys::file::{read_at, write_all_at};
use bytes::Bytes;
use std::{
    fs::{self, Metadata, Permissions},
    io::{self, SeekFrom},
    ops::{Bound, RangeBounds},
    path::Path,
    sync::Arc,
};

/// How a file is opened, as `std::fs::OpenOptions`; made by [`File::options`].
///
/// ```
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("lock");
/// # lakh_core::block_on(async move {
/// use lakh_core::fs::File;
///
/// let file = File::options().write(true).create_new(true).open(&path).await?;
/// let error = File::options().write(true).create_new(true).open(&path).await.unwrap_err();
/// assert!(error.is_already_exists());
/// # Ok::<(), lakh_core::fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

impl OpenOptions {
    /// To read.
    pub fn read(mut self, read: bool) -> Self {
        self.0.read(read);
        self
    }

    /// To write.
    pub fn write(mut self, write: bool) -> Self {
        self.0.write(write);
        self
    }

    /// To write at the end, wherever that is by then. On Linux, offsets of writes mean nothing then.
    pub fn append(mut self, append: bool) -> Self {
        self.0.append(append);
        self
    }

    /// Empties the file.
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.0.truncate(truncate);
        self
    }

    /// Makes the file if there is none.
    pub fn create(mut self, create: bool) -> Self {
        self.0.create(create);
        self
    }

    /// Makes the file, or fails if there is one: [`is_already_exists`](FileError::is_already_exists).
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.0.create_new(create_new);
        self
    }

    /// Who may do what with a file that is made, less the process's umask; 0o666 by default. Nothing elsewhere
    /// than on Unix.
    #[cfg_attr(not(unix), expect(unused_mut))]
    pub fn mode(mut self, mode: u32) -> Self {
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.0, mode);
        let _ = mode;
        self
    }

    /// Opens the file.
    ///
    /// Cancel safe: what was opened meanwhile is closed. A file that was made, or emptied, is.
    ///
    /// # Errors
    /// As the [module](super) says.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<File, FileError> {
        let path: Arc<Path> = path.as_ref().into();
        let opened = async { Site::of(&path).await?.run(move |site| site.open(&self.0)).await };
        let held = opened.await.map_err(|error: FileError| error.doing("open", &path))?;
        Ok(File { held: Arc::new(held), path, position: 0 })
    }
}

/// An open file, read and written by the pool, at offsets or at a position.
///
/// Two kinds of calls, as POSIX has them: those that take an offset (`&self`, any number at a time), and those at
/// the position, which [`seek`](File::seek) moves. The position is kept here: a call that was dropped has not moved
/// it. Files without offsets (pipes, terminals) are not for this type.
///
/// Dropping it has the pool close the file; what closing says is lost, so call [`sync_all`](File::sync_all) where
/// it counts.
///
/// **Errors** are as the [module](super) says. A full lane refuses each call; nothing of it is done then, and the
/// file is as good as before. [`FileReader`] and [`FileWriter`] wait for room in it.
///
/// ```
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("index");
/// # lakh_core::block_on(async move {
/// use lakh_core::fs::File;
///
/// let file = File::options().read(true).write(true).create(true).open(&path).await?;
/// file.write_at(4096, "second page").await?;
/// file.sync_data().await?;
/// assert_eq!(file.read_at(4096, 6).await?, "second");
/// # Ok::<(), lakh_core::fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct File {
    held: Arc<Held<fs::File>>,
    path: Arc<Path>,
    position: u64,
}

impl File {
    /// Opens a file to read it; as [`OpenOptions::open`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn open(path: impl AsRef<Path>) -> Result<File, FileError> {
        Self::options().read(true).open(path).await
    }

    /// Opens a file to write it, made if there is none and emptied if there is; as [`OpenOptions::open`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn create(path: impl AsRef<Path>) -> Result<File, FileError> {
        Self::options().write(true).create(true).truncate(true).open(path).await
    }

    /// Other ways to open a file.
    pub fn options() -> OpenOptions {
        OpenOptions(fs::OpenOptions::new())
    }

    /// Reads up to `length` bytes: fewer only at the end (`pread(2)`). Memory is taken as the file has bytes.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As the [type](File) says.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let mut bytes = Vec::new();
        self.steps("read", move |file| {
            let before = bytes.len();
            let step = (length - before).min(STEP as usize);
            bytes.resize(before + step, 0);
            let read = read_at(file, &mut bytes[before..], offset.saturating_add(before as u64))?;
            bytes.truncate(before + read);
            // Fewer than asked for need not be the end: some filesystems give what they have.
            let over = read == 0 || bytes.len() == length;
            Ok(over.then(|| {
                bytes.shrink_to_fit();
                Bytes::from(std::mem::take(&mut bytes))
            }))
        })
        .await
    }

    /// Writes all of `bytes` at `offset` (`pwrite(2)`).
    ///
    /// Not cancel safe: a future that is dropped may have written all, a part, or nothing.
    ///
    /// # Errors
    /// As the [type](File) says. A part may have been written.
    pub async fn write_at(&self, offset: u64, bytes: impl Into<Bytes>) -> Result<(), FileError> {
        let (mut rest, mut at) = (bytes.into(), offset);
        self.steps("write", move |file| {
            let step = rest.split_to(rest.len().min(STEP as usize));
            write_all_at(file, &step, at)?;
            at += step.len() as u64;
            Ok(rest.is_empty().then_some(()))
        })
        .await
    }

    /// Reads up to `length` bytes at the position and moves it behind them.
    ///
    /// Cancel safe: a future that is dropped has not moved the position.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn read(&mut self, length: usize) -> Result<Bytes, FileError> {
        let bytes = self.read_at(self.position, length).await?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Writes all of `bytes` at the position and moves it behind them.
    ///
    /// Not cancel safe; as [`write_at`](Self::write_at), and the position has not moved.
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), FileError> {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        self.write_at(self.position, bytes).await?;
        self.position += length;
        Ok(())
    }

    /// Moves the position and tells it. Only the end needs the pool to be found.
    ///
    /// # Errors
    /// As the [type](File) says; [`InvalidInput`](io::ErrorKind::InvalidInput) before the beginning.
    pub async fn seek(&mut self, to: SeekFrom) -> Result<u64, FileError> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.metadata().await?.len().checked_add_signed(offset),
        };
        let error =
            || FileError::from(io::Error::from(io::ErrorKind::InvalidInput)).doing("seek in", &self.path);
        self.position = position.ok_or_else(error)?;
        Ok(self.position)
    }

    /// The bytes of a range, chunk by chunk, in bounded memory. The file may be dropped meanwhile.
    ///
    /// ```
    /// # lakh_core::block_on(async {
    /// use lakh_core::fs::File;
    ///
    /// let file = File::open("/proc/self/status").await;
    /// # let Ok(file) = file else { return };
    /// let mut reader = file.reader(..);
    /// let mut bytes = 0;
    /// while let Some(chunk) = reader.chunk().await {
    ///     bytes += chunk.unwrap().len();
    /// }
    /// assert!(bytes > 0);
    /// # }).unwrap();
    /// ```
    pub fn reader(&self, range: impl RangeBounds<u64>) -> FileReader {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        FileReader::new(Arc::clone(&self.held), Arc::clone(&self.path), from..to)
    }

    /// Takes bytes as they come and has them written from `offset` on, in bounded memory. What was written stays
    /// if it is dropped. The file may be dropped meanwhile.
    ///
    /// ```
    /// # let temp = tempfile::tempdir()?;
    /// # let path = temp.path().join("log");
    /// # lakh_core::block_on(async move {
    /// use lakh_core::fs::{self, File};
    ///
    /// let mut writer = File::create(&path).await?.writer(0);
    /// writer.write_all(b"one line\n").await?;
    /// writer.finish().await?;
    /// assert_eq!(fs::read_to_string(&path, 100).await?, "one line\n");
    /// # Ok::<(), lakh_core::fs::FileError>(())
    /// # })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(&self, offset: u64) -> FileWriter {
        FileWriter::at(Arc::clone(&self.held), &self.path, offset)
    }

    /// What is known of it (`fstat(2)`).
    ///
    /// # Errors
    /// As the [type](File) says.
    pub async fn metadata(&self) -> Result<Metadata, FileError> {
        self.steps("look at", |file| file.metadata().map(Some)).await
    }

    /// Cuts it off, or fills it with zeros (`ftruncate(2)`).
    ///
    /// # Errors
    /// As the [type](File) says.
    pub async fn set_len(&self, length: u64) -> Result<(), FileError> {
        self.steps("set the length of", move |file| file.set_len(length).map(Some)).await
    }

    /// Sets who may do what (`fchmod(2)`).
    ///
    /// # Errors
    /// As the [type](File) says.
    pub async fn set_permissions(&self, permissions: Permissions) -> Result<(), FileError> {
        self.steps("set the rights of", move |file| file.set_permissions(permissions.clone()).map(Some)).await
    }

    /// Waits until all of it is on the disk (`fsync(2)`). A new file's name is not, until its directory is.
    ///
    /// # Errors
    /// As the [type](File) says. After an error of the disk, what had been written may be lost, whatever a second
    /// call says.
    pub async fn sync_all(&self) -> Result<(), FileError> {
        self.steps("sync", |file| file.sync_all().map(Some)).await
    }

    /// As [`sync_all`](Self::sync_all), without times and rights (`fdatasync(2)`).
    ///
    /// # Errors
    /// As there.
    pub async fn sync_data(&self) -> Result<(), FileError> {
        self.steps("sync", |file| file.sync_data().map(Some)).await
    }

    async fn steps<T, F>(&self, verb: &'static str, mut step: F) -> Result<T, FileError>
    where
        T: Send + 'static,
        F: FnMut(&fs::File) -> io::Result<Option<T>> + Send + 'static,
    {
        let held = Arc::clone(&self.held);
        let done = steps(self.held.pool(), self.held.group(), move || step(&held)).await;
        done.map_err(|error| error.doing(verb, &self.path))
    }
}

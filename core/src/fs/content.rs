//! Whole files: read, written, copied.

use super::{
    FileError,
    held::Held,
    job::{STEP, Site, on_paths},
};
use bytes::Bytes;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

/// Reads a file of up to `limit` bytes.
///
/// Memory is taken for what the file says is its length, up to the limit, or as it comes. A megabyte is read
/// before other jobs have their turn.
///
/// To send files as answers there is `lakh_http::Files`, to read one in bounded memory
/// [`File::reader`](super::File::reader), and [`read_many`](super::read_many) for many small ones.
///
/// Cancel safe: as the [module](super) says.
///
/// # Errors
/// As the [module](super) says; [`is_too_large`](FileError::is_too_large) if the file is longer than `limit`.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// let status = lakh_core::fs::read("/proc/self/status", 64 * 1024).await;
/// # if cfg!(target_os = "linux") { assert!(status.unwrap().starts_with(b"Name:")); }
/// # }).unwrap();
/// ```
pub async fn read(path: impl AsRef<Path>, limit: usize) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let done = async {
        let mut reading = Reading { limit, file: None, bytes: Vec::new() };
        let read = Site::of(path).await?.run_steps(move |site| reading.step(site)).await?;
        read.ok_or_else(|| FileError::too_large(limit as u64))
    };
    done.await.map_err(|error| error.doing("read", path))
}

/// Reads a file of up to `limit` bytes of UTF-8; as [`read`].
///
/// # Errors
/// As [`read`]; [`InvalidData`](io::ErrorKind::InvalidData) if it is something else than UTF-8.
///
/// # Panics
/// Outside a shard.
pub async fn read_to_string(path: impl AsRef<Path>, limit: usize) -> Result<String, FileError> {
    let path = path.as_ref();
    String::from_utf8(read(path, limit).await?).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        FileError::from(error).doing("read", path)
    })
}

/// Writes a file: makes it, or empties the one that is there and writes into it (`std::fs::write`). Links are
/// followed, and owner and rights stay.
///
/// Others may see half a file meanwhile, and so does who comes after a crash. A
/// [`FileWriter`](super::FileWriter) gives its file the name when all of it is written.
///
/// Cancel safe: no. A future that is dropped may leave a file that is empty, or has a part of the bytes.
///
/// # Errors
/// As the [module](super) says. A part may have been written.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("state");
/// # lakh_core::block_on(async move {
/// lakh_core::fs::write(&path, "ready\n").await?;
/// assert_eq!(lakh_core::fs::read_to_string(&path, 100).await?, "ready\n");
/// # Ok::<(), lakh_core::fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn write(path: impl AsRef<Path>, bytes: impl Into<Bytes>) -> Result<(), FileError> {
    let (path, mut rest) = (path.as_ref(), bytes.into());
    let done = async {
        let mut file = None;
        let write = move |site: &Site| {
            let open =
                opened(&mut file, || site.open(OpenOptions::new().write(true).create(true).truncate(true)))?;
            let step = rest.split_to(rest.len().min(STEP as usize));
            (&**open).write_all(&step)?;
            if !rest.is_empty() {
                return Ok(None);
            }
            file_is_done(&mut file);
            Ok(Some(()))
        };
        Site::of(path).await?.run_steps(write).await
    };
    done.await.map_err(|error| error.doing("write", path))
}

/// Copies a regular file and its rights (`std::fs::copy`), a megabyte at a time; gives its length in bytes. The
/// file that is at `to` is emptied and written to. Where the filesystem can, the bytes are not moved at all
/// (`copy_file_range(2)`).
///
/// Cancel safe: no. A future that is dropped may leave a file with a part of the bytes.
///
/// # Errors
/// As the [module](super) says; [`InvalidInput`](io::ErrorKind::InvalidInput) if `from` is no regular file, or
/// both are the same.
///
/// # Panics
/// Outside a shard.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64, FileError> {
    let mut copying: Option<(Held<File>, Held<File>)> = None;
    let mut copied = 0;
    on_paths("copy", (from.as_ref(), to.as_ref()), move |site, to| {
        let (from, to) = opened(&mut copying, || {
            let (from, to) = open_both(&site.path, to)?;
            Ok((site.hold(from), site.hold(to)))
        })?;
        let step = io::copy(&mut (&**from).take(STEP), &mut &**to)?;
        copied += step;
        if step == STEP {
            return Ok(None);
        }
        if let Some((from, to)) = copying.take() {
            from.close();
            to.close();
        }
        Ok(Some(copied))
    })
    .await
}

/// A file that is read, step by step.
struct Reading {
    limit: usize,
    file: Option<Held<File>>,
    bytes: Vec<u8>,
}

impl Reading {
    /// Gives the bytes after the last step, and `None` in their place if there are too many.
    fn step(&mut self, site: &Site) -> io::Result<Option<Option<Vec<u8>>>> {
        if self.file.is_none() {
            let file = site.open(OpenOptions::new().read(true))?;
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            // What a file says of its length may be nonsense (`/proc/kcore`).
            self.bytes.try_reserve_exact(length.min(self.limit))?;
            self.file = Some(file);
        }
        let file = self.file.as_ref().expect("opened above");
        let read = match read_on(file, &mut self.bytes, self.limit)? {
            Progress::More => return Ok(None),
            Progress::End => Some(std::mem::take(&mut self.bytes)),
            Progress::TooLarge => None,
        };
        file_is_done(&mut self.file);
        Ok(Some(read))
    }
}

pub(super) enum Progress {
    More,
    End,
    TooLarge,
}

/// Reads up to a megabyte from the file's position, and one byte more than there may be.
pub(super) fn read_on(file: &File, bytes: &mut Vec<u8>, limit: usize) -> io::Result<Progress> {
    let most = ((limit - bytes.len()) as u64).saturating_add(1);
    let step = most.min(STEP);
    let read = file.take(step).read_to_end(bytes)? as u64;
    Ok(match read {
        _ if bytes.len() > limit => Progress::TooLarge,
        read if read < step => Progress::End,
        _ => Progress::More,
    })
}

fn file_is_done(file: &mut Option<Held<File>>) {
    if let Some(file) = file.take() {
        file.close();
    }
}

fn opened<T>(place: &mut Option<T>, open: impl FnOnce() -> io::Result<T>) -> io::Result<&mut T> {
    if place.is_none() {
        *place = Some(open()?);
    }
    Ok(place.as_mut().expect("filled above"))
}

/// The second one is emptied once it is known that it is not the first.
fn open_both(from: &Path, to: &Path) -> io::Result<(File, File)> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    // Before it is opened, since a FIFO waits then.
    if !from.metadata()?.is_file() {
        return Err(invalid("it is no regular file"));
    }
    let from = File::open(from)?;
    let found = from.metadata()?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        // From the beginning: nobody may read what was not to be read.
        options.mode(found.permissions().mode());
    }
    let to = options.open(to)?;
    let there = to.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (found.dev(), found.ino()) == (there.dev(), there.ino()) {
            return Err(invalid("both are the same file"));
        }
    }
    if there.is_file() {
        to.set_len(0)?;
        to.set_permissions(found.permissions())?;
    }
    Ok((from, to))
}

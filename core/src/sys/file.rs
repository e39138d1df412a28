//! Opening files beneath a directory, and reading them without waiting for the disk.

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(any(not(unix), test))]
mod canonical;
mod names;
#[cfg(unix)]
mod walk;

#[cfg(not(unix))]
#[path = "file/fallback.rs"]
mod imp;
#[cfg(target_os = "linux")]
#[path = "file/linux.rs"]
mod imp;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "file/unix.rs"]
mod imp;

#[cfg(target_os = "linux")]
mod cachestat;

pub use names::{Space, chown, lchown, set_times, space, symlink, write_all_at};

/// What to do about symbolic links between a [`Directory`] and a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Follow them as long as they stay beneath the directory.
    Follow,
    /// Refuse them, with `ELOOP` on Unix and [`PermissionDenied`](io::ErrorKind::PermissionDenied)
    /// elsewhere.
    Refuse,
}

/// A directory that files are opened beneath, and never outside.
///
/// The kernel enforces it, on the path as it is walked, where it can (`openat2(2)` with
/// `RESOLVE_BENEATH`). Older kernels, sandboxes without that call, and other Unix systems get a walk
/// component by component. Elsewhere the path is made canonical and compared; there, whoever can
/// change links beneath the directory can win a race against the check.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::file::{Directory, Symlinks, is_not_beneath};
/// use std::{fs, io::Read, path::Path};
///
/// let temp = tempfile::tempdir()?;
/// fs::write(temp.path().join("a.txt"), "hello")?;
///
/// let dir = Directory::open(temp.path())?;
/// let mut text = String::new();
/// dir.open_beneath(Path::new("a.txt"), Symlinks::Follow)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
///
/// let error = dir.open_beneath(Path::new("../etc/passwd"), Symlinks::Follow).unwrap_err();
/// assert!(is_not_beneath(&error));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Directory(imp::Directory);

impl Directory {
    /// Opens the directory at `path`. Symbolic links in `path` are followed.
    ///
    /// # Errors
    ///
    /// What the system says: usually that there is no such directory, or that it is not one.
    pub fn open(path: &Path) -> io::Result<Self> {
        imp::Directory::open(path).map(Self)
    }

    /// Opens the file at `path`, taken from this directory, for reading. This may block.
    ///
    /// The descriptor is closed on exec and does not become a controlling terminal, and opening a FIFO
    /// does not wait for its other end; but it may be of any type, a directory too: check the metadata of
    /// the file that was opened. The empty path is not found; `.` is the directory itself.
    ///
    /// # Errors
    ///
    /// One for which [`is_not_beneath`] is true if the path leads out of the directory, by being absolute,
    /// through `..` or through a link. [`ResourceBusy`](io::ErrorKind::ResourceBusy) if directories on the
    /// path kept being renamed meanwhile. Otherwise what `openat2(2)` says.
    pub fn open_beneath(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        self.0.open_beneath(path, symlinks)
    }

    /// As [`open_beneath`](Directory::open_beneath), but only if the path does not leave this directory's
    /// mount: another one, which may hang, is not even asked. This may block.
    ///
    /// # Errors
    ///
    /// One for which [`is_not_beneath`] is true also if the path leads to another mount.
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the system cannot tell mounts apart.
    /// Otherwise as [`open_beneath`](Directory::open_beneath).
    pub fn open_on_mount(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        self.0.open_on_mount(path, symlinks)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether opening failed because the path leads out of the [`Directory`].
///
/// Not to be told to a client: to it, there is no such file.
pub fn is_not_beneath(error: &io::Error) -> bool {
    // What `EXDEV` becomes, which is how the kernel puts it.
    error.kind() == io::ErrorKind::CrossesDevices
}

/// Reads at `offset` in bytes from the start, and returns how many bytes were read: fewer than asked
/// for only at the end of the file or where a signal came in between, 0 at the end. This may block.
///
/// The file's own position is not used; on Windows it is moved. Source: `pread(2)`.
///
/// # Errors
///
/// What the system says.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"hello")?;
/// let mut buf = [0; 8];
/// assert_eq!(lakh_core::sys::file::read_at(&file, &mut buf, 1)?, 4);
/// assert_eq!(&buf[..4], b"ello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match imp::read_at(file, buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// As [`read_at`], but returns only what is in memory already, which may be less than asked for.
///
/// Source: `preadv2(2)` with `RWF_NOWAIT`.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) if not even the first byte is in memory.
/// [`Unsupported`](io::ErrorKind::Unsupported) if the filesystem or the system cannot tell; every file on
/// the mount will then say the same. Otherwise what the system says.
///
/// # Examples
///
/// ```
/// use std::io::{ErrorKind, Write};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"hello")?;
/// let mut buf = [0; 5];
/// match lakh_core::sys::file::read_at_nowait(&file, &mut buf, 0) {
///     Ok(n) => assert_eq!(&buf[..n], &b"hello"[..n]),
///     Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Unsupported)),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_at_nowait(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    imp::read_at_nowait(file, buf, offset)
}

/// Whether all of `len` bytes from `offset` are in the page cache, so that sending them does not wait for
/// the disk. Bytes after the end of the file are not.
///
/// The answer may be outdated when it arrives: pages can be evicted at any time. And pages that are just
/// being read count as cached: [`read_at_nowait`] starts such a read when it would block, so ask this
/// before, not after.
///
/// Source: `cachestat(2)`, Linux 6.5 and newer.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) if the system cannot tell.
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) on newer kernels, which answer only the file's
/// owner and those who may write to it. After any error, take it as not cached.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"hello")?;
/// if let Ok(cached) = lakh_core::sys::file::cached_bytes(&file, 0, 5) {
///     assert!(cached, "just written");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn cached_bytes(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    imp::cached_bytes(file, offset, len)
}

/// Whether the file is on a filesystem that answers from memory once the answer is cached, and never waits
/// for another machine or process to do so: one whose type [`mounts::is_local`](super::mounts::is_local)
/// knows. This may block.
///
/// Asked of the open file, since a path may lead to another mount than its text says. False where the
/// system does not say.
///
/// Source: `fstatfs(2)`.
///
/// # Examples
///
/// ```no_run
/// let file = std::fs::File::open("/proc/self/status")?;
/// assert!(!lakh_core::sys::file::is_local(&file));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_local(file: &File) -> bool {
    imp::is_local(file)
}

/// The number of the mount that the file was opened on, as [`MountTable`](super::mounts::MountTable) has
/// it; `None` where the system does not say.
///
/// Source: `statx(2)` with `STATX_MNT_ID`, Linux 5.8 and newer.
///
/// # Examples
///
/// ```no_run
/// let file = std::fs::File::open("/")?;
/// println!("{:?}", lakh_core::sys::file::mount_id(&file));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn mount_id(file: &File) -> Option<u64> {
    imp::mount_id(file)
}

/// Renames a file within its filesystem, and never over another one. This may block.
///
/// Source: `renameat2(2)` with `RENAME_NOREPLACE`; `link(2)` and `unlink(2)` where the system or the
/// filesystem lacks that.
///
/// # Errors
///
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is something at `to`. Otherwise what the
/// system says.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::file::rename_new;
///
/// let temp = tempfile::tempdir()?;
/// let (a, b) = (temp.path().join("a"), temp.path().join("b"));
/// std::fs::write(&a, "hello")?;
/// rename_new(&a, &b)?;
/// std::fs::write(&a, "other")?;
/// assert_eq!(rename_new(&a, &b).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match imp::rename_new(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        result => result,
    }
}

/// Waits until the names in a directory are on the disk. Where directories cannot be opened as files,
/// nothing is done. This may block.
///
/// Source: `fsync(2)`.
///
/// # Errors
///
/// What the system says.
///
/// # Examples
///
/// ```
/// let temp = tempfile::tempdir()?;
/// lakh_core::sys::file::sync_directory(temp.path())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

fn not_beneath() -> io::Error {
    io::ErrorKind::CrossesDevices.into()
}

#[cfg(all(test, unix))]
mod tests;

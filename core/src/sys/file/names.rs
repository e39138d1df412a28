//! What std has for some systems only, or not by name.

use std::{fs::File, io, path::Path, time::SystemTime};

/// How much there is on a filesystem, and how much is left; from [`space`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Bytes that it has for files.
    pub total: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// Those of them that this user may use.
    pub available: u64,
    /// Files that there may be, or 0 if there is no such limit.
    pub files: u64,
    /// How many of them there are not yet.
    pub files_free: u64,
}

/// How much room there is on the filesystem of `path`. This may block.
///
/// Source: `statvfs(3)`.
///
/// # Errors
///
/// What the system says; [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix.
///
/// # Examples
///
/// ```
/// if let Ok(space) = lakh_core::sys::file::space(std::path::Path::new("/")) {
///     assert!(space.free <= space.total);
/// }
/// ```
pub fn space(path: &Path) -> io::Result<Space> {
    imp::space(path)
}

/// Makes the symbolic link `link`, which says `target`. This may block.
///
/// Source: `symlink(2)`.
///
/// # Errors
///
/// What the system says; [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix, where a link must
/// know what it leads to.
///
/// # Examples
///
/// ```
/// let temp = tempfile::tempdir()?;
/// let link = temp.path().join("link");
/// match lakh_core::sys::file::symlink("where".as_ref(), &link) {
///     Ok(()) => assert_eq!(std::fs::read_link(link)?, std::path::Path::new("where")),
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    imp::symlink(target, link)
}

/// Sets when a file was last read and written; `None` leaves it as it is. Links are followed. This may block.
///
/// Source: `utimensat(2)`, which needs no open file.
///
/// # Errors
///
/// What the system says.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
///
/// let file = tempfile::NamedTempFile::new()?;
/// lakh_core::sys::file::set_times(file.path(), None, Some(SystemTime::UNIX_EPOCH))?;
/// assert_eq!(file.as_file().metadata()?.modified()?, SystemTime::UNIX_EPOCH);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_times(path: &Path, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> io::Result<()> {
    imp::set_times(path, accessed, modified)
}

/// Gives a file another owner and group; `None` leaves it as it is. Links are followed. This may block.
///
/// Source: `chown(2)`.
///
/// # Errors
///
/// What the system says: [`PermissionDenied`](io::ErrorKind::PermissionDenied) to who may not give files away;
/// [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix.
///
/// # Examples
///
/// ```
/// let file = tempfile::NamedTempFile::new()?;
/// match lakh_core::sys::file::chown(file.path(), None, None) {
///     Ok(()) => {}
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn chown(path: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    imp::chown(path, owner, group)
}

/// As [`chown`], but of a link itself. Source: `lchown(2)`.
///
/// # Errors
///
/// As [`chown`].
pub fn lchown(path: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    imp::lchown(path, owner, group)
}

/// Writes all of `bytes` at `offset` from the start. A file opened for appending appends them on Linux, whatever
/// the offset. This may block.
///
/// The file's own position is not used; on Windows it is moved. Source: `pwrite(2)`.
///
/// # Errors
///
/// What the system says. A part may have been written.
///
/// # Examples
///
/// ```
/// let file = tempfile::NamedTempFile::new()?;
/// lakh_core::sys::file::write_all_at(file.as_file(), b"abc", 2)?;
/// assert_eq!(std::fs::read(file.path())?, b"\0\0abc");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    imp::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
mod imp {
    use super::Space;
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, statvfs, utimensat};
    use std::{
        fs::File,
        io,
        os::unix::fs::{self as unix, FileExt},
        path::Path,
        time::{Duration, SystemTime},
    };

    pub(super) fn chown(path: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        unix::chown(path, owner, group)
    }

    pub(super) fn lchown(path: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        unix::lchown(path, owner, group)
    }

    pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    pub(super) fn space(path: &Path) -> io::Result<Space> {
        let found = statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space {
            total: bytes(found.f_blocks),
            free: bytes(found.f_bfree),
            available: bytes(found.f_bavail),
            files: found.f_files,
            files_free: found.f_ffree,
        })
    }

    pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    pub(super) fn set_times(
        path: &Path,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> io::Result<()> {
        let times = Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? };
        Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
    }

    fn timespec(time: Option<SystemTime>) -> io::Result<Timespec> {
        let Some(time) = time else { return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }) };
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let time = match since {
            Ok(after) => Timespec::try_from(after),
            // The nanoseconds always count forwards.
            Err(before) => {
                Timespec::try_from(before.duration() + Duration::from_nanos(999_999_999)).map(|up| {
                    let nanoseconds = i64::from(before.duration().subsec_nanos());
                    Timespec {
                        tv_sec: -up.tv_sec,
                        tv_nsec: ((1_000_000_000 - nanoseconds) % 1_000_000_000) as _,
                    }
                })
            }
        };
        time.map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn times_before_1970_count_their_nanoseconds_forwards() {
            let of = |time| timespec(Some(time)).map(|t| (t.tv_sec, t.tv_nsec)).unwrap();
            let epoch = SystemTime::UNIX_EPOCH;
            assert_eq!(of(epoch + Duration::new(2, 5)), (2, 5));
            assert_eq!(of(epoch - Duration::from_secs(2)), (-2, 0));
            assert_eq!(of(epoch - Duration::new(2, 1)), (-3, 999_999_999));
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use super::Space;
    use std::{
        fs::{File, FileTimes, OpenOptions},
        io,
        path::Path,
        time::SystemTime,
    };

    #[cfg(windows)]
    pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        while !bytes.is_empty() {
            match file.seek_write(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(not(windows))]
    pub(super) fn write_all_at(_file: &File, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn space(_path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn chown(_path: &Path, _owner: Option<u32>, _group: Option<u32>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn lchown(_path: &Path, _owner: Option<u32>, _group: Option<u32>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn set_times(
        path: &Path,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> io::Result<()> {
        let mut times = FileTimes::new();
        if let Some(time) = accessed {
            times = times.set_accessed(time);
        }
        if let Some(time) = modified {
            times = times.set_modified(time);
        }
        OpenOptions::new().write(true).open(path)?.set_times(times)
    }
}

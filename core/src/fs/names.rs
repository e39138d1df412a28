//! Names and what is known of them: everything but the bytes.

use super::{
    FileError,
    job::{on_path, on_paths},
};
use crate::sys::file::{self, Space};
use std::{
    collections::hash_map::RandomState,
    fs::{self, Metadata, Permissions},
    hash::{BuildHasher, Hasher},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Names that [`create_temp_dir`] tries.
const NAMES: usize = 16;

/// What is known of a file, where a link leads to (`stat(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// assert!(lakh_core::fs::metadata("/").await.unwrap().is_dir());
/// assert!(lakh_core::fs::metadata("/no/such/file").await.unwrap_err().is_not_found());
/// # }).unwrap();
/// ```
pub async fn metadata(path: impl AsRef<Path>) -> Result<Metadata, FileError> {
    on_path("look at", path.as_ref(), |path| fs::metadata(path)).await
}

/// As [`metadata`], but of a link itself (`lstat(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> Result<Metadata, FileError> {
    on_path("look at", path.as_ref(), |path| fs::symlink_metadata(path)).await
}

/// Whether there is something of this name, and where a link leads to. It may be gone, or have come, when the
/// answer is there: to make a file that was not there, use [`create_new`](super::OpenOptions::create_new).
///
/// # Errors
/// As the [module](super) says, if it cannot be told.
///
/// # Panics
/// Outside a shard.
pub async fn exists(path: impl AsRef<Path>) -> Result<bool, FileError> {
    on_path("look for", path.as_ref(), |path| path.try_exists()).await
}

/// The absolute path without links, `.` and `..` (`realpath(3)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn canonicalize(path: impl AsRef<Path>) -> Result<PathBuf, FileError> {
    on_path("resolve", path.as_ref(), |path| fs::canonicalize(path)).await
}

/// What a symbolic link says (`readlink(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn read_link(path: impl AsRef<Path>) -> Result<PathBuf, FileError> {
    on_path("read the link", path.as_ref(), |path| fs::read_link(path)).await
}

/// Gives a file another name on the same filesystem, in the place of what has it (`rename(2)`).
///
/// # Errors
/// As the [module](super) says; [`CrossesDevices`](io::ErrorKind::CrossesDevices) if it is another filesystem.
///
/// # Panics
/// Outside a shard.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    let both = (from.as_ref(), to.as_ref());
    on_paths("rename", both, |site, to| fs::rename(&site.path, to).map(Some)).await
}

/// Gives the file at `original` a second name, `link` (`link(2)`).
///
/// # Errors
/// As the [module](super) says; [`is_already_exists`](FileError::is_already_exists) if `link` is taken.
///
/// # Panics
/// Outside a shard.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<(), FileError> {
    let both = (original.as_ref(), link.as_ref());
    on_paths("link", both, |site, link| fs::hard_link(&site.path, link).map(Some)).await
}

/// Makes `link`, which says `target`: any text, taken from the link's directory if it is relative
/// (`symlink(2)`).
///
/// # Errors
/// As the [module](super) says; [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix.
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
/// fs::write(root.join("v2.toml"), "workers = 4").await?;
/// # if cfg!(not(unix)) { return Ok(()); }
/// fs::symlink("v2.toml", root.join("next")).await?;
/// fs::rename(root.join("next"), root.join("current")).await?; // the switch is atomic
/// assert_eq!(fs::read_to_string(root.join("current"), 1000).await?, "workers = 4");
/// # Ok::<(), fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn symlink(target: impl Into<PathBuf>, link: impl AsRef<Path>) -> Result<(), FileError> {
    let target = target.into();
    on_path("link", link.as_ref(), move |link| file::symlink(&target, link)).await
}

/// Removes a file's name, or a link (`unlink(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn remove_file(path: impl AsRef<Path>) -> Result<(), FileError> {
    on_path("remove", path.as_ref(), |path| fs::remove_file(path)).await
}

/// Removes an empty directory (`rmdir(2)`).
///
/// # Errors
/// As the [module](super) says; [`DirectoryNotEmpty`](io::ErrorKind::DirectoryNotEmpty).
///
/// # Panics
/// Outside a shard.
pub async fn remove_dir(path: impl AsRef<Path>) -> Result<(), FileError> {
    on_path("remove", path.as_ref(), |path| fs::remove_dir(path)).await
}

/// Removes a directory and everything in it, and follows no link (`std::fs::remove_dir_all`). One job, which
/// once it has begun goes on to its end.
///
/// # Errors
/// As the [module](super) says. A part may be gone.
///
/// # Panics
/// Outside a shard.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> Result<(), FileError> {
    on_path("remove", path.as_ref(), |path| fs::remove_dir_all(path)).await
}

/// Makes a directory (`mkdir(2)`).
///
/// # Errors
/// As the [module](super) says; [`is_already_exists`](FileError::is_already_exists).
///
/// # Panics
/// Outside a shard.
pub async fn create_dir(path: impl AsRef<Path>) -> Result<(), FileError> {
    on_path("create", path.as_ref(), |path| fs::create_dir(path)).await
}

/// Makes a directory and those that it is in, as far as they are missing.
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn create_dir_all(path: impl AsRef<Path>) -> Result<(), FileError> {
    on_path("create", path.as_ref(), |path| fs::create_dir_all(path)).await
}

/// Makes a directory of a new name that begins with `prefix`, only for this user (mode 0700), and gives its path
/// (`mkdtemp(3)`). Nobody removes it: [`remove_dir_all`] does.
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// use lakh_core::fs;
///
/// let folder = fs::create_temp_dir(std::env::temp_dir().join("upload-")).await?;
/// fs::write(folder.join("part-1"), "abc").await?;
/// fs::remove_dir_all(&folder).await?;
/// # Ok::<(), fs::FileError>(())
/// # }).unwrap().unwrap();
/// ```
pub async fn create_temp_dir(prefix: impl AsRef<Path>) -> Result<PathBuf, FileError> {
    on_path("create a directory at", prefix.as_ref(), |prefix| {
        #[cfg_attr(not(unix), expect(unused_mut))]
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..NAMES {
            let mut name = prefix.as_os_str().to_owned();
            // Unlikely to come twice, which is all that is asked of it: what is there already is refused.
            name.push(format!("{:016x}", RandomState::new().build_hasher().finish()));
            match builder.create(&name) {
                Ok(()) => return Ok(name.into()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    })
    .await
}

/// Sets who may do what, where a link leads to (`chmod(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> Result<(), FileError> {
    on_path("set the rights of", path.as_ref(), move |path| fs::set_permissions(path, permissions)).await
}

/// Gives a file another owner and group, by their numbers, where a link leads to; `None` leaves it as it is (`chown(2)`).
///
/// # Errors
/// As the [module](super) says; [`PermissionDenied`](io::ErrorKind::PermissionDenied) to who may not give files away,
/// [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix.
///
/// # Panics
/// Outside a shard.
pub async fn chown(path: impl AsRef<Path>, owner: Option<u32>, group: Option<u32>) -> Result<(), FileError> {
    on_path("give away", path.as_ref(), move |path| file::chown(path, owner, group)).await
}

/// As [`chown`], but of a link itself (`lchown(2)`).
///
/// # Errors
/// As [`chown`].
///
/// # Panics
/// Outside a shard.
pub async fn lchown(path: impl AsRef<Path>, owner: Option<u32>, group: Option<u32>) -> Result<(), FileError> {
    on_path("give away", path.as_ref(), move |path| file::lchown(path, owner, group)).await
}

/// Sets when a file was last read and written, where a link leads to; `None` leaves it as it is
/// (`utimensat(2)`).
///
/// # Errors
/// As the [module](super) says.
///
/// # Panics
/// Outside a shard.
pub async fn set_times(
    path: impl AsRef<Path>,
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
) -> Result<(), FileError> {
    on_path("set the times of", path.as_ref(), move |path| file::set_times(path, accessed, modified)).await
}

/// How much room there is on the filesystem of `path` (`statvfs(3)`).
///
/// # Errors
/// As the [module](super) says; [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Unix.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// # if cfg!(not(unix)) { return }
/// let space = lakh_core::fs::statfs("/").await.unwrap();
/// assert!(space.available <= space.free && space.free <= space.total);
/// # }).unwrap();
/// ```
pub async fn statfs(path: impl AsRef<Path>) -> Result<Space, FileError> {
    on_path("look at the filesystem of", path.as_ref(), file::space).await
}

//! Opening beneath a directory by comparing canonical paths, where there is nothing better.
//!
//! Between the check and the opening, a link can be changed by whoever may write beneath the directory.

use super::{Symlinks, not_beneath};
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The canonical path of a directory.
pub(super) fn root(path: &Path) -> io::Result<PathBuf> {
    let root = fs::canonicalize(path)?;
    if fs::metadata(&root)?.is_dir() { Ok(root) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Opens `path` beneath the canonical path `root`.
pub(super) fn open(root: &Path, path: &Path, symlinks: Symlinks) -> io::Result<File> {
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let joined = join(root, path)?;
    if symlinks == Symlinks::Refuse {
        refuse_links(root, &joined)?;
    }
    let real = fs::canonicalize(joined)?;
    if !real.starts_with(root) {
        return Err(not_beneath());
    }
    File::open(real)
}

/// Joins by components, so that `..` cannot climb above the root, nor a drive letter or device name
/// replace it.
fn join(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut joined = root.to_owned();
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                joined.push(name);
                depth += 1;
            }
            Component::ParentDir => {
                depth = depth.checked_sub(1).ok_or_else(not_beneath)?;
                joined.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(not_beneath()),
        }
    }
    Ok(joined)
}

fn refuse_links(root: &Path, path: &Path) -> io::Result<()> {
    for prefix in path.ancestors().take_while(|prefix| *prefix != root) {
        if fs::symlink_metadata(prefix)?.is_symlink() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

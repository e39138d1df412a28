//! Neither Unix nor Linux: canonical paths, and no call that promises not to wait.

use super::{Symlinks, canonical};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        canonical::root(path).map(|root| Self { root })
    }

    pub(super) fn open_beneath(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        canonical::open(&self.root, path, symlinks)
    }

    pub(super) fn open_on_mount(&self, _path: &Path, _symlinks: Symlinks) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::windows::fs::FileExt;
    file.seek_read(buf, offset)
}

#[cfg(not(windows))]
pub(super) fn read_at(_file: &File, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn read_at_nowait(_file: &File, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn cached_bytes(_file: &File, _offset: u64, _len: u64) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn is_local(_file: &File) -> bool {
    false
}

pub(super) fn mount_id(_file: &File) -> Option<u64> {
    None
}

pub(super) fn rename_new(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

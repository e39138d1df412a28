//! Unix without Linux's calls: a walk by components, and no call that promises not to wait.

use super::{Symlinks, walk};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: openat(CWD, path, flags, Mode::empty())? })
    }

    pub(super) fn open_beneath(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        walk::open(self.fd.as_fd(), path, symlinks)
    }

    pub(super) fn open_on_mount(&self, _path: &Path, _symlinks: Symlinks) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
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

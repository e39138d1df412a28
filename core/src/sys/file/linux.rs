//! `openat2`, `preadv2` and `cachestat`, each of which an old kernel or a sandbox may lack.

use super::{Symlinks, cachestat, walk};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags, openat, openat2, renameat_with, statx,
};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Attempts at a path with `..` while directories on it are being renamed.
const RACES: usize = 16;

#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: openat(CWD, path, flags, Mode::empty())? })
    }

    pub(super) fn open_beneath(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        match self.open_resolved(path, resolve(symlinks)) {
            // Sandboxes answer EPERM to calls they do not know.
            Err(Errno::NOSYS | Errno::PERM) => walk::open(self.as_fd(), path, symlinks),
            Err(Errno::AGAIN) => Err(io::ErrorKind::ResourceBusy.into()),
            result => Ok(result?),
        }
    }

    pub(super) fn open_on_mount(&self, path: &Path, symlinks: Symlinks) -> io::Result<File> {
        match self.open_resolved(path, resolve(symlinks) | ResolveFlags::NO_XDEV) {
            Err(Errno::NOSYS | Errno::PERM) => Err(io::ErrorKind::Unsupported.into()),
            Err(Errno::AGAIN) => Err(io::ErrorKind::ResourceBusy.into()),
            result => Ok(result?),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// `EAGAIN` if directories on the path kept being renamed.
    fn open_resolved(&self, path: &Path, resolve: ResolveFlags) -> Result<File, Errno> {
        let mut attempts = std::iter::repeat_with(|| self.openat2(path, resolve)).take(RACES);
        attempts.find(|result| !matches!(result, Err(Errno::AGAIN))).unwrap_or(Err(Errno::AGAIN))
    }

    fn openat2(&self, path: &Path, resolve: ResolveFlags) -> Result<File, Errno> {
        openat2(&self.fd, path, walk::READ | OFlags::LARGEFILE, Mode::empty(), resolve).map(File::from)
    }
}

fn resolve(symlinks: Symlinks) -> ResolveFlags {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match symlinks {
        Symlinks::Follow => beneath,
        Symlinks::Refuse => beneath | ResolveFlags::NO_SYMLINKS,
    }
}

pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(super) fn read_at_nowait(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    match preadv2(file, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Err(io::ErrorKind::Unsupported.into()),
        result => Ok(result?),
    }
}

pub(super) fn cached_bytes(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    cachestat::is_cached(file.as_fd(), offset, len)
}

pub(super) fn is_local(file: &File) -> bool {
    let Ok(stat) = rustix::fs::fstatfs(file) else { return false };
    // The numbers have 32 bits; some architectures extend their sign.
    LOCAL.contains(&(stat.f_type as u32))
}

pub(super) fn mount_id(file: &File) -> Option<u64> {
    let stat = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    // Older kernels leave out what they do not know.
    (stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id)
}

pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // EINVAL is for filesystems that lack the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => Err(io::ErrorKind::Unsupported.into()),
        result => Ok(result?),
    }
}

/// `<linux/magic.h>` and the filesystems' own headers, for the types in `mounts::is_local`.
const LOCAL: [u32; 8] = [
    0x9123_683e, // btrfs
    0xe0f5_e1e2, // erofs
    0x0000_ef53, // ext2, ext3, ext4
    0xf2f5_2010, // f2fs
    0x8584_58f6, // ramfs, rootfs
    0x7371_7368, // squashfs
    0x0102_1994, // tmpfs
    0x5846_5342, // xfs
];

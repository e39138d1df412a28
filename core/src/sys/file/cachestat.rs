//! `cachestat(2)`, which neither rustix nor every version of libc has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The call's number on the architectures that share one table for new calls.
const SYS_CACHESTAT: libc::c_long = 451;
const SHARES_THE_TABLE: bool = cfg!(any(
    target_arch = "x86",
    all(target_arch = "x86_64", target_pointer_width = "64"),
    target_arch = "arm",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "powerpc64",
    target_arch = "s390x",
    target_arch = "loongarch64",
));

/// `struct cachestat_range` in `<linux/mman.h>`.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// `struct cachestat` in `<linux/mman.h>`; counts are of pages.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all pages of the range are in the page cache. `len` must not be 0, which the kernel takes as
/// "to the end".
pub(super) fn is_cached(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<bool> {
    if !SHARES_THE_TABLE {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let last = offset.checked_add(len - 1).ok_or(io::ErrorKind::InvalidInput)?;
    let pages = last / page_size() - offset / page_size() + 1;
    Ok(cachestat(fd, &Range { offset, len })?.cached >= pages)
}

fn cachestat(fd: BorrowedFd<'_>, range: &Range) -> io::Result<Cachestat> {
    let mut stat = Cachestat::default();
    let flags: libc::c_uint = 0;
    // SAFETY: the call reads a `cachestat_range` and writes a `cachestat`; both pointers are to such
    // structs, live and not aliased for the time of the call. The descriptor is open, being borrowed.
    // A kernel without the call touches nothing and says ENOSYS.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), std::ptr::from_ref(range), &raw mut stat, flags)
    };
    if result == 0 {
        return Ok(stat);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EOPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(error),
    }
}

fn page_size() -> u64 {
    // SAFETY: `sysconf` takes no pointers and may be called at any time.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096).max(1)
}

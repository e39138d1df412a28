//! No affinity, no control groups.

use std::io;
use std::num::NonZeroUsize;

pub(super) fn quota() -> Option<NonZeroUsize> {
    None
}

pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    None
}

pub(super) fn pin_current_thread(_cpu: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn unpin_current_thread() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

//! No affinity, no control groups.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

pub(super) fn quota(_: &Path) -> Option<NonZeroUsize> {
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

//! Affinity through rustix, quotas through the control group files.

use rustix::{
    process::getpid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

pub(super) fn quota(root: &Path) -> Option<NonZeroUsize> {
    super::cgroup::quota(|path| {
        let bytes = std::fs::read(root.join(path.strip_prefix("/").ok()?)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    })
}

pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    let set = sched_getaffinity(None).ok()?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect();
    (!cpus.is_empty()).then_some(cpus)
}

pub(super) fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

pub(super) fn unpin_current_thread() -> io::Result<()> {
    // The main thread has the process's number.
    let set = sched_getaffinity(Some(getpid()))?;
    Ok(sched_setaffinity(None, &set)?)
}

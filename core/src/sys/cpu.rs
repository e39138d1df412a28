//! How many cores this process may use, and which.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

#[cfg(target_os = "linux")]
mod cgroup;
mod thread;

pub(crate) use thread::ObservedThread;

#[cfg(not(target_os = "linux"))]
#[path = "cpu/fallback.rs"]
mod imp;
#[cfg(target_os = "linux")]
#[path = "cpu/linux.rs"]
mod imp;

/// The number of shards to start by default: the cores the calling thread may run on, or fewer if a
/// control group limits the process to less CPU time than that.
///
/// Quotas count on every level from the process's own group up, in version 1 and version 2 of control
/// groups, and are rounded up: a container with 1.5 cores gets two shards. Elsewhere than on Linux it
/// is the number of cores.
///
/// It reads files under `/proc` and `/sys/fs/cgroup`: call it once, at the start. What cannot be read
/// sets no limit. Sources: `sched_getaffinity(2)`, `cgroups(7)`, and the kernel's `cgroup-v2.rst`.
///
/// # Examples
///
/// ```
/// let shards = lakh_core::sys::cpu::cpu_quota();
/// assert!(shards.get() <= lakh_core::sys::cpu::allowed_cpus().len());
/// ```
pub fn cpu_quota() -> NonZeroUsize {
    let cores = NonZeroUsize::new(allowed_cpus().len()).unwrap_or(NonZeroUsize::MIN);
    imp::quota(Path::new("/")).map_or(cores, |quota| quota.min(cores))
}

/// What control groups leave of the CPUs, in whole ones, if they set a limit, with another root than `/`: for who looks at
/// a machine from outside. See [`cpu_quota`].
///
/// # Examples
///
/// ```
/// assert_eq!(lakh_core::sys::cpu::group_quota_below("/no/such/root".as_ref()), None);
/// ```
pub fn group_quota_below(root: &Path) -> Option<NonZeroUsize> {
    imp::quota(root)
}

/// The cores the calling thread may run on, by number, ascending; never empty.
///
/// Source: `sched_getaffinity(2)`. Elsewhere than on Linux, and on machines with more than 1,024 cores,
/// it is as many cores as there are, counted from 0.
///
/// # Examples
///
/// ```
/// assert!(!lakh_core::sys::cpu::allowed_cpus().is_empty());
/// ```
pub fn allowed_cpus() -> Vec<usize> {
    imp::allowed_cpus()
        .unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, Into::into)).collect())
}

/// Ties the calling thread to one core, and with it the threads it starts from now on.
///
/// Source: `sched_setaffinity(2)`.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no such core or the process may not use
/// it, [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Linux.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::cpu;
///
/// let core = cpu::allowed_cpus()[0];
/// let pinned = std::thread::spawn(move || cpu::pin_current_thread(core).map(|()| cpu::allowed_cpus()));
/// match pinned.join().unwrap() {
///     Ok(cores) => assert_eq!(cores, [core]),
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// ```
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    imp::pin_current_thread(cpu)
}

/// Lets the calling thread run on every core that the process's main thread may run on: for threads that were
/// started by one that is [pinned](pin_current_thread).
///
/// Source: `sched_setaffinity(2)`.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) elsewhere than on Linux, or what the system says.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::cpu;
///
/// let all = cpu::allowed_cpus();
/// let thread = std::thread::spawn(move || {
///     cpu::pin_current_thread(all[0])?;
///     cpu::unpin_current_thread()?;
///     Ok::<_, std::io::Error>(assert_eq!(cpu::allowed_cpus(), all))
/// });
/// if let Err(error) = thread.join().unwrap() {
///     assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
/// }
/// ```
pub fn unpin_current_thread() -> io::Result<()> {
    imp::unpin_current_thread()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        for cpu in [1023, 1024, usize::MAX] {
            assert_eq!(pin_current_thread(cpu).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{cpu}");
        }
    }
}

//! What the system says of this process.

use std::time::Duration;

/// User and system time of all threads.
pub(crate) fn cpu_time() -> Option<Duration> {
    imp::cpu_time()
}

/// Resident memory in bytes, and the number of threads.
pub(crate) fn memory_and_threads() -> (Option<u64>, Option<u64>) {
    imp::memory_and_threads()
}

/// Open descriptors in the table of the calling thread; `None` if there are too many to be counted quickly.
pub(crate) fn open_descriptors() -> Option<u64> {
    imp::open_descriptors()
}

/// How many descriptors a table may have.
pub(crate) fn max_descriptors() -> Option<u64> {
    imp::max_descriptors()
}

#[cfg(unix)]
mod imp {
    use rustix::{
        process::{Resource, getrlimit},
        time::{ClockId, clock_gettime},
    };
    use std::{fs, time::Duration};

    /// Entries of a directory that are counted one by one.
    const COUNTED: usize = 65_536;

    pub(super) fn cpu_time() -> Option<Duration> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }

    pub(super) fn max_descriptors() -> Option<u64> {
        getrlimit(Resource::Nofile).current
    }

    pub(super) fn memory_and_threads() -> (Option<u64>, Option<u64>) {
        let status =
            if cfg!(target_os = "linux") { fs::read_to_string("/proc/self/status").ok() } else { None };
        let Some(status) = status else { return (None, None) };
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        (value("VmRSS:").map(|kilobytes| kilobytes * 1024), value("Threads:"))
    }

    pub(super) fn open_descriptors() -> Option<u64> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let path = "/proc/thread-self/fd";
        // The number, since Linux 6.2; 0 before.
        match fs::metadata(path).ok()?.len() {
            0 => {
                let counted = fs::read_dir(path).ok()?.take(COUNTED + 1).count();
                (counted <= COUNTED).then_some(counted as u64)
            }
            number => Some(number),
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::time::Duration;

    pub(super) fn cpu_time() -> Option<Duration> {
        None
    }

    pub(super) fn memory_and_threads() -> (Option<u64>, Option<u64>) {
        (None, None)
    }

    pub(super) fn open_descriptors() -> Option<u64> {
        None
    }

    pub(super) fn max_descriptors() -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_the_process_uses() {
        let before = open_descriptors().unwrap();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close some, too.
        assert!(open_descriptors().unwrap() >= before + 25 && before > 2);
        drop(files);
        assert!(max_descriptors().is_none_or(|most| most > before));
        let (memory, threads) = memory_and_threads();
        assert!(memory.unwrap() > 1 << 20 && threads.unwrap() >= 1);
        let begun = cpu_time().unwrap();
        while cpu_time().unwrap() == begun {
            std::hint::spin_loop();
        }
    }
}

//! What a thread gets of the processor, as seen by another one.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

use std::time::Duration;

/// A thread of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservedThread {
    #[cfg(target_os = "linux")]
    id: i32,
}

#[cfg(target_os = "linux")]
impl ObservedThread {
    pub(crate) fn current() -> Self {
        ObservedThread { id: rustix::thread::gettid().as_raw_nonzero().get() }
    }

    /// For how long it has run; `None` if it has ended.
    pub(crate) fn cpu_time(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // What pthread_getcpuclockid(3) makes of a thread: the kernel's CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED.
        let clock = !self.id << 3 | 4 | 2;
        // SAFETY: the kernel writes a `timespec`, and knows no clock of a thread that is not there.
        let result = unsafe { libc::clock_gettime(clock, &mut time) };
        let seconds = u64::try_from(time.tv_sec).ok()?;
        (result == 0).then(|| Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// Whether it would run, or does: it waits for nothing but a processor. State R in proc_pid_stat(5).
    pub(crate) fn is_runnable(self) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.id)) else {
            return false;
        };
        // The name before it, in parentheses, may contain anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    }
}

/// Nothing is known here.
#[cfg(not(target_os = "linux"))]
impl ObservedThread {
    pub(crate) fn current() -> Self {
        ObservedThread {}
    }

    pub(crate) fn cpu_time(self) -> Option<Duration> {
        None
    }

    pub(crate) fn is_runnable(self) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;
    use std::{hint, sync::mpsc, thread};

    #[test]
    fn a_thread_that_works_is_told_from_one_that_waits() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let waits = thread::spawn(move || {
            tell.send(ObservedThread::current()).unwrap();
            ended.recv().unwrap();
        });
        let waiting = told.recv().unwrap();
        while waiting.is_runnable() {
            thread::yield_now();
        }
        let before = waiting.cpu_time().unwrap();
        let this = ObservedThread::current();
        let begun = this.cpu_time().unwrap();
        while this.cpu_time().unwrap() - begun < Duration::from_millis(5) {
            hint::spin_loop();
        }
        assert!(this.is_runnable());
        assert_eq!(waiting.cpu_time().unwrap(), before);
        end.send(()).unwrap();
        waits.join().unwrap();
    }
}

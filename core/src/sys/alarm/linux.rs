//! timerfd_create(2).

use crate::{Direction, Registration};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    task::{Context, Poll},
    time::Duration,
};

/// Wakes a task of the current shard after a time.
pub(crate) struct Alarm {
    // Dropped first: the shard forgets the descriptor before it is closed and reused.
    registration: Registration,
    descriptor: OwnedFd,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let registration = Registration::numbered(descriptor.as_raw_fd(), false)?;
        Ok(Alarm { registration, descriptor })
    }

    /// Has the task woken after `time`, and not by what was set before.
    pub(crate) fn set(&mut self, time: Duration, cx: &mut Context<'_>) -> io::Result<()> {
        // A time of zero would turn it off.
        let time = time.max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // Setting it anew makes the next edge: nothing has to be read.
        self.registration.would_block(Direction::Read);
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        let _: Poll<()> = self.registration.poll_ready(Direction::Read, cx);
        Ok(())
    }
}

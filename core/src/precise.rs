//! Waiting for less than a millisecond.

use crate::{
    sys::alarm::Alarm,
    time::{Sleep, sleep_until},
};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

/// A timer of the current shard with a resolution of microseconds, where [`Sleep`] has one of a millisecond:
/// timerfd_create(2). It takes a descriptor and a system call whenever it is set, so it is for few tasks of a
/// shard, as one that keeps the pace of many. Elsewhere than on Linux it is no finer than [`Sleep`].
///
/// ```
/// use lakh_core::PreciseTimer;
/// use std::{future::poll_fn, time::{Duration, Instant}};
///
/// lakh_core::block_on(async {
///     let mut timer = PreciseTimer::new()?;
///     let deadline = Instant::now() + Duration::from_micros(100);
///     poll_fn(|cx| timer.poll_at(deadline, cx)).await?;
///     assert!(Instant::now() >= deadline);
///     std::io::Result::Ok(())
/// })??;
/// # std::io::Result::Ok(())
/// ```
pub struct PreciseTimer(Inner);

enum Inner {
    Alarm(Alarm),
    Wheel(Pin<Box<Sleep>>),
}

impl PreciseTimer {
    /// One that is not set.
    ///
    /// # Errors
    /// If no descriptor is left.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn new() -> io::Result<Self> {
        match Alarm::new() {
            Ok(alarm) => Ok(PreciseTimer(Inner::Alarm(alarm))),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(PreciseTimer(Inner::Wheel(Box::pin(sleep_until(Instant::now())))))
            }
            Err(error) => Err(error),
        }
    }

    /// Ready once `deadline` has passed; else the task is woken then, and not by what was set before.
    ///
    /// # Errors
    /// What timerfd_settime(2) says, if it refuses.
    ///
    /// # Panics
    /// Elsewhere than on the timer's own shard.
    pub fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.0 {
            Inner::Alarm(alarm) => match alarm.set(left, cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            Inner::Wheel(sleep) => {
                sleep.as_mut().reset(deadline);
                sleep.as_mut().poll(cx).map(Ok)
            }
        }
    }
}

impl fmt::Debug for PreciseTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreciseTimer").finish_non_exhaustive()
    }
}

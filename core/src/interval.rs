//! Doing something again and again.

use crate::{
    shard,
    time::{Sleep, far_after, sleep_until},
};
use futures_core::Stream;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Ticks every `period`, for the first time after one period, as `setInterval` does: with the resolution of
/// [`sleep`](crate::sleep()), never early. [`interval_at`] has the first tick at any time.
///
/// Nothing is kept alive by it: see [`Interval`].
///
/// # Panics
/// If `period` is zero.
///
/// ```
/// # use std::time::Duration;
/// # lakh_core::block_on(async {
/// let mut every = lakh_core::interval(Duration::from_millis(5));
/// for _ in 0..3 {
///     every.tick().await;
/// }
/// # }).unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(far_after(Instant::now(), period), period)
}

/// Ticks at `start` (at once, if that has passed) and every `period` from there on; see [`interval`].
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { sleep: sleep_until(start), period, missed: MissedTicks::default() }
}

/// What an [`Interval`] does about ticks that were missed: whoever takes them came so late, since the shard or the task
/// was busy, that the next one was due, too.
///
/// With a period of 10 ms, and the tick of 20 ms taken at 47 ms:
///
/// | | the next ticks are due at |
/// |---|---|
/// | `Burst` | 30, 40, 50, 60 ms: the first two at once |
/// | `Delay` | 57, 67 ms |
/// | `Skip` | 50, 60 ms |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// All of them are caught up with at once, so that there are as many ticks as there should be.
    #[default]
    Burst,
    /// They are left out, and so is the rhythm: from the late tick to the next one there is a whole period.
    Delay,
    /// They are left out, and the rhythm goes on.
    Skip,
}

/// Ticks in regular distances; from [`interval`] and [`interval_at`]. A [`Stream`] of the times at which they were due, which
/// never ends.
///
/// Neither this nor any other timer keeps anything alive, as an `unref`ed timer of libuv. `block_on` ends with its future. A
/// shard of a [`Runtime`](crate::Runtime) runs until it is drained, whatever waits there; a drain waits for nothing but
/// [guards](crate::Shard::guard), as those of requests and of a [`shield`](crate::shield()). So a task that must come to an end
/// before holds a guard (libuv's `ref`), and lets it go when [`drain_requested`](crate::drain_requested) says so.
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTicks,
}

impl Interval {
    /// What to do about missed ticks: by default [`MissedTicks::Burst`].
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// From tick to tick.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// When the next tick is due.
    pub fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }

    /// The next tick is a period from now, and the others follow from there. Poll again afterwards.
    pub fn reset(&mut self) {
        self.reset_at(far_after(Instant::now(), self.period));
    }

    /// The next tick is due then, and the others follow from there. Poll again afterwards.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// Waits for the next tick and gives the time at which it was due. Cancel safe: it comes with the next call.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Ready with what [`tick`](Self::tick) gives. One that catches up with many ticks lets other tasks have their turn in
    /// between ([`poll_budget`](crate::poll_budget)).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        ready!(shard::poll_budget(cx));
        let due = self.deadline();
        // The shard's clock stands still while a task is polled, which may be what has taken so long.
        self.sleep.reset(next(due, Instant::now(), self.period, self.missed));
        Poll::Ready(due)
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Interval");
        out.field("deadline", &self.deadline())
            .field("period", &self.period)
            .field("missed", &self.missed)
            .finish()
    }
}

/// When the tick is due that follows the one of `due`, which is taken at `now`.
fn next(due: Instant, now: Instant, period: Duration, missed: MissedTicks) -> Instant {
    let following = far_after(due, period);
    if now < following {
        return following;
    }
    match missed {
        MissedTicks::Burst => following,
        MissedTicks::Delay => far_after(now, period),
        MissedTicks::Skip => {
            let since_tick = (now - due).as_nanos() % period.as_nanos();
            // Less than a period, which has less than 2^64 seconds.
            let seconds = (since_tick / 1_000_000_000) as u64;
            let since_tick = Duration::new(seconds, (since_tick % 1_000_000_000) as u32);
            far_after(now, period - since_tick)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use MissedTicks::{Burst, Delay, Skip};

    /// The `count` ticks from the one that is due after 20 ms and taken after `taken` on, each of the later ones taken
    /// at once.
    fn ticks(taken: u64, missed: MissedTicks, count: usize) -> Vec<u64> {
        let start = Instant::now();
        let millis = |instant: Instant| (instant - start).as_millis() as u64;
        let (mut due, mut now) = (start + Duration::from_millis(20), start + Duration::from_millis(taken));
        let mut found = Vec::new();
        for _ in 0..count {
            due = next(due, now, Duration::from_millis(10), missed);
            now = now.max(due);
            found.push(millis(due));
        }
        found
    }

    #[test]
    fn missed_ticks_are_caught_up_with_or_put_off_or_left_out() {
        assert_eq!(ticks(47, Burst, 4), [30, 40, 50, 60]);
        assert_eq!(ticks(47, Delay, 3), [57, 67, 77]);
        assert_eq!(ticks(47, Skip, 3), [50, 60, 70]);
        // The very moment at which the next one is due.
        assert_eq!(ticks(30, Burst, 2), [30, 40]);
        assert_eq!(ticks(30, Delay, 2), [40, 50]);
        assert_eq!(ticks(30, Skip, 2), [40, 50]);
        assert_eq!(ticks(50, Skip, 2), [60, 70]);
    }

    #[test]
    fn who_is_late_by_less_than_a_period_has_missed_nothing() {
        for missed in [Burst, Delay, Skip] {
            for taken in [20, 21, 29] {
                assert_eq!(ticks(taken, missed, 3), [30, 40, 50], "{missed:?} {taken}");
            }
        }
    }

    #[test]
    fn endless_periods_do_not_overflow() {
        let now = Instant::now();
        for missed in [Burst, Delay, Skip] {
            assert!(next(now, now, Duration::MAX, missed) > now + Duration::from_secs(1 << 30));
        }
        let late = now + Duration::from_secs(1 << 35);
        assert_eq!(next(now, late, Duration::from_nanos(3), Skip), late + Duration::from_nanos(1));
    }
}

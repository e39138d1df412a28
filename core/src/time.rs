//! Waiting for a time.

use crate::{
    shard,
    task::{Tasks, Waiter, Waiters},
    timer::{State, TimerKey, Wheel},
};
use std::{
    cell::{Cell, RefCell},
    error, fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Timers fired in one turn and wheel; the rest follow in the next.
const FIRED_PER_TURN: usize = 4096;
/// Ticks: a deadline farther away is set again when this much has passed.
const FARTHEST: u64 = 1 << 30;
/// Milliseconds (18 hours). A wheel sees the time when the shard is awake, and a deadline may lie
/// less than 2^31 ticks ahead of what it has seen.
const LONGEST_SLEEP: u64 = 1 << 26;

/// The two timer wheels of a shard, with ticks of a millisecond and of a second, counted from the
/// shard's start.
pub(crate) struct Timers {
    epoch: Instant,
    now_millis: Cell<u64>,
    now_seconds: Cell<u32>,
    fine: RefCell<Wheel<Waiter>>,
    coarse: RefCell<Wheel<Waiter>>,
    /// More were due than one turn fires.
    more: Cell<bool>,
    /// Kept for its capacity.
    fired: RefCell<Vec<(TimerKey, Waiter)>>,
}

impl Timers {
    pub(crate) fn new(epoch: Instant) -> Self {
        Timers {
            epoch,
            now_millis: Cell::new(0),
            now_seconds: Cell::new(0),
            fine: RefCell::new(Wheel::new(0)),
            coarse: RefCell::new(Wheel::new(0)),
            more: Cell::new(false),
            fired: RefCell::new(Vec::new()),
        }
    }

    #[inline]
    pub(crate) fn set_now(&self, now: Instant) {
        let since = now - self.epoch;
        self.now_millis.set(since.as_millis() as u64);
        self.now_seconds.set(since.as_secs() as u32);
    }

    #[inline]
    pub(crate) fn coarse_now(&self) -> u32 {
        self.now_seconds.get()
    }

    /// Milliseconds from the epoch to the current turn.
    #[inline]
    pub(crate) fn now_millis(&self) -> u64 {
        self.now_millis.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.fine.borrow().len() + self.coarse.borrow().len()
    }

    /// One more than the greatest place that a timer may have.
    pub(crate) fn end(&self) -> u32 {
        2 * self.fine.borrow().end().max(self.coarse.borrow().end())
    }

    /// The timer in a place: fine ones have the even places, coarse ones the odd.
    pub(crate) fn timer(&self, place: u32) -> Option<Timer> {
        let (wheel, now, tick) = match place.is_multiple_of(2) {
            true => (&self.fine, self.now_millis.get() as u32, Duration::from_millis(1)),
            false => (&self.coarse, self.coarse_now(), Duration::from_secs(1)),
        };
        let (deadline, state, waiter) = wheel.borrow().at(place / 2)?;
        let ticks = if state == State::Pending { ticks_until(deadline, now) } else { 0 };
        Some(Timer { due: tick * ticks as u32, task: waiter.task_index() })
    }

    /// Wakes whoever waits for a time that has come.
    pub(crate) fn fire(&self, tasks: &Tasks, waiters: &Waiters) {
        let mut fired = self.fired.take();
        let mut more = false;
        for (wheel, now) in [(&self.fine, self.now_millis.get() as u32), (&self.coarse, self.coarse_now())] {
            {
                let mut wheel = wheel.borrow_mut();
                more |= wheel.advance(now, FIRED_PER_TURN, |key, waiter| fired.push((key, waiter)));
                for (key, _) in &fired {
                    wheel.set_payload(*key, Waiter::NONE);
                }
            }
            for (_, waiter) in fired.drain(..) {
                waiters.wake(tasks, waiter);
            }
        }
        self.more.set(more);
        self.fired.replace(fired);
    }

    /// How long the shard may sleep, as seen at `now`.
    pub(crate) fn until_next(&self, now: Instant) -> Duration {
        if self.more.get() {
            return Duration::ZERO;
        }
        let now = (now - self.epoch).as_millis() as u64;
        let fine = self.fine.borrow().next_expiry().map(|tick| ticks_until(tick, now as u32));
        let coarse = self.coarse.borrow().next_expiry().map(|tick| {
            // From the start of the current second.
            (ticks_until(tick, (now / 1000) as u32) * 1000).saturating_sub(now % 1000)
        });
        Duration::from_millis(fine.into_iter().chain(coarse).fold(LONGEST_SLEEP, u64::min))
    }

    /// The first fine tick at which `deadline` has surely passed.
    fn fine_tick(&self, deadline: Instant) -> u32 {
        let nanos = deadline.saturating_duration_since(self.epoch).as_nanos();
        let millis = nanos.div_ceil(1_000_000).min(u128::from(self.now_millis.get() + FARTHEST));
        millis as u32
    }
}

/// For who asks what there is.
pub(crate) struct Timer {
    pub(crate) due: Duration,
    /// Who waits for it, if it is a task of the shard.
    pub(crate) task: Option<u32>,
}

/// Zero if `tick` has passed.
fn ticks_until(tick: u32, now: u32) -> u64 {
    u64::from((tick.wrapping_sub(now) as i32).max(0) as u32)
}

/// One timer of the current shard: the entry in the wheel, if there is one.
/// It means nothing on another thread.
struct Slot(Option<TimerKey>, PhantomData<*const ()>);

impl Slot {
    const EMPTY: Slot = Slot(None, PhantomData);

    /// Has `cx` woken at `tick`.
    fn arm(&mut self, wheel: &RefCell<Wheel<Waiter>>, shard: &shard::Shard, tick: u32, cx: &Context<'_>) {
        let old = self.0.map(|key| take_payload(&mut wheel.borrow_mut(), key)).unwrap_or_default();
        let waiter = shard.waiters().replace(shard.tasks(), old, cx.waker());
        let mut wheel = wheel.borrow_mut();
        match self.0 {
            Some(key) => {
                wheel.set_payload(key, waiter);
                wheel.reset(key, tick);
            }
            None => self.0 = Some(wheel.insert(tick, waiter)),
        }
    }

    fn disarm(&mut self, wheel: &RefCell<Wheel<Waiter>>, shard: &shard::Shard) {
        let Some(key) = self.0.take() else { return };
        let waiter = take_payload(&mut wheel.borrow_mut(), key);
        wheel.borrow_mut().cancel(key);
        shard.waiters().release(shard.tasks(), waiter);
    }
}

fn take_payload(wheel: &mut Wheel<Waiter>, key: TimerKey) -> Waiter {
    let waiter = wheel.payload(key).unwrap_or_default();
    wheel.set_payload(key, Waiter::NONE);
    waiter
}

/// A deadline in whole seconds that moves often and is rarely reached, as a connection's idle
/// timeout: moving it later costs nothing, since the timer is set again only when it fires early.
///
/// For futures that are a task of their own (spawned, not joined into another): the task that
/// polled first is the one that is woken.
#[derive(Default)]
pub struct CoarseTimer {
    slot: Slot,
    /// Second at which the wheel's entry fires; 0 if there is none.
    armed: u32,
}

impl CoarseTimer {
    /// A timer that is not set.
    pub const fn new() -> Self {
        CoarseTimer { slot: Slot::EMPTY, armed: 0 }
    }

    /// Ready once the shard's [`coarse_now`](shard::Shard::coarse_now) has come to `deadline`;
    /// else the task is woken then, or earlier.
    #[inline]
    pub fn poll_at(&mut self, deadline: u32, cx: &Context<'_>) -> Poll<()> {
        shard::with(|shard| {
            let now = shard.coarse_now();
            if now >= deadline {
                return Poll::Ready(());
            }
            if self.armed <= now || self.armed > deadline {
                self.armed = deadline.min(now.saturating_add(FARTHEST as u32));
                self.slot.arm(&shard.timers().coarse, shard, self.armed, cx);
            }
            Poll::Pending
        })
    }
}

impl Drop for CoarseTimer {
    fn drop(&mut self) {
        if self.slot.0.is_some() {
            shard::try_with(|shard| self.slot.disarm(&shard.timers().coarse, shard));
        }
    }
}

impl fmt::Debug for CoarseTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoarseTimer").field("armed", &self.armed).finish()
    }
}

/// Waits until `duration` has passed, with a resolution of a millisecond: never less, and no more
/// than the shard is late. Cancel safe.
///
/// ```
/// # use std::time::Duration;
/// # lakh_core::block_on(async {
/// lakh_core::sleep(Duration::from_millis(5)).await;
/// # }).unwrap();
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(far_after(Instant::now(), duration))
}

/// The sum, or what is as good as never.
pub(crate) fn far_after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or_else(|| start + Duration::from_secs(1 << 40))
}

/// Waits until `deadline`; see [`sleep`]. Cancel safe.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, slot: Slot::EMPTY }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    deadline: Instant,
    slot: Slot,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the end. Poll again afterwards.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.disarm();
    }

    fn disarm(&mut self) {
        if self.slot.0.is_some() {
            shard::try_with(|shard| self.slot.disarm(&shard.timers().fine, shard));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        shard::with(|shard| {
            if shard.now() >= self.deadline {
                return Poll::Ready(());
            }
            let tick = shard.timers().fine_tick(self.deadline);
            self.slot.arm(&shard.timers().fine, shard, tick, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl Default for Slot {
    fn default() -> Self {
        Slot::EMPTY
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish()
    }
}

/// The time of [`timeout`] was over before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the operation was finished")
    }
}

impl error::Error for Elapsed {}

/// Waits for `future`, but no longer than `duration`; it is dropped then. What must go on all the
/// same belongs into a [`shield`](crate::shield()).
///
/// # Cancel safety
/// As that of `future`: the timer itself loses nothing. To keep what `future` has done when the time is
/// over, pass it by reference, `timeout(duration, &mut future)`, and wait for it again.
///
/// # Errors
/// [`Elapsed`] if the time was over first.
///
/// ```
/// # use std::time::Duration;
/// # lakh_core::block_on(async {
/// let never = std::future::pending::<()>();
/// assert!(lakh_core::timeout(Duration::from_millis(1), never).await.is_err());
/// # }).unwrap();
/// ```
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(duration));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed(())))
    })
    .await
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Timers, their epoch, and a step that moves the clock and says how many timers have fired.
    fn timers() -> (Timers, Instant) {
        let epoch = Instant::now();
        (Timers::new(epoch), epoch)
    }

    fn pending_after(timers: &Timers, now: Instant) -> usize {
        timers.set_now(now);
        timers.fire(&Tasks::new(shard::Remote::detached()), &Waiters::new());
        timers.fine.borrow().pending() + timers.coarse.borrow().pending()
    }

    #[test]
    fn a_fine_tick_is_never_before_its_deadline() {
        let (timers, epoch) = timers();
        for nanos in [0, 1, 999_999, 1_000_000, 1_000_001, 5_999_999] {
            let tick = timers.fine_tick(epoch + Duration::from_nanos(nanos));
            assert!(u64::from(tick) * 1_000_000 >= nanos && u64::from(tick) * 1_000_000 < nanos + 1_000_000);
        }
        assert_eq!(timers.fine_tick(epoch - Duration::from_millis(1)), 0);
    }

    #[test]
    fn the_shard_sleeps_until_the_next_timer_of_either_wheel() {
        let (timers, epoch) = timers();
        timers.coarse.borrow_mut().insert(2, Waiter::NONE);
        let at = |millis| epoch + Duration::from_millis(millis);
        assert_eq!(timers.until_next(at(300)), Duration::from_millis(1700));
        timers.fine.borrow_mut().insert(500, Waiter::NONE);
        assert_eq!(timers.until_next(at(300)), Duration::from_millis(200));
        assert_eq!(timers.until_next(at(700)), Duration::ZERO, "what is due is not slept over");
        assert_eq!((pending_after(&timers, at(1999)), pending_after(&timers, at(2000))), (1, 0));
    }

    #[test]
    fn timers_outlast_sleeps_of_weeks_and_the_wrap_of_the_ticks() {
        let (timers, epoch) = timers();
        let mut now = epoch;
        // Without timers, a shard sleeps as long as it may.
        for _ in 0..9 {
            now += timers.until_next(now);
            timers.set_now(now);
            // Set before the wheels have seen the new time, as a message does it.
            let deadline = now + Duration::from_millis(FARTHEST);
            let tick = timers.fine_tick(deadline);
            let key = timers.fine.borrow_mut().insert(tick, Waiter::NONE);
            assert_eq!(pending_after(&timers, deadline - Duration::from_millis(1)), 1);
            assert_eq!(pending_after(&timers, deadline), 0);
            timers.fine.borrow_mut().cancel(key);
            now = deadline;
        }
    }

    #[test]
    fn more_timers_than_one_turn_fires_are_fired_by_the_next_ones() {
        let (timers, epoch) = timers();
        for _ in 0..2 * FIRED_PER_TURN + 1 {
            timers.fine.borrow_mut().insert(1, Waiter::NONE);
        }
        let now = epoch + Duration::from_millis(1);
        let mut turns = 1;
        while pending_after(&timers, now) > 0 {
            turns += 1;
            assert_eq!(timers.until_next(now), Duration::ZERO);
        }
        assert_eq!(turns, 3);
        assert!(timers.until_next(now) > Duration::ZERO);
    }
}

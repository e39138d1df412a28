//! What a shard publishes of its progress, and how the watchdog judges it.
//!
//! All of it is written by the shard, relaxed and one field after the other, and read by the watchdog,
//! which only compares: a mixture of two moments looks like progress.

use super::{Bell, WorkName};
use crate::{
    sync::{AtomicU32, AtomicU64, Ordering::Relaxed},
    sys::cpu::ObservedThread,
};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

pub(crate) struct Pulse {
    epoch: Instant,
    /// Milliseconds from the epoch to the beginning of the turn, and one more; 0 while there is none: the
    /// shard sleeps, or does not turn yet or any more.
    turn: AtomicU64,
    /// Which poll of the turn this is.
    poll: AtomicU32,
    work: AtomicU32,
    bell: Arc<Bell>,
    thread: OnceLock<ObservedThread>,
}

impl Pulse {
    /// `epoch` is what milliseconds are counted from.
    pub(crate) fn new(epoch: Instant, bell: Arc<Bell>) -> Self {
        let (turn, poll, work) = (AtomicU64::new(0), AtomicU32::new(0), AtomicU32::new(0));
        Pulse { epoch, turn, poll, work, bell, thread: OnceLock::new() }
    }

    /// By the shard: it turns on this thread.
    pub(crate) fn belongs_here(&self) {
        // Once: a shard has one thread.
        let _ = self.thread.set(ObservedThread::current());
    }

    fn cpu_time(&self) -> Duration {
        self.thread.get().and_then(|thread| thread.cpu_time()).unwrap_or_default()
    }

    /// Whether the shard's thread would work and has hardly been given a processor since it had run for `before`.
    fn is_starved_since(&self, before: Duration, threshold: Duration) -> bool {
        let ran = self.cpu_time().saturating_sub(before);
        ran < threshold / RAN_ENOUGH && self.thread.get().is_some_and(|thread| thread.is_runnable())
    }

    /// By the shard: a turn begins.
    #[inline]
    pub(crate) fn begin_turn(&self, millis: u64) {
        self.turn.store(millis + 1, Relaxed);
        self.bell.ring();
    }

    /// By the shard: it sleeps, or turns no more.
    #[inline]
    pub(crate) fn rest(&self) {
        self.turn.store(0, Relaxed);
    }

    /// When its turn began, to the millisecond; `None` if it sleeps, or turns no more.
    pub(crate) fn turn_began(&self) -> Option<Instant> {
        let millis = self.turn.load(Relaxed).checked_sub(1)?;
        Some(self.epoch + Duration::from_millis(millis))
    }

    /// By the shard: another poll begins, or, with 0, something that is no poll.
    #[inline]
    pub(crate) fn begin_poll(&self, number: u32) {
        self.poll.store(number, Relaxed);
        self.work.store(0, Relaxed);
    }

    /// By the shard: what the poll is busy with.
    #[inline]
    pub(crate) fn set_work(&self, name: WorkName) {
        self.work.store(name.0, Relaxed);
    }

    pub(crate) fn work(&self) -> WorkName {
        WorkName(self.work.load(Relaxed))
    }
}

/// A piece of work that has run for this part of the threshold is what lasts, however long its thread waited for a
/// processor meanwhile.
const RAN_ENOUGH: u32 = 4;

/// The watchdog's memory of one shard.
#[derive(Default)]
pub(super) struct Watch {
    /// What it was at when it was last looked at.
    last: Option<Piece>,
    /// For how long its thread had run when it was first seen at that.
    cpu_time: Duration,
    reported: bool,
}

/// A poll, or the part of a turn that is none.
#[derive(PartialEq, Eq)]
struct Piece {
    turn: u64,
    poll: u32,
}

impl Watch {
    /// Looks at the shard. Gives what it is stalled by and for how long, once for each stall: its turn
    /// lasts for `threshold` already, and it is at the same piece of work as at the last look, and not because
    /// other threads have the processors.
    pub(super) fn look(
        &mut self,
        pulse: &Pulse,
        now: Instant,
        threshold: Duration,
    ) -> Option<(WorkName, Duration)> {
        let work = pulse.work();
        let piece = Piece { turn: pulse.turn.load(Relaxed), poll: pulse.poll.load(Relaxed) };
        let Some(began) = piece.turn.checked_sub(1) else {
            *self = Watch::default();
            return None;
        };
        if self.last.as_ref() != Some(&piece) {
            *self = Watch { last: Some(piece), cpu_time: pulse.cpu_time(), reported: false };
            return None;
        }
        let lasted = now.saturating_duration_since(pulse.epoch + Duration::from_millis(began));
        if self.reported || lasted < threshold || pulse.is_starved_since(self.cpu_time, threshold) {
            return None;
        }
        self.reported = true;
        Some((work, lasted))
    }

    /// Whether the shard was awake at the last look.
    pub(super) fn is_awake(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const THRESHOLD: Duration = Duration::from_millis(100);

    type Found = Option<(Option<&'static str>, u64)>;

    /// A pulse, and looks at it so many milliseconds after its epoch.
    fn pulse() -> (Pulse, impl FnMut(&Pulse, u64) -> Found) {
        let (epoch, mut watch) = (Instant::now(), Watch::default());
        let look = move |pulse: &Pulse, millis| {
            let found = watch.look(pulse, epoch + Duration::from_millis(millis), THRESHOLD);
            found.map(|(name, lasted)| (name.text(), lasted.as_millis() as u64))
        };
        (Pulse::new(epoch, Arc::default()), look)
    }

    #[test]
    fn a_stall_is_found_once_with_its_name_while_it_lasts() {
        let (pulse, mut look) = pulse();
        pulse.begin_turn(1000);
        pulse.begin_poll(1);
        pulse.set_work(WorkName::new("/slow"));
        assert_eq!([look(&pulse, 1010), look(&pulse, 1060)], [None, None]);
        assert_eq!(look(&pulse, 1110), Some((Some("/slow"), 110)));
        assert_eq!([look(&pulse, 1160), look(&pulse, 9000)], [None, None]);
        pulse.begin_turn(9001);
        assert_eq!(look(&pulse, 9050), None);
        assert_eq!(look(&pulse, 9150), Some((Some("/slow"), 149)), "another turn is another stall");
    }

    #[test]
    fn many_short_polls_are_no_stall() {
        let (pulse, mut look) = pulse();
        pulse.begin_turn(0);
        for poll in 1..100 {
            pulse.begin_poll(poll);
            assert_eq!(look(&pulse, u64::from(poll) * 50), None);
        }
    }

    #[test]
    fn a_shard_that_sleeps_or_has_ended_is_not_stalled() {
        let (pulse, mut look) = pulse();
        assert_eq!([look(&pulse, 500), look(&pulse, 1000)], [None, None], "it has not begun");
        pulse.begin_turn(1000);
        look(&pulse, 1050);
        pulse.rest();
        assert_eq!([look(&pulse, 1150), look(&pulse, 1250)], [None, None]);
        pulse.begin_turn(1260);
        assert_eq!(look(&pulse, 1400), None, "nothing is known yet of what it is at");
    }
}

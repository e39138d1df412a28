//! Overload: which requests have waited for too long, and how many connections may wait.
//!
//! Most of the waiting is in the kernel, in the backlog and in the sockets' buffers, which asks for a system call
//! to be known. So it is only looked at where what the loop knows by itself allows it to be long: the loop's lag
//! for a connection that stands, and for how long the backlog has not been empty for a new one.

use crate::response::Response;
use http::{HeaderValue, StatusCode, header};
use lakh_core::Shard;
use lakh_net::{AcceptMetrics, TcpListener, TcpStream};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Refusals that a shard can afford besides its work, each second: over loopback, where sending does the receiver's
/// part as well, one takes 50 to 100 µs, and so all of them 5 % of its time at the most.
const REFUSALS: f64 = 500.0;
/// Connections that may wait, however slow the handlers are.
const LEAST_BACKLOG: i32 = 16;

/// A shard's judgement of what is late.
pub(crate) struct Overload {
    limit: Option<Duration>,
    /// When late requests were first seen, and last, without a pause in which the shard had caught up.
    late: Cell<Option<(Instant, Instant)>>,
}

impl Overload {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Overload { limit, late: Cell::new(None) }
    }

    /// Whether something that waited within the loop or within the backlog for so long at most may be late: the
    /// two times add up.
    #[inline]
    pub(crate) fn is_suspect(&self, bound: Duration) -> bool {
        self.limit.is_some_and(|limit| bound > limit / 2)
    }

    /// Whether what was read last of `stream` has waited for too long.
    pub(crate) fn is_overdue(&self, stream: &TcpStream, shard: &Shard) -> bool {
        // Where the system does not tell, nothing is late.
        stream.since_received().is_ok_and(|age| self.is_too_late(age, shard.now(), shard.lag()))
    }

    /// `lag` is that of the loop at `now`, the turn's beginning.
    fn is_too_late(&self, age: Duration, now: Instant, lag: Duration) -> bool {
        let Some(limit) = self.limit.filter(|&limit| age > limit) else { return false };
        let first = self.late_since(now, lag).unwrap_or(now);
        self.late.set(Some((first, now)));
        now.saturating_duration_since(first) > limit
    }

    /// Connections are accepted that may be late. They show in the next turn, and until then it has not caught up.
    fn note_backlog(&self, now: Instant, lag: Duration) {
        if let Some(first) = self.late_since(now, lag) {
            self.late.set(Some((first, now)));
        }
    }

    /// Since when the shard is late, if it has not caught up: the last turn had late ones, or one within the limit
    /// from here.
    fn late_since(&self, now: Instant, lag: Duration) -> Option<Instant> {
        let ((first, last), limit) = (self.late.get()?, self.limit?);
        (now.saturating_duration_since(last) <= limit.saturating_add(lag)).then_some(first)
    }
}

/// The answer to a request that is shed.
pub(crate) fn refusal() -> Response {
    let response = Response::plain(StatusCode::SERVICE_UNAVAILABLE);
    response.with_field(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// Keeps a listener's backlog to what the shard can answer, or refuse, within the limit.
///
/// The kernel gives connections out in the order in which they came. A backlog that is longer than that makes every
/// one of them late, and refusing them takes the time that answers need.
pub(crate) struct Room {
    /// Without overload, and now.
    full: i32,
    current: i32,
    /// When the count of served requests began, and at which number.
    from: Option<(Instant, u64)>,
}

impl Room {
    pub(crate) fn new(full: i32) -> Self {
        Room { full, current: full, from: None }
    }

    /// A connection was accepted: whether it may be late. Adapts the backlog.
    pub(crate) fn tend(
        &mut self,
        listener: &TcpListener,
        overload: &Overload,
        shard: &Shard,
        served: impl FnOnce(&AcceptMetrics) -> u64,
    ) -> bool {
        let is_suspect = overload.is_suspect(listener.backlog_age());
        let wanted = match overload.limit {
            Some(limit) if is_suspect => {
                overload.note_backlog(shard.now(), shard.lag());
                self.measured(shard.now(), served(listener.metrics()), limit)
            }
            _ => {
                self.from = None;
                Some(self.full)
            }
        };
        if let Some(room) = wanted.filter(|&room| room != self.current) {
            listener.set_backlog(room);
            self.current = room;
        }
        is_suspect
    }

    /// The backlog for what was served since the last measurement, once that is long enough ago.
    fn measured(&mut self, now: Instant, served: u64, limit: Duration) -> Option<i32> {
        let (from, count) = *self.from.get_or_insert((now, served));
        let time = now.saturating_duration_since(from);
        if time < limit / 4 {
            return None;
        }
        self.from = Some((now, served));
        let rate = served.saturating_sub(count) as f64 / time.as_secs_f64();
        let room = limit.as_secs_f64() * (rate + REFUSALS);
        Some((room as i32).clamp(LEAST_BACKLOG.min(self.full), self.full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Whether requests of these ages, read in turns that begin then, are too late; each turn takes a millisecond.
    fn judged(turns: &[(u64, u64)]) -> Vec<bool> {
        let (overload, start) = (Overload::new(Some(LIMIT)), Instant::now());
        let judge = |&(at, age)| overload.is_too_late(millis(age), start + millis(at), millis(1));
        turns.iter().map(judge).collect()
    }

    #[test]
    fn what_is_late_is_shed_once_the_shard_has_been_late_for_as_long_as_the_limit() {
        assert_eq!(judged(&[(0, 101), (50, 150), (100, 500), (101, 101)]), [false, false, false, true]);
        assert_eq!(judged(&[(0, 101), (101, 101), (102, 100), (103, 101)]), [false, true, false, true]);
    }

    #[test]
    fn a_stall_that_is_worked_off_sheds_nothing() {
        assert_eq!(judged(&[(0, 9000), (99, 9000), (5000, 9000), (5099, 9000)]), [false; 4]);
    }

    #[test]
    fn turns_that_take_longer_than_the_limit_are_no_pause() {
        let (overload, start) = (Overload::new(Some(LIMIT)), Instant::now());
        assert!(!overload.is_too_late(millis(500), start, millis(500)));
        assert!(overload.is_too_late(millis(500), start + millis(500), millis(500)));
    }

    #[test]
    fn a_turn_that_only_accepts_late_connections_is_no_pause() {
        let (overload, start) = (Overload::new(Some(LIMIT)), Instant::now());
        overload.note_backlog(start, millis(500));
        assert!(!overload.is_too_late(millis(500), start, millis(500)), "they alone are no lateness");
        overload.note_backlog(start + millis(500), millis(500));
        assert!(overload.is_too_late(millis(500), start + millis(501), millis(1)));
    }

    #[test]
    fn without_a_limit_nothing_is_suspect_or_late() {
        let overload = Overload::new(None);
        assert!(!overload.is_suspect(Duration::MAX));
        assert!(!overload.is_too_late(Duration::MAX, Instant::now(), Duration::ZERO));
    }

    #[test]
    fn as_many_may_wait_as_are_answered_or_refused_within_the_limit() {
        let (mut room, start) = (Room::new(4096), Instant::now());
        assert_eq!(room.measured(start, 1000, LIMIT), None);
        assert_eq!(room.measured(start + millis(24), 2000, LIMIT), None);
        assert_eq!(room.measured(start + millis(50), 1200, LIMIT), Some(400 + 50), "4,000 a second");
        assert_eq!(room.measured(start + millis(100), 1200, LIMIT), Some(50));
        assert_eq!(room.measured(start + millis(150), 90_000, LIMIT), Some(4096));
        let mut few = Room::new(4);
        few.measured(start, 0, LIMIT);
        assert_eq!(few.measured(start + LIMIT, 0, LIMIT), Some(4));
    }
}

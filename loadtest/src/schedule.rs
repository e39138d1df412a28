//! When requests are due and connections are wanted: arithmetic on times that are passed in.

use crate::plan::Stage;
use std::time::Duration;

/// Nanoseconds since some beginning.
type Nanos = u64;

/// The requests of an open loop: number `k`, from 0, is due at `k / rate` seconds, whatever has become of the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    /// Nanoseconds from one request to the next.
    period: f64,
}

impl Beat {
    /// `rate` is positive and finite.
    pub(crate) fn new(rate: f64) -> Self {
        Beat { period: 1e9 / rate }
    }

    /// When a request is due; never before an earlier one.
    pub(crate) fn due(self, number: u64) -> Nanos {
        (number as f64 * self.period) as u64
    }

    /// How many requests are due by then.
    pub(crate) fn count(self, at: Nanos) -> u64 {
        // The quotient may be off by the rounding of two operations: `due` decides.
        let mut count = (at as f64 / self.period) as u64;
        while self.due(count) <= at {
            count += 1;
        }
        while count > 0 && self.due(count - 1) > at {
            count -= 1;
        }
        count
    }
}

/// One shard's part of them: numbers `first`, `first + step` and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) beat: Beat,
    pub(crate) first: u64,
    pub(crate) step: u64,
}

impl Part {
    /// When this part's request of this number is due.
    pub(crate) fn due(self, number: u64) -> Nanos {
        self.beat.due(number.saturating_mul(self.step).saturating_add(self.first))
    }

    /// How many of this part are due by then.
    pub(crate) fn count(self, at: Nanos) -> u64 {
        (self.beat.count(at) + self.step - 1).saturating_sub(self.first) / self.step
    }
}

/// How many connections are wanted when: the connections of a plan's stages, evenly from each to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ramp {
    /// Ends of stages: time and connections. Between two of them the number changes evenly.
    points: Vec<(Nanos, usize)>,
}

impl Ramp {
    /// From none, at the time 0; without stages, everything is wanted always.
    pub(crate) fn new(stages: &[Stage]) -> Self {
        let mut points = Vec::new();
        if !stages.is_empty() {
            points.push((0, 0));
        }
        let mut end = Duration::ZERO;
        for stage in stages {
            end = end.saturating_add(stage.time);
            points.push((u64::try_from(end.as_nanos()).unwrap_or(Nanos::MAX), stage.connections));
        }
        Ramp { points }
    }

    /// The first time, not before `from`, at which the connection of this number, from 0, is wanted; or at which it
    /// is not.
    fn next(&self, number: usize, from: Nanos, wanted: bool) -> Option<Nanos> {
        if self.points.is_empty() {
            return wanted.then_some(from);
        }
        // A connection is there as soon as the line has come to its number, and as long as it stays above it.
        let is_so = |connections: usize| (connections > number) == wanted;
        for pair in self.points.windows(2) {
            let [(begin, before), (end, after)] = [pair[0], pair[1]];
            // A jump is over once its time has gone by; a stretch of time is when it has ended.
            if end < from || (end == from && end > begin) {
                continue;
            }
            let at = from.max(begin);
            if is_so(before) && is_so(after) {
                return Some(at);
            }
            if before == after || is_so(before) == is_so(after) {
                continue;
            }
            let crossing = crossing((begin, before), (end, after), number);
            match (is_so(before), at < crossing) {
                (true, true) => return Some(at),
                (true, false) => {}
                (false, _) => return Some(at.max(crossing)),
            }
        }
        let &(end, last) = self.points.last()?;
        is_so(last).then_some(from.max(end))
    }

    /// The first time, not before `from`, at which the connection of this number, from 0, is wanted.
    pub(crate) fn wanted(&self, number: usize, from: Nanos) -> Option<Nanos> {
        self.next(number, from, true)
    }

    /// The first time, not before `from`, at which it is not.
    pub(crate) fn unwanted(&self, number: usize, from: Nanos) -> Option<Nanos> {
        self.next(number, from, false)
    }
}

/// When a line from one point to the next passes `number` and a half, so that the first and the last connection have
/// half of a step before and behind them.
fn crossing((begin, before): (Nanos, usize), (end, after): (Nanos, usize), number: usize) -> Nanos {
    let (from, to, at) = (before as f64, after as f64, number as f64 + 0.5);
    let share = ((at - from) / (to - from)).clamp(0.0, 1.0);
    begin + ((end - begin) as f64 * share) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stages(stages: &[(u64, usize)]) -> Ramp {
        let stage = |&(seconds, connections): &_| Stage { time: Duration::from_secs(seconds), connections };
        Ramp::new(&stages.iter().map(stage).collect::<Vec<_>>())
    }

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_ramp_begins_connections_evenly_and_keeps_them() {
        let ramp = stages(&[(10, 100)]);
        let begins: Vec<_> = (0..100).map(|number| ramp.wanted(number, 0).unwrap()).collect();
        assert_eq!((begins[0], begins[99]), (SECOND / 20, 10 * SECOND - SECOND / 20));
        assert!(begins.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(SECOND / 10) <= 1));
        assert!((0..100).all(|number| ramp.unwanted(number, begins[number]).is_none()));
        assert_eq!(ramp.wanted(100, 0), None);
    }

    #[test]
    fn stages_go_down_and_up_again() {
        let ramp = stages(&[(10, 100), (5, 100), (10, 0), (10, 50)]);
        assert_eq!(ramp.unwanted(99, 10 * SECOND), Some(15 * SECOND + SECOND / 20));
        assert_eq!(ramp.unwanted(0, SECOND), Some(25 * SECOND - SECOND / 20));
        assert_eq!(ramp.wanted(0, 25 * SECOND), Some(25 * SECOND + SECOND / 10));
        assert_eq!(ramp.wanted(49, 25 * SECOND), Some(35 * SECOND - SECOND / 10));
        assert_eq!((ramp.wanted(50, 25 * SECOND), ramp.wanted(49, 99 * SECOND)), (None, Some(99 * SECOND)));
    }

    #[test]
    fn a_stage_without_a_length_is_a_step() {
        let ramp = stages(&[(0, 10), (5, 10), (0, 20)]);
        assert_eq!(
            (ramp.wanted(9, 0), ramp.wanted(10, 0), ramp.wanted(20, 0)),
            (Some(0), Some(5 * SECOND), None)
        );
        // A jump at 1 s, and none of them after 2 s.
        let ramp = stages(&[(1, 4), (0, 1), (1, 0)]);
        assert_eq!((ramp.unwanted(3, SECOND), ramp.wanted(3, SECOND)), (Some(SECOND), None));
        assert_eq!(ramp.unwanted(0, SECOND), Some(SECOND + SECOND / 2));
        assert_eq!((ramp.wanted(0, SECOND + SECOND / 2), ramp.wanted(0, 5 * SECOND)), (None, None));
        assert_eq!(stages(&[]).wanted(7, 3), Some(3));
        assert_eq!(stages(&[]).unwanted(7, 3), None);
    }

    proptest! {
        #[test]
        fn requests_are_due_when_their_number_says_and_the_rate_never_drifts(
            rate in 0.01f64..1e7, number in 0u64..1_000_000_000,
        ) {
            let beat = Beat::new(rate);
            let exact = number as f64 / rate * 1e9;
            let due = beat.due(number) as f64;
            prop_assert!((due - exact).abs() <= 1.0 + exact * 1e-15 * 8.0, "{due} {exact}");
            prop_assert!(beat.due(number + 1) >= beat.due(number));
        }

        #[test]
        fn what_is_due_is_counted_to_the_nanosecond(rate in 0.01f64..1e7, number in 0u64..100_000_000) {
            let beat = Beat::new(rate);
            let due = beat.due(number);
            prop_assert!(beat.count(due) > number);
            prop_assert!(due == 0 || beat.count(due - 1) <= number);
        }

        #[test]
        fn the_parts_of_all_shards_are_the_whole(
            rate in 0.1f64..1e6, shards in 1u64..60, at in 0u64..100 * SECOND,
        ) {
            let beat = Beat::new(rate);
            let parts = (0..shards).map(|first| Part { beat, first, step: shards });
            let counts: Vec<u64> = parts.clone().map(|part| part.count(at)).collect();
            prop_assert_eq!(counts.iter().sum::<u64>(), beat.count(at));
            for (part, count) in parts.zip(counts) {
                prop_assert!(part.due(count) > at && (count == 0 || part.due(count - 1) <= at));
            }
        }

        #[test]
        fn wanted_and_unwanted_take_turns(
            ends in prop::collection::vec((0u64..20, 0usize..30), 1..6), number in 0usize..30, from in 0u64..100,
        ) {
            let ramp = stages(&ends);
            // Behind a jump, which is both.
            let from = from * SECOND + 1;
            let (wanted, unwanted) = (ramp.wanted(number, from), ramp.unwanted(number, from));
            // One of the two is so at once, and neither is twice so.
            prop_assert!((wanted == Some(from)) != (unwanted == Some(from)));
            prop_assert!(wanted.is_none_or(|at| at >= from) && unwanted.is_none_or(|at| at >= from));
            if let Some(at) = wanted.filter(|&at| at > from) {
                prop_assert_eq!(ramp.unwanted(number, from), Some(from));
                prop_assert_eq!(ramp.wanted(number, at), Some(at));
            }
        }
    }
}

//! What came of a run.

use super::{Held, Tally};
use std::time::Duration;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As planned.
    Done,
    /// By Ctrl-C: the figures are those so far.
    Interrupted,
    /// Every connection was gone, and none could be made anew.
    NobodyLeft,
    /// It was to end after a number of requests, and none of them was answered any more.
    NoAnswers,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory in bytes, at its highest sample.
    pub memory: u64,
    /// Resident memory in bytes before the first connection.
    pub memory_before: u64,
}

/// One second of a run, or the part of one with which it ended: counts are of the time since the sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Connections that stand.
    pub open: u64,
    /// Requests answered in this time.
    pub completed: u64,
    /// Failures in this time.
    pub failed: u64,
    /// Broadcasts: how often a message came to a connection in this time.
    pub received: u64,
    /// Response times: half of them are not longer.
    pub p50: Duration,
    /// 99 of a hundred are not longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Counts and times, without the warm-up.
    pub tally: Tally,
    /// How long it took until every connection that was wanted from the beginning stood or had failed.
    pub connecting: Duration,
    /// How long was measured, without the warm-up.
    pub elapsed: Duration,
    /// The part of this in which requests were sent: neither while connections only stood, nor for a broadcast.
    pub asked: Duration,
    /// Why it ended.
    pub ended: Ended,
    /// One for each second, from the beginning, and one for the part of a second with which the run ended, if that is a
    /// tenth at least.
    pub samples: Vec<Sample>,
    /// What connections took that only stood, if there was a time for that.
    pub held: Option<Held>,
    /// This process.
    pub client: Usage,
    /// The server's process, if its number was given.
    pub server: Option<Usage>,
    /// The largest share of a second in which a client's shard was busy, 0 to 1: at 0.9 and more the client was the
    /// limit.
    pub client_busy: f64,
}

impl Usage {
    /// Processors that were busy on average: 1.0 is one.
    pub fn cpus(&self, elapsed: Duration) -> f64 {
        if elapsed.is_zero() { 0.0 } else { self.cpu.as_secs_f64() / elapsed.as_secs_f64() }
    }

    /// Bytes of memory for each connection; `None` without a connection.
    pub fn per_connection(&self, connections: u64) -> Option<u64> {
        self.memory.saturating_sub(self.memory_before).checked_div(connections)
    }
}

impl Outcome {
    /// Requests answered a second, by the time in which they were sent.
    pub fn rate(&self) -> f64 {
        by(self.tally.completed, self.asked)
    }

    /// So many in the whole run, by the second; 0 if it took no time.
    pub fn per_second(&self, count: u64) -> f64 {
        by(count, self.elapsed)
    }

    /// Whether requests were sent, or messages published, and not one of them came back or arrived. A server that only
    /// takes connections does as much, and datagrams have none that could fail.
    pub fn answered_nothing(&self) -> bool {
        let tally = &self.tally;
        let no_broadcast = tally.broadcast.as_ref().is_some_and(|broadcast| broadcast.received == 0);
        (tally.sent > 0 && tally.completed == 0) || no_broadcast
    }

    /// Connections lost a minute.
    pub fn drops_per_minute(&self) -> f64 {
        self.per_second(self.tally.connections.lost) * 60.0
    }

    /// The most connections that stood at a time, as far as the samples tell.
    pub fn most_open(&self) -> u64 {
        self.samples.iter().map(|sample| sample.open).max().unwrap_or(0)
    }

    /// Why the client, and not the server, may have been the limit, in words.
    pub fn client_limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.client_busy >= BUSY {
            limits.push(format!(
                "its busiest thread worked {:.0}% of the time",
                self.client_busy.min(1.0) * 100.0
            ));
        }
        let late = self.tally.late_share();
        if late > LATE {
            // Which of these it was, is not known.
            limits.push(format!(
                "{:.1}% of the requests left more than 1 ms late, for want of a free connection (-c) or of CPU",
                late * 100.0
            ));
        }
        limits
    }
}

fn by(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// The share of a second from which on a shard counts as busy: beyond it requests wait in the client.
const BUSY: f64 = 0.9;
/// The share of requests that may leave late.
const LATE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    #[test]
    fn a_run_without_time_has_no_rates() {
        let outcome = Outcome { elapsed: Duration::ZERO, asked: Duration::ZERO, ..made_up::outcome(10) };
        assert_eq!((outcome.rate(), outcome.drops_per_minute()), (0.0, 0.0));
        assert_eq!(outcome.client.cpus(outcome.elapsed), 0.0);
    }

    #[test]
    fn rates_are_by_the_time_that_was_measured() {
        let (elapsed, asked) = (Duration::from_secs(30), Duration::from_secs(20));
        let mut outcome = Outcome { elapsed, asked, ..made_up::outcome(600) };
        outcome.tally.connections.lost = 3;
        assert_eq!((outcome.rate(), outcome.drops_per_minute()), (30.0, 6.0), "they stood for ten seconds");
    }

    #[test]
    fn memory_is_what_was_added_for_each_connection() {
        let usage = Usage { memory: 5000, memory_before: 1000, ..Usage::default() };
        assert_eq!((usage.per_connection(10), usage.per_connection(0)), (Some(400), None));
        let shrunk = Usage { memory: 1000, memory_before: 5000, ..Usage::default() };
        assert_eq!(shrunk.per_connection(10), Some(0));
    }

    #[test]
    fn the_client_was_the_limit_if_it_was_busy_or_late() {
        let mut outcome = made_up::outcome(1000);
        (outcome.client_busy, outcome.tally.late) = (0.89, 10);
        assert!(outcome.client_limits().is_empty());
        (outcome.client_busy, outcome.tally.late) = (0.90, 11);
        assert_eq!(
            outcome.client_limits(),
            [
                "its busiest thread worked 90% of the time",
                "1.1% of the requests left more than 1 ms late, for want of a free connection (-c) or of CPU"
            ]
        );
    }
}

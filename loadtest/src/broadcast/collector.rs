//! Messages of all shards, added up.

use super::{Received, Spread};
use crate::stats::{Broadcast, Tally};
use std::collections::BTreeMap;

/// Messages whose delays are kept at a time; of the oldest one beyond them, what is there is taken.
const MESSAGES_AT_MOST: usize = 4096;

/// What the coordinator knows of a run's messages.
#[derive(Default)]
pub(crate) struct Collector {
    /// The last counts of each shard.
    shards: Vec<Received>,
    open: BTreeMap<u32, Spread>,
    /// Below this, messages are done with.
    from: u32,
    done: Broadcast,
}

impl Collector {
    pub(crate) fn new(shards: usize) -> Self {
        Collector { shards: vec![Received::default(); shards], ..Collector::default() }
    }

    pub(crate) fn take(&mut self, shard: usize, mut told: Received) {
        for (number, spread) in told.spreads.drain(..) {
            if number >= self.from {
                self.open.entry(number).or_default().merge(&spread);
            }
        }
        self.shards[shard] = told;
        while self.open.len() > MESSAGES_AT_MOST {
            self.close_oldest();
        }
    }

    fn close_oldest(&mut self) {
        let Some((number, spread)) = self.open.pop_first() else { return };
        self.from = number + 1;
        self.done.first.record_nanos(spread.first());
        self.done.median.record_nanos(spread.median());
        self.done.last.record_nanos(spread.last());
    }

    fn sum(&self, of: impl Fn(&Received) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }

    /// How often a message came, so far.
    pub(crate) fn received(&self) -> u64 {
        self.sum(|shard| shard.received)
    }

    /// Whether every receiver has got all of `published` messages.
    pub(crate) fn is_complete(&self, published: u32) -> bool {
        self.shards.iter().all(|shard| shard.published == published)
            && self.sum(|shard| shard.received) >= self.sum(|shard| shard.expected)
    }

    /// Adds up what came of `published` messages.
    pub(crate) fn finish(mut self, published: u32, tally: &mut Tally) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
        let (expected, received) = (self.sum(|shard| shard.expected), self.sum(|shard| shard.received));
        tally.missing += expected.saturating_sub(received);
        tally.duplicated += self.sum(|shard| shard.duplicated);
        tally.reordered += self.sum(|shard| shard.reordered);
        tally.broadcast =
            Some(Box::new(Broadcast { published: u64::from(published), expected, received, ..self.done }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(delays: &[u64]) -> Spread {
        let mut spread = Spread::default();
        delays.iter().for_each(|delay| spread.add(delay * 1_000_000));
        spread
    }

    fn told(expected: u64, received: u64, spreads: Vec<(u32, Spread)>) -> Received {
        Received { published: 1, expected, received, duplicated: 1, reordered: 0, spreads }
    }

    #[test]
    fn a_message_is_one_over_all_shards_and_reports() {
        let mut collector = Collector::new(2);
        collector.take(0, told(2, 1, vec![(0, spread(&[1]))]));
        collector.take(1, told(3, 3, vec![(0, spread(&[2, 3, 9]))]));
        assert!(!collector.is_complete(1));
        collector.take(0, told(2, 2, vec![(0, spread(&[4]))]));
        assert!(collector.is_complete(1));
        let mut tally = Tally::default();
        collector.finish(1, &mut tally);
        let broadcast = tally.broadcast.unwrap();
        let millis = |latency: &crate::stats::Latency| (latency.max().as_secs_f64() * 1000.0).round();
        assert_eq!((broadcast.published, broadcast.expected, broadcast.received), (1, 5, 5));
        assert_eq!(
            (millis(&broadcast.first), millis(&broadcast.median), millis(&broadcast.last)),
            (1.0, 3.0, 9.0)
        );
        assert_eq!((tally.missing, tally.duplicated), (0, 2));
    }

    #[test]
    fn what_did_not_come_is_missing() {
        let mut collector = Collector::new(1);
        collector.take(0, told(10, 7, Vec::new()));
        let mut tally = Tally::default();
        collector.finish(1, &mut tally);
        assert_eq!(tally.missing, 3);
    }
}

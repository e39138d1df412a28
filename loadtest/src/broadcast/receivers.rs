//! The receivers of one shard.

use super::Spread;

/// Messages whose delays a shard keeps between two reports; further ones are counted without.
const MESSAGES_AT_MOST: usize = 1024;

/// What the receivers of a shard should get, and have got.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    standing: u64,
    /// The sum of what had been published when those that stand began to receive.
    before: u64,
    /// How often a message should have come to those that are gone.
    expected_by_gone: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
    /// Message and delays, the oldest first.
    spreads: Vec<(u32, Spread)>,
}

/// What a shard tells of its receivers: counts since the beginning, delays since the last time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// Messages that were published when it was told.
    pub(crate) published: u32,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) spreads: Vec<(u32, Spread)>,
}

impl Receivers {
    /// One more stands, which receives from message `before` on.
    pub(crate) fn join(&mut self, before: u32) {
        self.standing += 1;
        self.before += u64::from(before);
    }

    /// One is gone that had joined with `before`, when `published` messages were published.
    pub(crate) fn leave(&mut self, before: u32, published: u32) {
        self.standing -= 1;
        self.before -= u64::from(before);
        self.expected_by_gone += u64::from(published.saturating_sub(before));
    }

    /// A message came for the first time, `delay` nanoseconds after it was published.
    #[inline]
    pub(crate) fn receive(&mut self, number: u32, delay: u64) {
        self.received += 1;
        if let Some((_, spread)) = self.spreads.iter_mut().rev().find(|(known, _)| *known == number) {
            spread.add(delay);
        } else if self.spreads.len() < MESSAGES_AT_MOST {
            let mut spread = Spread::default();
            spread.add(delay);
            self.spreads.push((number, spread));
        }
    }

    /// It came for the first time, after a later one: beside [`Receivers::receive`].
    pub(crate) fn reordered(&mut self) {
        self.reordered += 1;
    }

    /// A message came that had come before.
    pub(crate) fn duplicate(&mut self) {
        self.duplicated += 1;
    }

    /// What has become of it, when `published` messages were published.
    pub(crate) fn tell(&mut self, published: u32) -> Received {
        let standing = (self.standing * u64::from(published)).saturating_sub(self.before);
        Received {
            published,
            expected: self.expected_by_gone + standing,
            received: self.received,
            duplicated: self.duplicated,
            reordered: self.reordered,
            spreads: std::mem::take(&mut self.spreads),
        }
    }

    /// Takes back delays that could not be told.
    pub(crate) fn take_back(&mut self, told: Received) {
        let newer = std::mem::replace(&mut self.spreads, told.spreads);
        for (number, spread) in newer {
            match self.spreads.iter_mut().find(|(known, _)| *known == number) {
                Some((_, own)) => own.merge(&spread),
                None => self.spreads.push((number, spread)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_should_get_what_is_published_while_it_stands() {
        let mut receivers = Receivers::default();
        receivers.join(0);
        receivers.join(2);
        receivers.leave(0, 3);
        let told = receivers.tell(10);
        assert_eq!(told.expected, 3 + 8);
    }

    #[test]
    fn delays_that_were_not_taken_are_told_again() {
        let mut receivers = Receivers::default();
        receivers.receive(0, 1_000_000);
        let told = receivers.tell(1);
        receivers.receive(0, 3_000_000);
        receivers.receive(1, 5_000_000);
        receivers.take_back(told);
        let told = receivers.tell(2);
        let counts: Vec<_> = told.spreads.iter().map(|(number, spread)| (*number, spread.count())).collect();
        assert_eq!((counts, told.received), (vec![(0, 2), (1, 1)], 3));
    }
}

//! Datagrams of one peer that are on their way, by their numbers.

use crate::engine::Nanos;
use std::collections::VecDeque;

/// When a datagram was due, and when it was sent.
type Sent = (Nanos, Nanos);

#[derive(Debug, Default)]
pub(super) struct Flight {
    /// In the order of their numbers; `None` is answered.
    sent: VecDeque<Option<Sent>>,
    /// The number of the first of them.
    first: u32,
    /// Those that are not answered.
    open: usize,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// The number of the next one, from 0: no socket sends four milliards in a run.
    pub(super) fn next(&self) -> u32 {
        self.first + self.sent.len() as u32
    }

    pub(super) fn push(&mut self, sent: Sent) {
        self.sent.push_back(Some(sent));
        self.open += 1;
    }

    /// Takes an answer's datagram; `None` if it is not on its way.
    pub(super) fn answered(&mut self, number: u32) -> Option<Sent> {
        let sent = self.sent.get_mut(number.wrapping_sub(self.first) as usize)?.take()?;
        self.open -= 1;
        self.forget_answered();
        Some(sent)
    }

    /// When the oldest one was sent.
    pub(super) fn since(&self) -> Option<Nanos> {
        self.sent.front().copied().flatten().map(|(_, sent)| sent)
    }

    /// Gives the oldest one up.
    pub(super) fn give_up(&mut self) -> Option<Sent> {
        let sent = self.sent.front_mut()?.take()?;
        self.open -= 1;
        self.forget_answered();
        Some(sent)
    }

    /// The first one, if there is any, is always one that is on its way.
    fn forget_answered(&mut self) {
        while let Some(None) = self.sent.front() {
            self.sent.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_any_order_and_once() {
        let mut flight = Flight::default();
        for at in 0..4 {
            assert_eq!(u64::from(flight.next()), at);
            flight.push((at, at));
        }
        assert_eq!((flight.answered(1), flight.answered(1), flight.answered(4)), (Some((1, 1)), None, None));
        assert_eq!((flight.len(), flight.since()), (3, Some(0)));
        assert_eq!(flight.give_up(), Some((0, 0)));
        assert_eq!((flight.answered(0), flight.since(), flight.next()), (None, Some(2), 4));
        assert_eq!((flight.answered(3), flight.answered(2)), (Some((3, 3)), Some((2, 2))));
        assert_eq!((flight.len(), flight.since(), flight.give_up(), flight.next()), (0, None, None, 4));
    }
}

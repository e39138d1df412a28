//! Requests of one connection that are on their way.

use super::clock::Nanos;
use std::collections::VecDeque;

/// No request was sent at this time: a run sends none before its beginning.
const NONE: (Nanos, Nanos) = (0, 0);

/// When each was due and when it was sent, the oldest first. With one at a time it needs no more than itself.
#[derive(Default)]
pub(super) struct Flight {
    oldest: (Nanos, Nanos),
    others: Option<Box<Others>>,
}

/// In a box, since most connections have none.
#[derive(Default)]
struct Others(VecDeque<(Nanos, Nanos)>);

impl Flight {
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.oldest != NONE) + self.others.as_ref().map_or(0, |others| others.0.len())
    }

    #[inline]
    pub(super) fn push(&mut self, due: Nanos, sent: Nanos) {
        if self.oldest == NONE {
            self.oldest = (due, sent);
        } else {
            self.others.get_or_insert_default().0.push_back((due, sent));
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Nanos, Nanos)> {
        let oldest = Some(self.oldest).filter(|&oldest| oldest != NONE);
        self.oldest = self.others.as_mut().and_then(|others| others.0.pop_front()).unwrap_or(NONE);
        oldest
    }

    /// When the oldest one was sent.
    #[inline]
    pub(super) fn since(&self) -> Option<Nanos> {
        Some(self.oldest.1).filter(|&sent| sent != NONE.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_in_the_order_in_which_they_went() {
        let mut flight = Flight::default();
        assert_eq!((flight.len(), flight.pop(), flight.since()), (0, None, None));
        for at in 1..=4 {
            flight.push(at, 10 * at);
            assert_eq!((flight.len(), flight.since()), (at as usize, Some(10)));
        }
        assert_eq!(flight.pop(), Some((1, 10)));
        flight.push(5, 50);
        let rest: Vec<_> = std::iter::from_fn(|| flight.pop()).collect();
        assert_eq!(rest, [(2, 20), (3, 30), (4, 40), (5, 50)]);
        assert_eq!(flight.since(), None);
    }
}

//! Connections that have nothing to do, in the order in which they have become idle.

use std::{collections::VecDeque, task::Waker};

/// A connection's place among those that are idle; it may be outdated.
pub(super) type Ticket = u64;

/// Nobody's.
pub(super) const NOT_IDLE: Ticket = Ticket::MAX;

/// Those that wait for their turn to send. Who has waited longest comes first, so that requests go round.
#[derive(Default)]
pub(super) struct Idle {
    /// In the order of their tickets, without gaps; `None` has left.
    waiting: VecDeque<Option<Waker>>,
    /// The ticket of the first one.
    first: Ticket,
    len: usize,
}

impl Idle {
    pub(super) fn push(&mut self, waker: Waker) -> Ticket {
        self.waiting.push_back(Some(waker));
        self.len += 1;
        self.first + self.waiting.len() as u64 - 1
    }

    /// The one that has waited longest: no longer among them.
    pub(super) fn pop(&mut self) -> Option<Waker> {
        while let Some(place) = self.waiting.pop_front() {
            self.first += 1;
            if place.is_some() {
                self.len -= 1;
                return place;
            }
        }
        None
    }

    /// Whether it still waits for its turn, given that it has not left.
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        ticket >= self.first
    }

    /// Takes one out before its turn; `None` if it has had it.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let at = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        let waker = self.waiting.get_mut(at)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.first += self.waiting.len() as u64;
            self.waiting.clear();
        }
        Some(waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_one_that_has_waited_longest_comes_first(steps in prop::collection::vec(0usize..3, 0..60)) {
            let mut idle = Idle::default();
            // The same in plain words: tickets that wait.
            let mut model = VecDeque::new();
            for (step, at) in steps.into_iter().zip(0usize..) {
                match step {
                    0 => model.push_back(idle.push(Waker::noop().clone())),
                    1 => prop_assert_eq!(idle.pop().is_some(), model.pop_front().is_some()),
                    _ => {
                        let left = model.remove(at % model.len().max(1));
                        if let Some(ticket) = left {
                            prop_assert!(idle.holds(ticket) && idle.leave(ticket).is_some());
                            prop_assert!(idle.leave(ticket).is_none(), "nobody leaves twice");
                        }
                    }
                }
                prop_assert_eq!(idle.len, model.len());
                for &ticket in &model {
                    prop_assert!(idle.holds(ticket));
                }
            }
        }
    }
}

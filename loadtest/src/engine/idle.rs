//! Connections that have nothing to do, in the order in which they have become idle.

use lakh_core::WaitSlot;
use std::{collections::VecDeque, task::Context};

/// A connection's place among those that are idle; it may be outdated.
pub(crate) type Ticket = u64;

/// Nobody's.
pub(crate) const NOT_IDLE: Ticket = Ticket::MAX;

/// Those that wait for their turn to send, in four bytes each. Who has waited longest comes first, so that requests go
/// round.
#[derive(Default)]
pub(crate) struct Idle {
    /// In the order of their tickets, without gaps; one that is not set has left.
    waiting: VecDeque<WaitSlot>,
    /// The ticket of the first one.
    first: Ticket,
    len: usize,
    /// Those that were taken out for their turn, and have not had it.
    called: u64,
}

impl Idle {
    /// Lets the task that is polled with `cx` wait.
    pub(crate) fn push(&mut self, cx: &Context<'_>) -> Ticket {
        let place = WaitSlot::new();
        place.set(cx);
        self.waiting.push_back(place);
        self.len += 1;
        self.first + self.waiting.len() as u64 - 1
    }

    /// Whether nobody waits, or has been called.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.called == 0
    }

    /// Those that have been called, and have not had their turn.
    pub(crate) fn called(&self) -> u64 {
        self.called
    }

    /// Whether it has been called: it has its turn now, and the ticket is used up.
    pub(crate) fn answer(&mut self, ticket: &mut Ticket) -> bool {
        let is_called = *ticket != NOT_IDLE && !self.holds(*ticket);
        if is_called {
            *ticket = NOT_IDLE;
            self.called -= 1;
        }
        is_called
    }

    /// The one that has waited longest: no longer among them.
    pub(crate) fn pop(&mut self) -> Option<WaitSlot> {
        while let Some(place) = self.waiting.pop_front() {
            self.first += 1;
            if place.is_set() {
                self.len -= 1;
                self.called += 1;
                return Some(place);
            }
        }
        None
    }

    /// Whether it still waits to be called, given that it has not left.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        ticket >= self.first
    }

    /// Takes one out that wants no turn any more, once.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if !self.holds(ticket) {
            self.called -= 1;
            return;
        }
        let at = ticket.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(place) = at.and_then(|at| self.waiting.get_mut(at)) else { return };
        if !place.is_set() {
            return;
        }
        *place = WaitSlot::new();
        self.len -= 1;
        if self.len == 0 {
            self.first += self.waiting.len() as u64;
            self.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, test_runner::TestCaseError};
    use std::{future::poll_fn, task::Poll};

    proptest! {
        #[test]
        fn the_one_that_has_waited_longest_comes_first(steps in prop::collection::vec(0usize..3, 0..60)) {
            lakh_core::block_on(poll_fn(move |cx| Poll::Ready(check(&steps, cx)))).unwrap()?;
        }
    }

    fn check(steps: &[usize], cx: &Context<'_>) -> Result<(), TestCaseError> {
        let mut idle = Idle::default();
        // The same in plain words: tickets that wait.
        let mut model = VecDeque::new();
        for (&step, at) in steps.iter().zip(0usize..) {
            match step {
                0 => model.push_back(idle.push(cx)),
                1 => {
                    let called = model.pop_front();
                    prop_assert_eq!(idle.pop().is_some(), called.is_some());
                    if let Some(mut ticket) = called {
                        prop_assert!((idle.called(), idle.is_empty()) == (1, false));
                        prop_assert!(idle.answer(&mut ticket) && !idle.answer(&mut ticket));
                    }
                }
                _ => {
                    let left = model.remove(at % model.len().max(1));
                    if let Some(ticket) = left {
                        prop_assert!(idle.holds(ticket));
                        idle.leave(ticket);
                    }
                }
            }
            prop_assert_eq!((idle.len, idle.called(), idle.is_empty()), (model.len(), 0, model.is_empty()));
            for &ticket in &model {
                prop_assert!(idle.holds(ticket));
            }
        }
        Ok(())
    }
}

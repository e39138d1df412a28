//! Connections that have nothing to do, in the order in which they have become idle.

use lakh_core::WaitSlot;
use std::{collections::VecDeque, task::Context};

/// A connection's place among those that are idle; it may be outdated.
pub(crate) type Ticket = u64;

/// Those that wait for their turn to send, in four bytes each. Who has waited longest comes first, so that requests go
/// round.
#[derive(Default)]
pub(crate) struct Idle {
    /// In the order of their tickets, without gaps; one that is not set has left.
    waiting: VecDeque<WaitSlot>,
    /// The ticket of the first one.
    first: Ticket,
    len: usize,
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

    /// The one that has waited longest: no longer among them.
    pub(crate) fn pop(&mut self) -> Option<WaitSlot> {
        while let Some(place) = self.waiting.pop_front() {
            self.first += 1;
            if place.is_set() {
                self.len -= 1;
                return Some(place);
            }
        }
        None
    }

    /// Whether it still waits for its turn, given that it has not left.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        ticket >= self.first
    }

    /// Takes one out before its turn, if it has not had it.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
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

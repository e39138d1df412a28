//! Connections that have nothing to do, in the order in which they have become idle.

use std::{collections::VecDeque, task::Waker};

/// A connection's place among those that are idle; it may be outdated.
pub(super) type Ticket = u64;

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

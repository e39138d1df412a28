//! Requests of one connection that are on their way.

use super::clock::Nanos;
use std::collections::VecDeque;

/// When each was due and when it was sent, the oldest first. With one at a time it needs no more than itself.
#[derive(Default)]
pub(super) struct Flight {
    oldest: Option<(Nanos, Nanos)>,
    others: Option<Box<Others>>,
}

/// In a box, since most connections have none.
#[derive(Default)]
struct Others(VecDeque<(Nanos, Nanos)>);

impl Flight {
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.oldest.is_some()) + self.others.as_ref().map_or(0, |others| others.0.len())
    }

    #[inline]
    pub(super) fn push(&mut self, due: Nanos, sent: Nanos) {
        if self.oldest.is_none() {
            self.oldest = Some((due, sent));
        } else {
            self.others.get_or_insert_default().0.push_back((due, sent));
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Nanos, Nanos)> {
        let oldest = self.oldest.take();
        if let Some(others) = &mut self.others {
            self.oldest = others.0.pop_front();
        }
        oldest
    }

    /// When the oldest one was sent.
    #[inline]
    pub(super) fn since(&self) -> Option<Nanos> {
        self.oldest.map(|(_, sent)| sent)
    }
}

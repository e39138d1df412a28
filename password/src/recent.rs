//! Who has been let in a short while ago, so that not each of their requests costs a hash.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::{Duration, Instant},
};

/// How many are remembered.
const LIMIT: usize = 1024;
/// For how long, from the verification on.
const FOR: Duration = Duration::from_secs(300);

/// A name and a password, by a keyed digest: nobody without the key can make one, or learn anything from it.
pub(crate) type Tag = [u8; 32];

/// Bounded in number and in age. Since all are remembered equally long, the order in which they came is that in which
/// they go.
#[derive(Default)]
pub(crate) struct Recent {
    until: HashMap<Tag, Instant>,
    order: VecDeque<Tag>,
}

impl Recent {
    pub(crate) fn has(&self, tag: &Tag, now: Instant) -> bool {
        self.until.get(tag).is_some_and(|until| now < *until)
    }

    /// Remembers one that has been verified now. One that is there already stays as it is: two requests have had the
    /// same hash computed.
    pub(crate) fn add(&mut self, tag: Tag, now: Instant) {
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= LIMIT || !self.has(oldest, now))
        {
            self.until.remove(oldest);
            self.order.pop_front();
        }
        if let Entry::Vacant(place) = self.until.entry(tag) {
            place.insert(now + FOR);
            self.order.push_back(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u32) -> Tag {
        let mut tag = [0; 32];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn they_are_forgotten_when_their_time_is_over_however_often_they_come() {
        let mut recent = Recent::default();
        let start = Instant::now();
        recent.add(tag(1), start);
        let late = start + FOR - Duration::from_nanos(1);
        recent.add(tag(1), late);
        assert!(recent.has(&tag(1), late) && !recent.has(&tag(2), late));
        assert!(!recent.has(&tag(1), start + FOR));
        recent.add(tag(1), start + FOR);
        assert!(recent.has(&tag(1), start + FOR));
        assert_eq!((recent.until.len(), recent.order.len()), (1, 1));
    }

    #[test]
    fn the_newest_are_kept_when_there_are_too_many() {
        let mut recent = Recent::default();
        let now = Instant::now();
        let limit = LIMIT as u32;
        (0..limit + 10).for_each(|number| recent.add(tag(number), now));
        assert_eq!((recent.until.len(), recent.order.len()), (LIMIT, LIMIT));
        assert!(!recent.has(&tag(9), now) && recent.has(&tag(10), now) && recent.has(&tag(limit + 9), now));
        recent.add(tag(0), now + FOR);
        assert_eq!((recent.until.len(), recent.order.len()), (1, 1), "the others are over");
    }
}

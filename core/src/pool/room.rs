//! Who waits for room in a lane: work that has begun and must not be refused in the middle.
//!
//! Pure data, as [`Queue`](super::queue::Queue) is: wakers are given out, and woken when the lock is released.

use super::queue::Key;
use crate::wakers::{WakerKey, Wakers};
use std::task::Waker;

/// Those who wait for room in one lane. As many as there are [`Room`](super::Room)s.
#[derive(Default)]
pub(super) struct Rooms {
    /// The lane is full for all groups.
    lane: Wakers,
    /// A group is; no entry is empty. Few groups are full at once.
    groups: Vec<(Key, Wakers)>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Lane,
    Group(Key),
}

impl Rooms {
    pub(super) fn wait(&mut self, full: Full, waker: Waker) -> WakerKey {
        match full {
            Full::Lane => self.lane.insert(waker),
            Full::Group(group) => self.group(group).insert(waker),
        }
    }

    pub(super) fn leave(&mut self, full: Full, key: WakerKey) -> Option<Waker> {
        let Full::Group(group) = full else { return self.lane.remove(key) };
        let place = self.place(group)?;
        let waiting = &mut self.groups[place].1;
        let waker = waiting.remove(key);
        if waiting.is_empty() {
            self.groups.swap_remove(place);
        }
        waker
    }

    /// A job of `group` has left the queue. Those who wait for the group are called together, when half of its
    /// room is free: many wait for one, and each call of all of them lets many in.
    pub(super) fn freed(&mut self, group: Key, is_half_empty: bool) -> Vec<Waker> {
        let mut woken: Vec<Waker> = self.lane.take().collect();
        if is_half_empty && let Some(place) = self.place(group) {
            woken.extend(self.groups.swap_remove(place).1.take());
        }
        woken
    }

    pub(super) fn take(&mut self) -> Vec<Waker> {
        let groups = std::mem::take(&mut self.groups);
        self.lane.take().chain(groups.into_iter().flat_map(|(_, mut waiting)| waiting.take())).collect()
    }

    fn place(&self, group: Key) -> Option<usize> {
        self.groups.iter().position(|&(key, _)| key == group)
    }

    fn group(&mut self, group: Key) -> &mut Wakers {
        let place = self.place(group).unwrap_or_else(|| {
            self.groups.push((group, Wakers::default()));
            self.groups.len() - 1
        });
        &mut self.groups[place].1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn waker() -> Waker {
        Waker::noop().clone()
    }

    #[test]
    fn who_waits_for_a_group_is_woken_by_its_jobs_alone_and_once_half_of_its_room_is_free() {
        let mut rooms = Rooms::default();
        let _first = rooms.wait(Full::Group(Some(1)), waker());
        let _second = rooms.wait(Full::Group(Some(1)), waker());
        assert_eq!(rooms.freed(Some(2), true).len(), 0);
        assert_eq!(rooms.freed(Some(1), false).len(), 0);
        assert_eq!(rooms.freed(Some(1), true).len(), 2);
        assert!(rooms.groups.is_empty());
    }

    #[test]
    fn who_waits_for_the_lane_is_woken_by_any_job() {
        let mut rooms = Rooms::default();
        let _key = rooms.wait(Full::Lane, waker());
        assert_eq!(rooms.freed(Some(2), false).len(), 1);
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let mut rooms = Rooms::default();
        for full in [Full::Lane, Full::Group(None)] {
            let key = rooms.wait(full, waker());
            assert!(rooms.leave(full, key).is_some());
        }
        assert!(rooms.lane.is_empty() && rooms.groups.is_empty());
    }
}

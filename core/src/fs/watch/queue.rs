//! Events that wait: for more of the same path, for the other end of a rename, and to be taken.

use super::WatchEvent;
use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The two ends of a rename are two events, which others may come between (inotify(7)).
pub(super) const BETWEEN_ENDS: Duration = Duration::from_millis(20);

/// In the order in which their paths were first heard of. The clock is an argument.
#[derive(Debug)]
pub(super) struct Queue {
    window: Duration,
    capacity: usize,
    entries: VecDeque<Entry>,
    /// The number of the first entry; the others follow.
    first: u64,
    /// The entry of a path with which the next event of the path becomes one.
    open: HashMap<PathBuf, u64>,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    event: WatchEvent,
}

impl Queue {
    pub(super) fn new(window: Duration, capacity: usize) -> Self {
        Queue { window, capacity: capacity.max(1), entries: VecDeque::new(), first: 0, open: HashMap::new() }
    }

    /// Adds what has happened to one path.
    pub(super) fn push(&mut self, event: WatchEvent, now: Instant) {
        let Some(path) = event.path().map(Path::to_path_buf) else { return self.rescan(now) };
        if let Some(entry) = self.open.get(&path).and_then(|number| self.index(*number)) {
            return self.entries[entry].event.merge(event);
        }
        if let Some(number) = self.append(event, now + self.window)
            && !self.window.is_zero()
        {
            self.open.insert(path, number);
        }
    }

    /// Adds the first end of a rename, which is the path's removal unless [`Queue::renamed`] follows for the
    /// number that this gives.
    pub(super) fn push_moved(&mut self, from: PathBuf, now: Instant) -> u64 {
        self.open.remove(&from);
        let due = now + self.window.max(BETWEEN_ENDS);
        self.append(WatchEvent::Removed(from), due).unwrap_or(u64::MAX)
    }

    /// Adds the second end. Says whether both are told as one.
    pub(super) fn renamed(&mut self, number: u64, to: PathBuf, is_dir: bool, now: Instant) -> bool {
        // What comes from now on is of other files under these names.
        if is_dir {
            self.open.clear();
        } else {
            self.open.remove(&to);
        }
        match self.index(number).map(|index| &mut self.entries[index].event) {
            Some(event @ WatchEvent::Removed(_)) => {
                let WatchEvent::Removed(from) = std::mem::replace(event, WatchEvent::Rescan) else {
                    unreachable!("it was just seen to be one")
                };
                *event = WatchEvent::Renamed { from, to };
                true
            }
            // The removal was told already, or was lost.
            _ => {
                self.push(WatchEvent::Created(to), now);
                false
            }
        }
    }

    /// Instead of all that waits: everything has to be looked at again.
    pub(super) fn rescan(&mut self, now: Instant) {
        self.rescan_at(now + self.window);
    }

    /// The first one, if its time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<WatchEvent> {
        if self.entries.front()?.due > now { None } else { self.pop_early() }
    }

    /// The first one.
    pub(super) fn pop_early(&mut self) -> Option<WatchEvent> {
        let event = self.entries.pop_front()?.event;
        if let Some(path) = event.path()
            && self.open.get(path) == Some(&self.first)
        {
            self.open.remove(path);
        }
        self.first += 1;
        Some(event)
    }

    /// When the first one's time comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.due)
    }

    /// One that waits already is due when it was.
    fn rescan_at(&mut self, due: Instant) {
        let waiting = self.entries.front().filter(|entry| entry.event == WatchEvent::Rescan);
        let due = waiting.map_or(due, |entry| entry.due);
        self.open.clear();
        self.first += self.entries.len() as u64;
        self.entries.clear();
        self.entries.push_back(Entry { due, event: WatchEvent::Rescan });
    }

    /// Gives the entry's number, if there was room.
    fn append(&mut self, event: WatchEvent, due: Instant) -> Option<u64> {
        if self.entries.len() == self.capacity {
            self.rescan_at(due);
            return None;
        }
        self.entries.push_back(Entry { due, event });
        Some(self.first + self.entries.len() as u64 - 1)
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WatchEvent::{Created, Modified, Removed, Rescan};

    const WINDOW: Duration = Duration::from_millis(50);

    fn all(queue: &mut Queue) -> Vec<WatchEvent> {
        std::iter::from_fn(|| queue.pop_early()).collect()
    }

    fn renamed(from: &str, to: &str) -> WatchEvent {
        WatchEvent::Renamed { from: from.into(), to: to.into() }
    }

    #[test]
    fn events_of_one_path_become_one_within_the_window() {
        let (now, mut queue) = (Instant::now(), Queue::new(WINDOW, 10));
        for event in [Created("a".into()), Modified("a".into()), Modified("b".into()), Modified("a".into())] {
            queue.push(event, now);
        }
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.due(), Some(now + WINDOW));
        assert_eq!(queue.pop(now + WINDOW), Some(Created("a".into())));
        // It has been told: this is another one.
        queue.push(Modified("a".into()), now);
        assert_eq!(all(&mut queue), [Modified("b".into()), Modified("a".into())]);
    }

    #[test]
    fn the_last_event_says_what_there_is() {
        let (now, mut queue) = (Instant::now(), Queue::new(WINDOW, 10));
        for event in [Created("a".into()), Removed("a".into()), Removed("b".into()), Created("b".into())] {
            queue.push(event, now);
        }
        assert_eq!(all(&mut queue), [Removed("a".into()), Created("b".into())]);
    }

    #[test]
    fn the_ends_of_a_rename_meet_whatever_comes_between() {
        let (now, mut queue) = (Instant::now(), Queue::new(WINDOW, 10));
        queue.push(Created("a".into()), now);
        queue.push(Modified("b".into()), now);
        let number = queue.push_moved("a".into(), now);
        queue.push(Created("a".into()), now);
        assert!(queue.renamed(number, "b".into(), false, now));
        queue.push(Modified("b".into()), now);
        assert_eq!(
            all(&mut queue),
            [
                Created("a".into()),
                Modified("b".into()),
                renamed("a", "b"),
                Created("a".into()),
                Modified("b".into())
            ]
        );
    }

    #[test]
    fn an_end_that_comes_alone_or_late_is_a_removal_or_a_creation() {
        let (now, mut queue) = (Instant::now(), Queue::new(Duration::ZERO, 10));
        let number = queue.push_moved("a".into(), now);
        queue.push(Modified("x".into()), now);
        assert_eq!(queue.pop(now), None, "its other end may still come");
        assert_eq!(queue.pop(now + BETWEEN_ENDS), Some(Removed("a".into())));
        assert!(!queue.renamed(number, "b".into(), true, now));
        assert_eq!(all(&mut queue), [Modified("x".into()), Created("b".into())]);
    }

    #[test]
    fn what_is_full_says_only_that_everything_has_to_be_looked_at() {
        let (now, mut queue) = (Instant::now(), Queue::new(WINDOW, 3));
        let lost = queue.push_moved("gone".into(), now);
        for name in ["a", "b", "c"] {
            queue.push(Created(name.into()), now);
        }
        queue.push(Created("d".into()), now);
        assert!(!queue.renamed(lost, "here".into(), false, now));
        assert_eq!(all(&mut queue), [Rescan, Created("d".into()), Created("here".into())]);
        for number in 0..1000 {
            queue.push(Created(number.to_string().into()), now);
        }
        assert!(queue.entries.len() <= 3 && queue.open.len() <= 3);
    }

    #[test]
    fn without_a_window_everything_is_told() {
        let (now, mut queue) = (Instant::now(), Queue::new(Duration::ZERO, 10));
        queue.push(Created("a".into()), now);
        queue.push(Modified("a".into()), now);
        assert_eq!(queue.pop(now), Some(Created("a".into())));
        assert_eq!(queue.pop(now), Some(Modified("a".into())));
        assert_eq!(queue.pop(now), None);
    }
}

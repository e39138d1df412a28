//! The queue of one lane: groups that take turns, each first in, first out.
//!
//! Pure data: no locks, no clock, no threads. Every operation but [`set_cap`](Queue::set_cap) and
//! the scans for metrics is O(log n) in the jobs queued; where a group loses its turn, O(groups).

use std::collections::{BTreeMap, VecDeque};

/// The mount, or whatever else the jobs of a lane are grouped by. `None` is a group like any other.
pub(super) type Key = Option<u64>;

/// Invariants, restored by `settle` after every change:
/// - a group is in `groups` exactly while it has jobs queued or running;
/// - a group has a turn exactly while it has jobs queued and runs fewer than `cap`.
pub(super) struct Queue<E> {
    groups: BTreeMap<Key, Group<E>>,
    /// Groups that may run, in the order of their turns.
    turns: VecDeque<Key>,
    queued: usize,
    cap: usize,
}

struct Group<E> {
    /// By sequence number, so that the first is the oldest and any can be removed.
    jobs: BTreeMap<u64, E>,
    running: usize,
    has_turn: bool,
}

impl<E> Queue<E> {
    /// `cap`: how many jobs of one group may run at once.
    pub(super) fn new(cap: usize) -> Queue<E> {
        Queue { groups: BTreeMap::new(), turns: VecDeque::new(), queued: 0, cap }
    }

    pub(super) fn len(&self) -> usize {
        self.queued
    }

    pub(super) fn group_len(&self, key: Key) -> usize {
        self.groups.get(&key).map_or(0, |group| group.jobs.len())
    }

    /// Whether [`pop`](Self::pop) would give a job.
    pub(super) fn has_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Appends a job to its group. Sequence numbers must ascend.
    pub(super) fn push(&mut self, key: Key, sequence: u64, entry: E) {
        let group = self.groups.entry(key).or_insert_with(Group::new);
        group.jobs.insert(sequence, entry);
        self.queued += 1;
        self.settle(key);
    }

    /// Takes the oldest job of the group whose turn it is, and counts it as running.
    pub(super) fn pop(&mut self) -> Option<(Key, E)> {
        let key = self.turns.pop_front()?;
        let group = self.groups.get_mut(&key)?;
        group.has_turn = false;
        let (_, entry) = group.jobs.pop_first()?;
        group.running += 1;
        self.queued -= 1;
        self.settle(key);
        Some((key, entry))
    }

    /// A job that [`pop`](Self::pop) gave runs no more.
    pub(super) fn finished(&mut self, key: Key) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.running -= 1;
            self.settle(key);
        }
    }

    /// Takes out a job that has not been popped.
    pub(super) fn remove(&mut self, key: Key, sequence: u64) -> Option<E> {
        let entry = self.groups.get_mut(&key)?.jobs.remove(&sequence)?;
        self.queued -= 1;
        self.settle(key);
        Some(entry)
    }

    /// Takes out everything queued; what runs stays counted.
    pub(super) fn drain(&mut self) -> Vec<E> {
        let mut entries = Vec::with_capacity(self.queued);
        for group in self.groups.values_mut() {
            entries.extend(std::mem::take(&mut group.jobs).into_values());
            group.has_turn = false;
        }
        self.turns.clear();
        self.groups.retain(|_, group| group.running > 0);
        self.queued = 0;
        entries
    }

    /// Changes how many jobs of one group may run at once. O(groups).
    pub(super) fn set_cap(&mut self, cap: usize) {
        self.cap = cap;
        let keys: Vec<Key> = self.groups.keys().copied().collect();
        for key in keys {
            self.settle(key);
        }
    }

    /// The oldest job of each group. O(groups).
    pub(super) fn heads(&self) -> impl Iterator<Item = &E> {
        self.groups.values().filter_map(|group| group.jobs.values().next())
    }

    /// The group that all queued jobs are of, and how many it runs, if that is as many as it may. O(groups).
    pub(super) fn only_group_at_cap(&self) -> Option<(Key, usize)> {
        let mut waiting = self.groups.iter().filter(|(_, group)| !group.jobs.is_empty());
        let (&key, group) = waiting.next()?;
        (waiting.next().is_none() && group.running >= self.cap).then_some((key, group.running))
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    fn settle(&mut self, key: Key) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        let may_run = !group.jobs.is_empty() && group.running < self.cap;
        if may_run != group.has_turn {
            group.has_turn = may_run;
            match may_run {
                true => self.turns.push_back(key),
                false => self.turns.retain(|&other| other != key),
            }
        }
        if group.jobs.is_empty() && group.running == 0 {
            self.groups.remove(&key);
        }
    }
}

impl<E> Group<E> {
    fn new() -> Group<E> {
        Group { jobs: BTreeMap::new(), running: 0, has_turn: false }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn filled(cap: usize, jobs: &[(Key, u64)]) -> Queue<u64> {
        let mut queue = Queue::new(cap);
        for &(key, sequence) in jobs {
            queue.push(key, sequence, sequence);
        }
        queue
    }

    fn popped(queue: &mut Queue<u64>) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop().map(|(_, entry)| entry)).collect()
    }

    #[test]
    fn groups_take_turns_and_each_keeps_its_order() {
        let jobs = [(Some(1), 0), (Some(1), 1), (Some(1), 2), (Some(2), 3), (None, 4), (Some(2), 5)];
        assert_eq!(popped(&mut filled(9, &jobs)), [0, 3, 4, 1, 5, 2]);
    }

    #[test]
    fn a_group_at_its_cap_waits_only_for_itself() {
        let mut queue = filled(1, &[(Some(1), 0), (Some(1), 1), (Some(2), 2)]);
        assert_eq!(popped(&mut queue), [0, 2]);
        queue.finished(Some(2));
        assert!(!queue.has_turn());
        queue.finished(Some(1));
        assert_eq!(popped(&mut queue), [1]);
    }

    #[test]
    fn a_group_holds_everything_up_if_all_that_waits_is_its_own_and_it_is_at_its_cap() {
        let mut queue = filled(1, &[(Some(1), 0), (Some(1), 1)]);
        assert_eq!(queue.only_group_at_cap(), None, "it may run");
        queue.pop();
        assert_eq!(queue.only_group_at_cap(), Some((Some(1), 1)));
        queue.push(None, 2, 2);
        assert_eq!(queue.only_group_at_cap(), None, "another one waits");
        queue.pop();
        assert_eq!(queue.only_group_at_cap(), Some((Some(1), 1)), "the other one runs");
    }

    #[test]
    fn removing_the_last_job_of_a_group_takes_its_turn_away() {
        let mut queue = filled(1, &[(Some(1), 0), (Some(2), 1)]);
        assert_eq!(queue.remove(Some(1), 0), Some(0));
        assert_eq!(queue.remove(Some(1), 0), None);
        assert_eq!((queue.len(), queue.groups()), (1, 1));
        assert_eq!(popped(&mut queue), [1]);
    }

    #[test]
    fn empty_groups_leave_nothing_behind() {
        let mut queue = Queue::new(1);
        for sequence in 0..10_000 {
            queue.push(Some(sequence), sequence, sequence);
            if sequence % 2 == 0 {
                queue.remove(Some(sequence), sequence);
            } else {
                queue.pop();
                queue.finished(Some(sequence));
            }
        }
        assert_eq!((queue.len(), queue.groups(), queue.turns.len()), (0, 0, 0));
    }

    #[test]
    fn a_new_cap_gives_and_takes_turns() {
        let mut queue = filled(1, &[(None, 0), (None, 1), (None, 2)]);
        assert_eq!(popped(&mut queue), [0]);
        queue.set_cap(2);
        assert_eq!(popped(&mut queue), [1]);
        queue.finished(None);
        queue.set_cap(1);
        assert!(!queue.has_turn());
        queue.finished(None);
        assert_eq!(popped(&mut queue), [2]);
    }

    #[test]
    fn draining_keeps_what_runs() {
        let mut queue = filled(1, &[(None, 0), (None, 1), (Some(7), 2)]);
        queue.pop();
        assert_eq!(queue.drain(), [1, 2]);
        assert_eq!((queue.len(), queue.groups(), queue.has_turn()), (0, 1, false));
        queue.finished(None);
        assert_eq!(queue.groups(), 0);
    }
}

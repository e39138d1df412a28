//! What all shards share of the topics.

use super::{Relay, outbox::Target};
use lakh_core::ShardHandle;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Places for topics, or for subscribers of one, that are kept though they are empty.
pub(super) const KEPT: usize = 64;

pub(crate) struct Central {
    pub(super) id: u64,
    state: Mutex<State>,
    pub(super) relay: Option<Box<dyn Relay>>,
    /// There are sockets that take compressed messages.
    pub(super) compresses: AtomicBool,
    pub(super) published: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
}

#[derive(Default)]
struct State {
    shards: Vec<Option<Target>>,
    /// Subscribers by shard.
    subscribers: HashMap<Arc<str>, Vec<usize>>,
}

/// A table that was much larger once gives its memory back.
pub(super) fn shrink<V>(topics: &mut HashMap<Arc<str>, V>) {
    if topics.capacity() > KEPT && topics.len() < topics.capacity() / 8 {
        topics.shrink_to(2 * topics.len());
    }
}

impl Central {
    pub(super) fn new(relay: Option<Box<dyn Relay>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Central {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            relay,
            compresses: AtomicBool::new(false),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_shard(&self, handle: ShardHandle) -> usize {
        let mut state = self.lock();
        let at = state.shards.iter().position(Option::is_none).unwrap_or(state.shards.len());
        let len = state.shards.len().max(at + 1);
        state.shards.resize_with(len, || None);
        state.shards[at] = Some(Target::new(handle));
        at
    }

    pub(super) fn remove_shard(&self, at: usize) {
        let gone = self.lock().shards.get_mut(at).and_then(Option::take);
        drop(gone);
    }

    /// The shards with subscribers.
    pub(super) fn shards_of(&self, topic: &str) -> Vec<(usize, Target)> {
        let state = self.lock();
        let Some(counts) = state.subscribers.get(topic) else { return Vec::new() };
        let has_any = |(at, count): (usize, &usize)| {
            if *count == 0 { None } else { Some((at, state.shards.get(at)?.clone()?)) }
        };
        counts.iter().enumerate().filter_map(has_any).collect()
    }

    /// How many are subscribed to a topic.
    pub(super) fn subscribers(&self, topic: &str) -> usize {
        self.lock().subscribers.get(topic).map_or(0, |shards| shards.iter().sum())
    }

    /// All topics, with how many are subscribed to each.
    pub(super) fn all_subscribers(&self) -> Vec<(Arc<str>, usize)> {
        let state = self.lock();
        state.subscribers.iter().map(|(name, shards)| (Arc::clone(name), shards.iter().sum())).collect()
    }

    /// How many topics there are.
    pub(super) fn topics(&self) -> usize {
        self.lock().subscribers.len()
    }

    pub(super) fn count_subscriber(&self, topic: &Arc<str>, shard: usize, change: isize) {
        let mut state = self.lock();
        let counts = state.subscribers.entry(Arc::clone(topic)).or_default();
        counts.resize(counts.len().max(shard + 1), 0);
        counts[shard] = counts[shard].saturating_add_signed(change);
        if counts.iter().all(|count| *count == 0) {
            state.subscribers.remove(topic);
            shrink(&mut state.subscribers);
        }
    }

    pub(super) fn count_refused(&self, messages: u64) {
        self.refused.fetch_add(messages, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_are_gone_take_no_memory() {
        let central = Central::new(None);
        let names: Vec<Arc<str>> = (0..10_000).map(|number: u32| number.to_string().into()).collect();
        names.iter().for_each(|name| central.count_subscriber(name, 0, 1));
        names.iter().skip(10).for_each(|name| central.count_subscriber(name, 0, -1));
        assert_eq!((central.topics(), central.subscribers("9")), (10, 1));
        assert!(central.lock().subscribers.capacity() < 200);
    }
}

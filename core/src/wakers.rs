//! All who wait for the same thing.

use std::{collections::BTreeMap, num::NonZeroU64, task::Waker};

/// Wakers under a key for each who waits, so that who is dropped meanwhile takes its own back.
///
/// It wakes and drops no waker itself, which may run anybody's code: what is taken out is woken or dropped
/// when whatever holds this is no longer locked or borrowed. There are as many as there are futures that wait.
#[derive(Debug, Default)]
pub struct Wakers {
    /// By ascending numbers, which are never used again.
    waiting: BTreeMap<NonZeroU64, Waker>,
    last: u64,
}

/// The place of one waker among the [`Wakers`].
#[derive(Debug, PartialEq, Eq)]
pub struct WakerKey(NonZeroU64);

impl Wakers {
    /// Keeps a waker until it is taken or removed.
    pub fn insert(&mut self, waker: Waker) -> WakerKey {
        // From 1 on, so that an optional key takes no more room.
        self.last += 1;
        let key = NonZeroU64::MIN.saturating_add(self.last - 1);
        self.waiting.insert(key, waker);
        WakerKey(key)
    }

    /// Takes one out; `None` if it was taken before.
    #[must_use = "dropping a waker runs code of its executor"]
    pub fn remove(&mut self, key: WakerKey) -> Option<Waker> {
        self.waiting.remove(&key.0)
    }

    /// Takes all out, in the order in which they came.
    #[must_use = "those who wait are to be woken"]
    pub fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_nobody_elses_waker_back() {
        let mut wakers = Wakers::default();
        let first = wakers.insert(Waker::noop().clone());
        let second = wakers.insert(Waker::noop().clone());
        assert!(wakers.remove(second).is_some());
        assert_eq!(wakers.take().count(), 1);
        let _third = wakers.insert(Waker::noop().clone());
        assert!(wakers.remove(first).is_none(), "it was woken before the third came");
        assert_eq!(wakers.len(), 1);
    }
}

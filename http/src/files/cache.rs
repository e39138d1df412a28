//! A bounded cache that forgets what was not asked for lately.

use std::collections::HashMap;

/// What an entry takes beside its value's own bytes, roughly: its key's place in the map, the slot, the
/// header fields.
const OVERHEAD: usize = 1024;

/// Values by path, up to a number of bytes. What goes is found by a clock's hand that spares, once, each entry
/// that was asked for since it last passed.
#[derive(Debug)]
pub(super) struct Cache<V> {
    places: HashMap<Box<[u8]>, usize>,
    slots: Vec<Option<Slot<V>>>,
    free: Vec<usize>,
    hand: usize,
    weight: usize,
    limit: usize,
}

#[derive(Debug)]
struct Slot<V> {
    key: Box<[u8]>,
    value: V,
    weight: usize,
    asked_for: bool,
}

impl<V> Cache<V> {
    /// Room for `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Cache { places: HashMap::new(), slots: Vec::new(), free: Vec::new(), hand: 0, weight: 0, limit }
    }

    #[inline]
    pub(super) fn get(&mut self, key: &[u8]) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        let slot = self.slots[place].as_mut()?;
        slot.asked_for = true;
        Some(&mut slot.value)
    }

    /// Without counting as being asked for.
    pub(super) fn peek(&self, key: &[u8]) -> Option<&V> {
        let place = *self.places.get(key)?;
        self.slots[place].as_ref().map(|slot| &slot.value)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Puts a value of `bytes` bytes in, and gives what is not kept: entries that were in its place, or have
    /// to make room, or the value itself if it is too big.
    pub(super) fn insert(&mut self, key: &[u8], value: V, bytes: usize) -> Vec<V> {
        let weight = bytes + 2 * key.len() + OVERHEAD;
        let mut gone: Vec<V> = self.remove(key).into_iter().collect();
        if weight > self.limit {
            gone.push(value);
            return gone;
        }
        while self.weight + weight > self.limit {
            gone.extend(self.evict());
        }
        self.weight += weight;
        let slot = Some(Slot { key: key.into(), value, weight, asked_for: false });
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(key.into(), place);
        gone
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let place = self.places.remove(key)?;
        let slot = self.slots[place].take()?;
        self.free.push(place);
        self.weight -= slot.weight;
        Some(slot.value)
    }

    /// Turns the hand until an entry goes: twice around at most. `None` if there is none.
    fn evict(&mut self) -> Option<V> {
        for _ in 0..=2 * self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            match self.slots.get_mut(self.hand)? {
                Some(slot) if slot.asked_for => slot.asked_for = false,
                Some(slot) => {
                    let key = std::mem::take(&mut slot.key);
                    return self.remove(&key);
                }
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: usize = OVERHEAD + 2 + 10;

    #[test]
    fn what_fits_is_kept() {
        let mut cache = Cache::new(3 * ONE);
        for key in [b"a", b"b", b"c"] {
            assert!(cache.insert(key, key[0], 10).is_empty());
        }
        for key in [b"a", b"b", b"c"] {
            assert_eq!(cache.get(key), Some(&mut key[0].clone()));
        }
    }

    #[test]
    fn what_was_asked_for_outlives_what_was_not() {
        let mut cache = Cache::new(3 * ONE);
        for key in [b"a", b"b", b"c"] {
            cache.insert(key, key[0], 10);
        }
        cache.get(b"b");
        for key in b'd'..=b'z' {
            assert_eq!(cache.insert(&[key], key, 10).len(), 1);
            assert!(cache.get(b"b").is_some(), "asked for before each of them");
        }
    }

    #[test]
    fn what_is_too_big_is_not_kept_and_drives_nothing_out() {
        let mut cache = Cache::new(2 * ONE);
        cache.insert(b"a", 1, 10);
        assert_eq!(cache.insert(b"b", 2, 3 * ONE), [2]);
        assert!(cache.get(b"a").is_some() && cache.get(b"b").is_none());
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let mut cache = Cache::new(0);
        assert_eq!(cache.insert(b"", (), 0).len(), 1);
        assert!(cache.get(b"").is_none());
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Insert(u8, usize),
        Remove(u8),
        Get(u8),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            (0..20_u8, 0..4000_usize).prop_map(|(key, bytes)| Operation::Insert(key, bytes)),
            (0..20_u8).prop_map(Operation::Remove),
            (0..20_u8).prop_map(Operation::Get),
        ]
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_nothing_else_is_found_than_was_put_in(
            operations in prop::collection::vec(operation(), 0..200),
        ) {
            let mut cache = Cache::new(16 * 1024);
            let mut put = HashMap::new();
            for operation in operations {
                match operation {
                    Operation::Insert(key, bytes) => {
                        cache.insert(&[key], (key, bytes), bytes);
                        put.insert(key, bytes);
                    }
                    Operation::Remove(key) => {
                        cache.remove(&[key]);
                        put.remove(&key);
                    }
                    Operation::Get(key) => {
                        if let Some(&mut found) = cache.get(&[key]) {
                            prop_assert_eq!(Some(&found.1), put.get(&key));
                            prop_assert_eq!(found.0, key);
                        }
                    }
                }
                let weights = cache.slots.iter().flatten().map(|slot| slot.weight).sum::<usize>();
                prop_assert_eq!(weights, cache.weight);
                prop_assert!(cache.weight <= cache.limit);
                let live = cache.slots.iter().flatten().count();
                prop_assert_eq!(live, cache.places.len());
                prop_assert_eq!(live + cache.free.len(), cache.slots.len());
            }
        }
    }
}

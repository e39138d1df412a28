//! A slab whose entries never move: fixed-size chunks behind a table of pointers.
//!
//! A `Vec` copies every entry when it grows, which at a million entries stalls the loop for
//! milliseconds. Here growing allocates one more chunk, and a chunk that empties is given back, so
//! that memory follows the load down again after a peak. One empty chunk is kept as a spare: a load
//! that swings around a chunk's edge does not allocate.
//!
//! The free list lives in the vacant slots, one per chunk. A slot is as large as its entry wherever
//! the entry's type has a niche (an unused bit pattern, as any enum field gives).
//!
//! Keys are plain indices and are used again after a removal: whoever holds one owns the entry.

/// Marks the end of a chunk's free list.
const NO_SLOT: u16 = u16::MAX;
/// Marks the end of a list of chunks.
const NO_CHUNK: u32 = u32::MAX;

/// Entries of type `T` under `u32` keys, `CHUNK` (2 to 32,768) to an allocation.
///
/// No key is ever `u32::MAX`, so callers may use that as their "none".
pub(crate) struct Slab<T, const CHUNK: usize = 512> {
    chunks: Vec<Chunk<T, CHUNK>>,
    /// Head of the list of chunks that are neither full nor empty: inserts go to the first.
    open: u32,
    /// An empty chunk that still has its memory.
    spare: u32,
    /// Head of the list of chunks without memory.
    released: u32,
    len: u32,
}

struct Chunk<T, const CHUNK: usize> {
    slots: Option<Box<[Slot<T>; CHUNK]>>,
    used: u16,
    /// Head of the list of vacant slots.
    free: u16,
    prev: u32,
    next: u32,
}

enum Slot<T> {
    /// Holds the next vacant slot of the chunk.
    Vacant(u16),
    Occupied(T),
}

impl<T, const CHUNK: usize> Slab<T, CHUNK> {
    /// Chunks that `u32` keys can address, with `u32::MAX` left over.
    const MAX_CHUNKS: usize = u32::MAX as usize / CHUNK;

    /// An empty slab; allocates nothing.
    pub(crate) const fn new() -> Self {
        const { assert!(CHUNK >= 2 && CHUNK <= 1 << 15) };
        Self { chunks: Vec::new(), open: NO_CHUNK, spare: NO_CHUNK, released: NO_CHUNK, len: 0 }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// One more than the greatest key that may be in use: for who goes through the keys, a part at a time.
    pub(crate) fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Stores `value` and returns its key.
    ///
    /// # Panics
    ///
    /// When all 2^32 keys are taken.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if self.open == NO_CHUNK {
            let fresh = self.fresh_chunk();
            self.link_open(fresh);
        }
        let at = self.open;
        let chunk = &mut self.chunks[at as usize];
        let slot = chunk.fill(value);
        if chunk.is_full() {
            self.unlink_open(at);
        }
        self.len += 1;
        at * CHUNK as u32 + u32::from(slot)
    }

    /// Takes the entry out, or returns `None` if there is none under this key.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let (at, slot) = Self::split(key);
        let chunk = self.chunks.get_mut(at)?;
        let was_full = chunk.is_full();
        let value = chunk.take(slot)?;
        let is_empty = chunk.used == 0;
        self.len -= 1;
        if is_empty {
            self.unlink_open(at as u32);
            self.retire(at as u32);
        } else if was_full {
            self.link_open(at as u32);
        }
        Some(value)
    }

    /// The entry under this key.
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        let (at, slot) = Self::split(key);
        match &self.chunks.get(at)?.slots.as_ref()?[slot] {
            Slot::Occupied(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }

    /// The entry under this key, to change.
    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        let (at, slot) = Self::split(key);
        match &mut self.chunks.get_mut(at)?.slots.as_mut()?[slot] {
            Slot::Occupied(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }

    /// All entries with their keys, in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let slots = chunk.slots.iter().flat_map(|slots| slots.iter()).enumerate();
            slots.filter_map(move |(slot, entry)| match entry {
                Slot::Occupied(value) => Some(((at * CHUNK + slot) as u32, value)),
                Slot::Vacant(_) => None,
            })
        })
    }

    fn split(key: u32) -> (usize, usize) {
        (key as usize / CHUNK, key as usize % CHUNK)
    }

    /// An empty chunk with memory: the spare one, a released one, or a new one.
    fn fresh_chunk(&mut self) -> u32 {
        if self.spare != NO_CHUNK {
            return std::mem::replace(&mut self.spare, NO_CHUNK);
        }
        if self.released != NO_CHUNK {
            let at = self.released;
            self.released = self.chunks[at as usize].next;
            self.chunks[at as usize] = Chunk::new();
            return at;
        }
        assert!(self.chunks.len() < Self::MAX_CHUNKS, "slab is full");
        self.chunks.push(Chunk::new());
        self.chunks.len() as u32 - 1
    }

    /// Keeps an empty chunk as the spare, or gives its memory back if there is one already.
    fn retire(&mut self, at: u32) {
        if self.spare == NO_CHUNK {
            self.spare = at;
            return;
        }
        let chunk = &mut self.chunks[at as usize];
        chunk.slots = None;
        chunk.next = std::mem::replace(&mut self.released, at);
    }

    /// Puts a chunk first, which is where inserts go: a chunk that was full a moment ago is the best
    /// one to fill up again, since it leaves the emptier ones to run empty.
    fn link_open(&mut self, at: u32) {
        let next = std::mem::replace(&mut self.open, at);
        let chunk = &mut self.chunks[at as usize];
        (chunk.prev, chunk.next) = (NO_CHUNK, next);
        if next != NO_CHUNK {
            self.chunks[next as usize].prev = at;
        }
    }

    fn unlink_open(&mut self, at: u32) {
        let Chunk { prev, next, .. } = self.chunks[at as usize];
        match prev {
            NO_CHUNK => self.open = next,
            prev => self.chunks[prev as usize].next = next,
        }
        if next != NO_CHUNK {
            self.chunks[next as usize].prev = prev;
        }
    }
}

impl<T, const CHUNK: usize> Chunk<T, CHUNK> {
    fn new() -> Self {
        let link = |slot| if slot + 1 < CHUNK { slot as u16 + 1 } else { NO_SLOT };
        let slots: Box<[Slot<T>]> = (0..CHUNK).map(|slot| Slot::Vacant(link(slot))).collect();
        Self { slots: slots.try_into().ok(), used: 0, free: 0, prev: NO_CHUNK, next: NO_CHUNK }
    }

    fn is_full(&self) -> bool {
        usize::from(self.used) == CHUNK
    }

    /// Stores a value in the first vacant slot; open chunks have one.
    fn fill(&mut self, value: T) -> u16 {
        let slots = self.slots.as_mut().expect("an open chunk has memory");
        let slot = self.free;
        let Slot::Vacant(next) = std::mem::replace(&mut slots[usize::from(slot)], Slot::Occupied(value))
        else {
            unreachable!("the free list links vacant slots");
        };
        self.free = next;
        self.used += 1;
        slot
    }

    fn take(&mut self, slot: usize) -> Option<T> {
        let entry = &mut self.slots.as_mut()?[slot];
        if let Slot::Vacant(_) = entry {
            return None;
        }
        let Slot::Occupied(value) = std::mem::replace(entry, Slot::Vacant(self.free)) else {
            unreachable!("checked above");
        };
        self.free = slot as u16;
        self.used -= 1;
        Some(value)
    }
}

/// Bytes one entry of type `T` takes in a slab, for the tests that hold entries to a budget.
#[cfg(test)]
pub(crate) const fn slot_size<T>() -> usize {
    size_of::<Slot<T>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Chunks of four, so that a few entries cross every edge.
    type Small<T> = Slab<T, 4>;

    fn chunks_with_memory<T>(slab: &Small<T>) -> usize {
        slab.chunks.iter().filter(|chunk| chunk.slots.is_some()).count()
    }

    #[test]
    fn an_entry_with_a_niche_costs_nothing_extra() {
        assert_eq!(slot_size::<(u64, bool)>(), size_of::<(u64, bool)>());
        assert_eq!(slot_size::<Box<u8>>(), 2 * size_of::<Box<u8>>());
    }

    #[test]
    fn a_new_slab_allocates_nothing() {
        assert_eq!(Slab::<String>::new().chunks.capacity(), 0);
    }

    #[test]
    fn growing_moves_no_entry() {
        let mut slab = Small::new();
        let key = slab.insert(7_u64);
        let before: *const u64 = slab.get(key).unwrap();
        (0..1000).for_each(|value| _ = slab.insert(value));
        assert!(std::ptr::eq(before, slab.get(key).unwrap()));
    }

    #[test]
    fn unknown_keys_find_nothing() {
        let mut slab = Small::new();
        let key = slab.insert(1);
        for other in [key + 1, 4, 1000, u32::MAX] {
            assert!(slab.get(other).is_none() && slab.remove(other).is_none());
        }
        assert_eq!((slab.remove(key), slab.remove(key)), (Some(1), None));
    }

    #[test]
    fn memory_follows_the_load_down() {
        let mut slab = Small::new();
        let keys: Vec<u32> = (0..400).map(|value| slab.insert(value)).collect();
        assert_eq!(chunks_with_memory(&slab), 100);
        keys.iter().for_each(|&key| _ = slab.remove(key));
        assert_eq!((slab.len(), chunks_with_memory(&slab)), (0, 1), "one spare chunk stays");
        (0..400).for_each(|value| _ = slab.insert(value));
        assert_eq!((chunks_with_memory(&slab), slab.chunks.len()), (100, 100), "chunks are used again");
    }

    #[test]
    fn entries_are_dropped_once() {
        let value = std::rc::Rc::new(());
        let mut slab = Small::new();
        let key = slab.insert(value.clone());
        slab.insert(value.clone());
        drop(slab.remove(key));
        assert_eq!(std::rc::Rc::strong_count(&value), 2);
        drop(slab);
        assert_eq!(std::rc::Rc::strong_count(&value), 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u16),
        Remove(usize),
        Change(usize, u16),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            5 => any::<u16>().prop_map(Op::Insert),
            4 => any::<usize>().prop_map(Op::Remove),
            1 => (any::<usize>(), any::<u16>()).prop_map(|(which, value)| Op::Change(which, value)),
        ]
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(ops in prop::collection::vec(op(), 0..300)) {
            let mut slab = Small::new();
            let mut model = HashMap::new();
            let mut keys = Vec::new();
            for op in ops {
                match op {
                    Op::Insert(value) => {
                        let key = slab.insert(value);
                        prop_assert!(model.insert(key, value).is_none(), "key given out twice");
                        keys.push(key);
                    }
                    Op::Remove(which) if !keys.is_empty() => {
                        let key = keys[which % keys.len()];
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                    }
                    Op::Change(which, value) if !keys.is_empty() => {
                        let key = keys[which % keys.len()];
                        let entries = (slab.get_mut(key), model.get_mut(&key));
                        prop_assert_eq!(&entries.0, &entries.1);
                        if let (Some(ours), Some(theirs)) = entries {
                            (*ours, *theirs) = (value, value);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(chunks_with_memory(&slab) <= keys.len());
            }
            prop_assert!(keys.iter().all(|key| slab.get(*key) == model.get(key)));
            let mut left: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
            left.sort_unstable();
            prop_assert_eq!(slab.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>(), left);
        }
    }
}

//! A hierarchical timer wheel: insert, cancel, reset and fire in constant time.
//!
//! Four levels of 256 slots cover the 2^32 ticks of the counter, eight bits each. A timer stands on
//! the level of the highest byte in which its deadline differs from the current tick, in the slot
//! which that byte names. When time reaches a slot on a higher level, its timers cascade to lower
//! ones, at most three times in a timer's life; a slot of level 0 is one tick, and its timers fire.
//!
//! Two facts follow, and everything below rests on them:
//!
//! * All timers of a level are due before any timer of a higher level, so the lowest level that is
//!   not empty knows the next tick of interest. A bitmap per level finds the slot: ticks at which
//!   nothing happens cost nothing, however many there are.
//! * No timer is ever placed in the slot of the current tick, on any level. The one such slot that
//!   has timers is the one that is being drained, and new timers cannot get into it.
//!
//! Ticks wrap (after 49 days, if they are milliseconds). They are compared by their distance: a
//! deadline may lie up to 2^31 − 1 ticks ahead of the last [`Wheel::advance`].

use crate::slab::Slab;
use std::num::NonZeroU32;

const LEVELS: usize = 4;
const SLOTS: usize = 256;
const WORDS: usize = SLOTS / u64::BITS as usize;
/// Timers in a slot that [`Wheel::next_expiry`] looks through.
const FEW: usize = 8;
/// "No entry", in links and list heads. The slab never gives this key out.
const NONE: u32 = u32::MAX;

/// Names a timer in its [`Wheel`], from [`Wheel::insert`] until [`Wheel::cancel`].
///
/// The key is freed by `cancel` and by nothing else, so a timer that has fired can still be asked
/// and reset. After `cancel` the number is used again: forget the key. An `Option<TimerKey>` takes
/// four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(NonZeroU32);

/// What has become of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It will fire.
    Pending,
    /// It has fired, and waits for its owner to cancel or reset it.
    Fired,
}

/// Timers with a payload `W`, small and `Copy`: the identity of whoever waits.
///
/// A pure data structure. The caller counts ticks of whatever length it likes and passes the current
/// one to [`advance`](Wheel::advance). One timer takes 20 bytes with a payload of four; inserting
/// allocates only when the number of timers reaches a new high, and then one chunk of 512.
///
/// # Examples
///
/// ```
/// use lakh_core::timer::{State, Wheel};
///
/// let mut wheel = Wheel::new(1_000);
/// let key = wheel.insert(1_250, "idle");
/// assert_eq!(wheel.next_expiry(), Some(1_250));
///
/// let mut fired = Vec::new();
/// wheel.advance(1_249, 64, |_, who| fired.push(who));
/// assert!(fired.is_empty());
/// wheel.advance(1_300, 64, |_, who| fired.push(who));
/// assert_eq!(fired, ["idle"]);
///
/// assert_eq!(wheel.state(key), Some(State::Fired));
/// wheel.cancel(key);
/// assert_eq!(wheel.state(key), None);
/// ```
pub struct Wheel<W> {
    entries: Slab<Entry<W>>,
    /// Every deadline up to this tick has been seen.
    elapsed: u32,
    /// The level whose slot of the tick `elapsed` still has timers to fire or to cascade.
    draining: Option<Place>,
    levels: Box<[Level; LEVELS]>,
    /// Timers whose deadline had passed when they were inserted, oldest first.
    due: List,
    pending: usize,
}

/// One timer. Links are slab keys; `NONE` ends a list.
struct Entry<W> {
    deadline: u32,
    next: u32,
    prev: u32,
    payload: W,
    place: Place,
}

/// The list an entry stands on. On a level, its deadline names the slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
enum Place {
    Level0 = 0,
    Level1 = 1,
    Level2 = 2,
    Level3 = 3,
    Due,
    /// On no list.
    Fired,
}

struct Level {
    /// One bit per slot: does it have timers?
    occupied: [u64; WORDS],
    heads: [u32; SLOTS],
}

struct List {
    head: u32,
    tail: u32,
}

impl<W: Copy> Wheel<W> {
    /// An empty wheel at the given tick. It takes 4.3 KB before its first timer.
    pub fn new(now: u32) -> Self {
        Self {
            entries: Slab::new(),
            elapsed: now,
            draining: None,
            levels: Box::new([const { Level::new() }; LEVELS]),
            due: List { head: NONE, tail: NONE },
            pending: 0,
        }
    }

    /// Adds a timer that fires at the first [`advance`](Wheel::advance) to `deadline` or later.
    ///
    /// A deadline that has passed fires at the next `advance`, whatever its tick. Deadlines more than
    /// 2^31 − 1 ticks ahead of the last `advance` count as passed: clamp them.
    ///
    /// # Panics
    ///
    /// With 2^32 timers.
    pub fn insert(&mut self, deadline: u32, payload: W) -> TimerKey {
        let at =
            self.entries.insert(Entry { deadline, next: NONE, prev: NONE, payload, place: Place::Fired });
        self.link(at, deadline);
        self.pending += 1;
        TimerKey::new(at)
    }

    /// Frees the timer, fired or not. Returns whether it was still to fire.
    ///
    /// An unknown key changes nothing and returns `false`.
    pub fn cancel(&mut self, key: TimerKey) -> bool {
        let was_pending = self.unlink(key.index());
        self.entries.remove(key.index());
        self.pending -= usize::from(was_pending);
        was_pending
    }

    /// Gives the timer another deadline, as [`insert`](Wheel::insert) takes it; a fired one is
    /// pending again. Returns `false`, and does nothing, if the key is unknown.
    ///
    /// Moving a deadline within its slot (a few ticks, when it is far away) touches only the timer.
    pub fn reset(&mut self, key: TimerKey, deadline: u32) -> bool {
        let at = key.index();
        let place = self.place_of(deadline);
        let Some(entry) = self.entries.get_mut(at) else { return false };
        let stays = entry.place == place
            && place.level().is_some_and(|level| slot_of(entry.deadline, level) == slot_of(deadline, level));
        if stays {
            entry.deadline = deadline;
            return true;
        }
        let was_pending = self.unlink(at);
        self.link(at, deadline);
        self.pending += usize::from(!was_pending);
        true
    }

    /// The timer's payload, or `None` if the key is unknown.
    pub fn payload(&self, key: TimerKey) -> Option<W> {
        self.entries.get(key.index()).map(|entry| entry.payload)
    }

    /// Changes the timer's payload. Returns `false`, and does nothing, if the key is unknown.
    pub fn set_payload(&mut self, key: TimerKey, payload: W) -> bool {
        self.entries.get_mut(key.index()).map(|entry| entry.payload = payload).is_some()
    }

    /// Whether the timer is pending or has fired; `None` if the key is unknown.
    pub fn state(&self, key: TimerKey) -> Option<State> {
        self.entries.get(key.index()).map(Entry::state)
    }

    /// Whether the timer exists and has yet to fire.
    pub fn is_pending(&self, key: TimerKey) -> bool {
        self.state(key) == Some(State::Pending)
    }

    /// The tick at which [`advance`](Wheel::advance) should next be called, or `None` if no timer is
    /// pending.
    ///
    /// Never later than the earliest deadline. Exact if that is one of the current 256 ticks, or shares
    /// its slot with few others, so that a shard with little to do is not woken for nothing. Else it is
    /// the tick at which the slot cascades, which happens at most three times on the way to a deadline.
    pub fn next_expiry(&self) -> Option<u32> {
        if self.due.head != NONE || self.draining.is_some_and(|place| self.draining_head(place) != NONE) {
            return Some(self.elapsed);
        }
        let (tick, place) = self.next_slot()?;
        let level = place.level()?;
        let head = self.levels[level].heads[slot_of(tick, level)];
        Some(self.earliest_of_few(head).unwrap_or(tick))
    }

    /// Moves time on to the tick `now` and fires what is due by then. Returns whether more is due,
    /// in which case call again soon, with this tick or a later one.
    ///
    /// `fired` gets the key and the payload of each timer, and its state is [`State::Fired`] from then
    /// on. No timer fires before its deadline. They fire in the order of their ticks, except that those
    /// inserted after their deadline may fire ahead of others, and get no more than half the budget
    /// while others are due; within a tick the order is unspecified.
    ///
    /// At most `budget` timers are touched, which includes those that cascade, so a call takes bounded
    /// time even if a million timers share a slot. A `now` before the last one fires nothing but what
    /// was due already.
    pub fn advance(&mut self, now: u32, budget: usize, mut fired: impl FnMut(TimerKey, W)) -> bool {
        let for_slots = budget.div_ceil(2);
        let left = self.fire_due(budget - for_slots, &mut fired);
        let went_back = self.pending > 0 && is_after(self.elapsed, now);
        let now = if went_back { self.elapsed } else { now };
        let left = self.turn_to(now, left + for_slots, &mut fired);
        self.fire_due(left, &mut fired);
        self.next_expiry().is_some_and(|tick| !is_after(tick, now))
    }

    /// Number of timers, pending and fired.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no timers at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of timers that have yet to fire.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// All timers, for diagnostics: key, deadline, state and payload.
    pub fn iter(&self) -> impl Iterator<Item = (TimerKey, u32, State, W)> {
        self.entries
            .iter()
            .map(|(at, entry)| (TimerKey::new(at), entry.deadline, entry.state(), entry.payload))
    }

    /// One more than the greatest place that a timer may have, for [`Wheel::at`].
    pub(crate) fn end(&self) -> u32 {
        self.entries.end()
    }

    /// The timer in a place, for who goes through them a part at a time: deadline, state and payload.
    pub(crate) fn at(&self, place: u32) -> Option<(u32, State, W)> {
        self.entries.get(place).map(|entry| (entry.deadline, entry.state(), entry.payload))
    }

    /// Fires timers that were late from the start; returns what is left of the budget.
    fn fire_due(&mut self, mut left: usize, fired: &mut impl FnMut(TimerKey, W)) -> usize {
        while left > 0 && self.due.head != NONE {
            self.fire(self.due.head, fired);
            left -= 1;
        }
        left
    }

    /// Drains slot after slot up to the tick `now`; returns what is left of the budget.
    fn turn_to(&mut self, now: u32, mut left: usize, fired: &mut impl FnMut(TimerKey, W)) -> usize {
        while let Some(at) = self.next_to_drain(now) {
            if left == 0 {
                break;
            }
            left -= 1;
            if is_after(self.entry(at).deadline, self.elapsed) {
                self.cascade(at);
            } else {
                self.fire(at, fired);
            }
        }
        left
    }

    /// The next entry in a slot that time has reached. Moves `elapsed` to that slot, or to `now` if
    /// nothing is left before.
    fn next_to_drain(&mut self, now: u32) -> Option<u32> {
        if let Some(place) = self.draining {
            match self.draining_head(place) {
                NONE => self.draining = None,
                head => return Some(head),
            }
        }
        match self.next_slot() {
            Some((tick, place)) if !is_after(tick, now) => {
                self.elapsed = tick;
                self.draining = Some(place);
                Some(self.draining_head(place))
            }
            _ => {
                self.elapsed = now;
                None
            }
        }
    }

    fn draining_head(&self, place: Place) -> u32 {
        place.level().map_or(NONE, |level| self.levels[level].heads[slot_of(self.elapsed, level)])
    }

    /// The first slot after the current tick that has timers: its first tick, and its level.
    fn next_slot(&self) -> Option<(u32, Place)> {
        let first = |(level, place): (usize, Place)| {
            let slot = self.levels[level].first_from(slot_of(self.elapsed, level))?;
            Some((start_of(self.elapsed, level, slot), place))
        };
        Place::LEVELS.into_iter().enumerate().find_map(first)
    }

    /// The earliest deadline in a list, or `None` if the list is too long to look.
    fn earliest_of_few(&self, head: u32) -> Option<u32> {
        let (mut at, mut earliest) = (head, self.entry(head).deadline);
        for _ in 0..FEW {
            let entry = self.entry(at);
            if is_after(earliest, entry.deadline) {
                earliest = entry.deadline;
            }
            at = entry.next;
            if at == NONE {
                return Some(earliest);
            }
        }
        None
    }

    fn cascade(&mut self, at: u32) {
        let deadline = self.entry(at).deadline;
        self.unlink(at);
        self.link(at, deadline);
    }

    fn fire(&mut self, at: u32, fired: &mut impl FnMut(TimerKey, W)) {
        self.unlink(at);
        self.pending -= 1;
        fired(TimerKey::new(at), self.entry(at).payload);
    }

    fn place_of(&self, deadline: u32) -> Place {
        if !is_after(deadline, self.elapsed) {
            return Place::Due;
        }
        let highest_bit = (deadline ^ self.elapsed).ilog2() as usize;
        Place::LEVELS[highest_bit / 8]
    }

    /// Puts an entry that is on no list where its deadline belongs.
    fn link(&mut self, at: u32, deadline: u32) {
        let place = self.place_of(deadline);
        let (prev, next) = match place.level() {
            Some(level) => (NONE, self.levels[level].push(slot_of(deadline, level), at)),
            None => (std::mem::replace(&mut self.due.tail, at), NONE),
        };
        if next != NONE {
            self.entry_mut(next).prev = at;
        }
        if place == Place::Due {
            match prev {
                NONE => self.due.head = at,
                prev => self.entry_mut(prev).next = at,
            }
        }
        let entry = self.entry_mut(at);
        (entry.deadline, entry.place, entry.prev, entry.next) = (deadline, place, prev, next);
    }

    /// Takes an entry off its list and marks it fired. Returns whether it was on one.
    fn unlink(&mut self, at: u32) -> bool {
        let Some(entry) = self.entries.get_mut(at) else { return false };
        let (place, prev, next, deadline) = (entry.place, entry.prev, entry.next, entry.deadline);
        if place == Place::Fired {
            return false;
        }
        entry.place = Place::Fired;
        match (prev, place.level()) {
            (NONE, Some(level)) => self.levels[level].set_head(slot_of(deadline, level), next),
            (NONE, None) => self.due.head = next,
            (prev, _) => self.entry_mut(prev).next = next,
        }
        match (next, place) {
            (NONE, Place::Due) => self.due.tail = prev,
            (NONE, _) => {}
            (next, _) => self.entry_mut(next).prev = prev,
        }
        true
    }

    fn entry(&self, at: u32) -> &Entry<W> {
        self.entries.get(at).expect("lists hold entries that exist")
    }

    fn entry_mut(&mut self, at: u32) -> &mut Entry<W> {
        self.entries.get_mut(at).expect("lists hold entries that exist")
    }
}

impl TimerKey {
    fn new(at: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(at))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }
}

impl<W> Entry<W> {
    fn state(&self) -> State {
        if self.place == Place::Fired { State::Fired } else { State::Pending }
    }
}

impl Place {
    const LEVELS: [Self; LEVELS] = [Self::Level0, Self::Level1, Self::Level2, Self::Level3];

    fn level(self) -> Option<usize> {
        (self < Self::Due).then_some(self as usize)
    }
}

impl Level {
    const fn new() -> Self {
        Self { occupied: [0; WORDS], heads: [NONE; SLOTS] }
    }

    /// Puts an entry first in a slot and returns the one that was.
    fn push(&mut self, slot: usize, at: u32) -> u32 {
        self.occupied[slot / 64] |= 1 << (slot % 64);
        std::mem::replace(&mut self.heads[slot], at)
    }

    fn set_head(&mut self, slot: usize, at: u32) {
        self.heads[slot] = at;
        if at == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// The first slot with timers at or after `from`, around the end; on the highest level deadlines
    /// after the wrap stand before the current slot.
    fn first_from(&self, from: usize) -> Option<usize> {
        let (word, bit) = (from / 64, from % 64);
        let at_or_after = self.occupied[word] & (u64::MAX << bit);
        if at_or_after != 0 {
            return Some(word * 64 + at_or_after.trailing_zeros() as usize);
        }
        // The last step comes back to the first word, of which only the bits before `from` are left.
        (1..=WORDS).map(|step| (word + step) % WORDS).find_map(|word| {
            let bits = self.occupied[word];
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

/// Whether tick `a` comes after tick `b`, across the wrap.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

fn slot_of(tick: u32, level: usize) -> usize {
    (tick >> (8 * level)) as usize % SLOTS
}

/// The first tick of a slot: the current tick's higher bytes, the slot, and zeros below.
fn start_of(now: u32, level: usize, slot: usize) -> u32 {
    let above = u32::MAX.checked_shl(8 * (level as u32 + 1)).unwrap_or(0);
    (now & above) | ((slot as u32) << (8 * level))
}

#[cfg(test)]
mod tests;

use super::*;
use crate::slab::slot_size;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NO_LIMIT: usize = usize::MAX;

/// Advances without a limit and returns the payloads fired, in order.
fn fired<W: Copy>(wheel: &mut Wheel<W>, now: u32) -> Vec<W> {
    let mut payloads = Vec::new();
    assert!(!wheel.advance(now, NO_LIMIT, |_, payload| payloads.push(payload)));
    payloads
}

#[test]
fn a_timer_takes_twenty_bytes() {
    assert!(size_of::<Entry<u32>>() <= 20);
    assert!(slot_size::<Entry<u32>>() <= 20, "the free list must fit into the entry");
    assert_eq!(size_of::<Option<TimerKey>>(), 4);
    assert!(size_of::<Level>() * LEVELS + size_of::<Wheel<u32>>() <= 4400);
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_before() {
    for distance in [1, 2, 255, 256, 257, 65_535, 65_536, 1 << 24, (1 << 24) + 1, i32::MAX as u32] {
        for start in [0_u32, 1, 255, 256, 0xff_ffff, 0x7fff_ffff, 0xffff_ff00, u32::MAX] {
            let deadline = start.wrapping_add(distance);
            let mut wheel = Wheel::new(start);
            wheel.insert(deadline, ());
            assert_eq!(fired(&mut wheel, deadline.wrapping_sub(1)).len(), 0, "{start} + {distance}");
            assert_eq!(fired(&mut wheel, deadline).len(), 1, "{start} + {distance}");
        }
    }
}

#[test]
fn a_passed_deadline_fires_at_the_next_advance() {
    let mut wheel = Wheel::new(100);
    wheel.insert(100, "now");
    wheel.insert(7, "past");
    assert_eq!(wheel.next_expiry(), Some(100));
    assert_eq!(fired(&mut wheel, 100), ["now", "past"]);
    assert_eq!(wheel.next_expiry(), None);
}

#[test]
fn ticks_fire_in_order_across_levels_and_the_wrap() {
    let start = u32::MAX - 1000;
    let mut wheel = Wheel::new(start);
    let distances = [70_000, 3, 900, 1_001, 1 << 25, 256, 1_500, 1_000];
    distances.iter().for_each(|&distance| _ = wheel.insert(start.wrapping_add(distance), distance));
    let mut sorted = distances.to_vec();
    sorted.sort_unstable();
    assert_eq!(fired(&mut wheel, start.wrapping_add(1 << 26)), sorted);
}

#[test]
fn a_fired_timer_keeps_its_key_until_it_is_cancelled() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(5, 'a');
    assert_eq!(fired(&mut wheel, 5), ['a']);
    assert_eq!((wheel.state(key), wheel.len(), wheel.pending()), (Some(State::Fired), 1, 0));
    assert_ne!(wheel.insert(9, 'b'), key);
    assert!(!wheel.cancel(key), "it was not pending");
    assert_eq!((wheel.state(key), wheel.len()), (None, 1));
    assert_eq!(wheel.insert(9, 'c'), key, "free again");
}

#[test]
fn reset_revives_a_fired_timer_and_moves_a_pending_one() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(5, 1);
    fired(&mut wheel, 5);
    assert!(wheel.reset(key, 50) && wheel.is_pending(key));
    assert!(wheel.reset(key, 70_000) && wheel.reset(key, 70_001), "elsewhere, then within the slot");
    assert!(fired(&mut wheel, 70_000).is_empty());
    assert_eq!(fired(&mut wheel, 70_001), [1]);
}

#[test]
fn an_unknown_key_is_refused() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(5, 1);
    assert!(wheel.set_payload(key, 2));
    assert_eq!(wheel.payload(key), Some(2));
    assert!(wheel.cancel(key));
    assert!(!wheel.cancel(key) && !wheel.reset(key, 9) && !wheel.set_payload(key, 3));
    assert_eq!((wheel.payload(key), wheel.state(key), wheel.next_expiry()), (None, None, None));
}

#[test]
fn a_cascade_is_bounded_by_the_budget() {
    let mut wheel = Wheel::new(0);
    (0..1000).for_each(|n| _ = wheel.insert(300, n));
    let mut count = 0;
    assert!(wheel.advance(299, 600, |_, _| count += 1), "half of them have cascaded");
    assert_eq!((count, wheel.next_expiry()), (0, Some(256)));
    assert!(!wheel.advance(299, 600, |_, _| count += 1));
    assert_eq!((count, wheel.next_expiry()), (0, Some(300)));
    assert!(wheel.advance(300, 999, |_, _| count += 1));
    assert!(!wheel.advance(300, 999, |_, _| count += 1));
    assert_eq!(count, 1000);
}

#[test]
fn timers_in_a_half_drained_slot_can_be_cancelled_and_reset() {
    let mut wheel = Wheel::new(0);
    let keys: Vec<_> = (0..10).map(|n| wheel.insert(300, n)).collect();
    assert!(wheel.advance(299, 5, |_, _| ()));
    wheel.insert(257, 100);
    keys[..4].iter().for_each(|&key| assert!(wheel.cancel(key)));
    keys[4..6].iter().for_each(|&key| assert!(wheel.reset(key, 258)));
    assert_eq!(fired(&mut wheel, 299)[0], 100, "the cascade is finished before time goes on");
    assert_eq!(fired(&mut wheel, 300).len(), 4);
}

#[test]
fn late_inserts_cannot_starve_the_slots() {
    let mut wheel = Wheel::new(0);
    (0..8).for_each(|_| _ = wheel.insert(1, "slot"));
    let mut seen = Vec::new();
    for _ in 0..4 {
        (0..8).for_each(|_| _ = wheel.insert(0, "late"));
        assert!(wheel.advance(2, 4, |_, payload| seen.push(payload)));
    }
    assert_eq!(seen.iter().filter(|payload| **payload == "slot").count(), 8);
}

#[test]
fn time_that_goes_back_fires_nothing_and_an_empty_wheel_accepts_any_time() {
    let mut wheel = Wheel::new(1024);
    let far = wheel.insert(1200, ());
    assert_eq!(fired(&mut wheel, 1000).len(), 0);
    let near = wheel.insert(1030, ());
    assert_eq!(wheel.next_expiry(), Some(1030));
    assert_eq!(fired(&mut wheel, 1029).len(), 0);
    assert!(wheel.cancel(far) && wheel.cancel(near));
    fired(&mut wheel, 900);
    wheel.insert(901, ());
    assert_eq!(wheel.next_expiry(), Some(901));
}

#[derive(Clone, Debug)]
enum Op {
    Insert(i64),
    Cancel(usize),
    Reset(usize, i64),
    Advance(u32, usize),
}

/// Ticks ahead, of every magnitude, with the edges of the levels likelier than chance.
fn distance() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..600_u32,
        2 => 0..200_000_u32,
        1 => 0..=i32::MAX as u32,
        1 => (0..4_u32, 0..3_u32).prop_map(|(level, near)| (1_u32 << (8 * level)) + near),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let deadline = || prop_oneof![6 => distance().prop_map(i64::from), 1 => -300..0_i64];
    let budget = prop_oneof![2 => Just(NO_LIMIT), 1 => 1..6_usize];
    prop_oneof![
        6 => deadline().prop_map(Op::Insert),
        1 => any::<usize>().prop_map(Op::Cancel),
        2 => (any::<usize>(), deadline()).prop_map(|(which, by)| Op::Reset(which, by)),
        4 => (distance(), budget).prop_map(|(by, budget)| Op::Advance(by, budget)),
    ]
}

/// A wheel beside a map from payload to deadline, which counts ticks without wrapping.
struct Pair {
    wheel: Wheel<u32>,
    pending: BTreeMap<u32, u64>,
    keys: Vec<Option<TimerKey>>,
    now: u64,
}

impl Pair {
    fn new(start: u32) -> Self {
        // A full turn ahead of zero, so that past deadlines are not negative.
        let now = u64::from(start) + (1 << 32);
        Self { wheel: Wheel::new(start), pending: BTreeMap::new(), keys: Vec::new(), now }
    }

    /// A deadline relative to the wheel's own time, which lags behind while the budget runs out.
    fn deadline(&self, by: i64) -> u64 {
        let lag = (self.now as u32).wrapping_sub(self.wheel.elapsed);
        (self.now - u64::from(lag)).checked_add_signed(by).unwrap()
    }

    fn insert(&mut self, by: i64) {
        let (id, deadline) = (self.keys.len() as u32, self.deadline(by));
        self.keys.push(Some(self.wheel.insert(deadline as u32, id)));
        self.pending.insert(id, deadline);
    }

    fn cancel(&mut self, which: usize) {
        if let Some(id) = which.checked_rem(self.keys.len())
            && let Some(key) = self.keys[id].take()
        {
            assert_eq!(self.wheel.payload(key), Some(id as u32));
            assert_eq!(self.wheel.cancel(key), self.pending.remove(&(id as u32)).is_some());
        }
    }

    fn reset(&mut self, which: usize, by: i64) {
        if let Some(id) = which.checked_rem(self.keys.len())
            && let Some(key) = self.keys[id]
        {
            let deadline = self.deadline(by);
            assert!(self.wheel.reset(key, deadline as u32));
            self.pending.insert(id as u32, deadline);
        }
    }

    fn advance(&mut self, by: u32, budget: usize) {
        let lag = (self.now as u32).wrapping_sub(self.wheel.elapsed);
        self.now += u64::from(by.min(i32::MAX as u32 - lag));
        let (mut count, mut last) = (0, 0);
        let (late, wheel_time) = (self.wheel.due.head != NONE, self.deadline(0));
        let more = self.wheel.advance(self.now as u32, budget, |key, id| {
            let deadline = self.pending.remove(&id).expect("a timer fires once");
            assert_eq!(self.keys[id as usize], Some(key));
            assert!(deadline <= self.now, "fired early");
            assert!(late || deadline >= last || deadline <= wheel_time, "fired out of order");
            (count, last) = (count + 1, deadline);
        });
        assert!(count <= budget);
        let is_due = self.pending.values().any(|deadline| *deadline <= self.now);
        assert!(more || !is_due, "something due was forgotten");
        assert!(!more || budget != NO_LIMIT);
    }

    fn check(&self) {
        assert_eq!(self.wheel.pending(), self.pending.len());
        assert_eq!(self.wheel.len(), self.keys.iter().flatten().count());
        for (id, key) in self.keys.iter().enumerate() {
            let is_pending = self.pending.contains_key(&(id as u32));
            assert_eq!(key.is_some_and(|key| self.wheel.is_pending(key)), is_pending);
        }
        let earliest = self.pending.values().min().map(|deadline| (*deadline).max(self.deadline(0)));
        match (self.wheel.next_expiry(), earliest) {
            (Some(tick), Some(earliest)) => {
                assert!(!is_after(tick, earliest as u32), "would wake too late");
                let near = earliest >> 8 == self.deadline(0) >> 8;
                let exact = (near || self.pending.len() <= FEW) && self.wheel.draining.is_none();
                assert!(!exact || tick == earliest as u32, "would wake too early");
            }
            (tick, earliest) => assert_eq!(tick.is_some(), earliest.is_some()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn it_behaves_like_a_sorted_map(
        start in prop_oneof![any::<u32>(), (0..70_000_u32).prop_map(|before| u32::MAX - before)],
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let mut pair = Pair::new(start);
        for op in ops {
            match op {
                Op::Insert(by) => pair.insert(by),
                Op::Cancel(which) => pair.cancel(which),
                Op::Reset(which, by) => pair.reset(which, by),
                Op::Advance(by, budget) => pair.advance(by, budget),
            }
            pair.check();
        }
        // Every timer fires, in a bounded number of steps of the size the wheel asks for.
        for _ in 0..5 * pair.pending.len() {
            let Some(tick) = pair.wheel.next_expiry() else { break };
            let ahead = tick.wrapping_sub(pair.now as u32).cast_signed().max(0);
            pair.advance(ahead.cast_unsigned(), NO_LIMIT);
        }
        prop_assert!(pair.pending.is_empty());
    }
}

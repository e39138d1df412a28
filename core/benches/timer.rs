//! The timer wheel with a million timers in it: what one operation costs.
//!
//! Deadlines are spread over two minutes of millisecond ticks, as idle and request timeouts are, and
//! keys are taken at random, so that the figures include the cache misses of a large server.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakh_core::timer::{TimerKey, Wheel};
use std::hint::black_box;

const TIMERS: usize = 1_000_000;
const SPREAD: u32 = 120_000;

/// Marsaglia's xorshift: cheap enough not to show.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn deadline(&mut self, now: u32) -> u32 {
        now.wrapping_add(1 + self.next() % SPREAD)
    }
}

fn full_wheel(random: &mut Random) -> (Wheel<u32>, Vec<TimerKey>) {
    let mut wheel = Wheel::new(0);
    let keys = (0..TIMERS as u32).map(|id| wheel.insert(random.deadline(0), id)).collect();
    (wheel, keys)
}

fn operations(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer/1M");
    let mut random = Random(2_463_534_242);
    let (mut wheel, mut keys) = full_wheel(&mut random);

    group.bench_function("insert_then_cancel_same", |b| {
        b.iter(|| {
            let key = wheel.insert(random.deadline(0), 0);
            wheel.cancel(black_box(key))
        });
    });
    group.bench_function("cancel_random_then_insert", |b| {
        b.iter(|| {
            let at = random.next() as usize % keys.len();
            wheel.cancel(keys[at]);
            keys[at] = wheel.insert(random.deadline(0), 0);
        });
    });
    group.bench_function("reset_random", |b| {
        b.iter(|| {
            let at = random.next() as usize % keys.len();
            wheel.reset(keys[at], random.deadline(0))
        });
    });
    group.bench_function("next_expiry", |b| b.iter(|| black_box(&wheel).next_expiry()));
    group.finish();
}

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer/bulk of 1M");
    group.sample_size(10).throughput(Throughput::Elements(TIMERS as u64));
    let mut random = Random(2_463_534_242);

    group.bench_function("insert", |b| b.iter_with_large_drop(|| full_wheel(&mut random)));
    group.bench_function("cancel", |b| {
        b.iter_batched_ref(
            || full_wheel(&mut random),
            |(wheel, keys)| keys.iter().for_each(|&key| _ = black_box(wheel.cancel(key))),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("fire, one tick at a time", |b| {
        b.iter_batched_ref(
            || full_wheel(&mut random).0,
            |wheel| {
                (1..=SPREAD).for_each(|now| _ = wheel.advance(now, usize::MAX, |_, id| _ = black_box(id)))
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The steady state of a server: a thousand timers fire per tick and are set again.
fn steady(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer/1M");
    let mut random = Random(2_463_534_242);
    let (mut wheel, _) = full_wheel(&mut random);
    let mut now = 0_u32;
    let mut fired = Vec::new();
    let mut pop = move || {
        while fired.is_empty() {
            now = now.wrapping_add(1);
            wheel.advance(now, usize::MAX, |key, _| fired.push(key));
        }
        fired.pop().map(|key| wheel.reset(key, random.deadline(now)))
    };
    group.bench_function("fire_and_reset_one", |b| b.iter(&mut pop));
    group.finish();
}

criterion_group!(benches, operations, steady, bulk);
criterion_main!(benches);

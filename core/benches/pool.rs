//! What it costs to hand work to the pool and to get the answer back.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakh_core::block_on;
use lakh_core::histogram::Histogram;
use lakh_core::pool::{Job, Lane, Pool, PoolConfig};

/// A job of the pool of the shard that calls this.
fn submit() -> Job<i32> {
    lakh_core::with(|shard| shard.pool().run(Lane::USER, || black_box(1))).expect("room")
}

/// Submits so many jobs at once, then awaits them, on a shard that has nothing else to do. The first duration
/// is what the submits alone took, the second is all.
fn time_jobs<const JOBS: usize>(rounds: u64) -> (Duration, Duration) {
    let rounds = async move {
        let (mut submits, begun) = (Duration::ZERO, Instant::now());
        for _ in 0..rounds {
            let submitting = Instant::now();
            let jobs: [Job<i32>; JOBS] = std::array::from_fn(|_| submit());
            submits += submitting.elapsed();
            for job in jobs {
                job.await.expect("a result");
            }
        }
        (submits, begun.elapsed())
    };
    block_on(rounds).expect("a shard")
}

fn pool(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(1));
    group.bench_function("round trip of one job", |b| b.iter_custom(|rounds| time_jobs::<1>(rounds).1));
    group.bench_function("submit 1 job", |b| b.iter_custom(|rounds| time_jobs::<1>(rounds).0));
    group.throughput(Throughput::Elements(64));
    group.bench_function("round trip of 64 jobs", |b| b.iter_custom(|rounds| time_jobs::<64>(rounds).1));
    group.bench_function("submit 64 jobs", |b| b.iter_custom(|rounds| time_jobs::<64>(rounds).0));
    group.finish();
}

fn cancel(c: &mut Criterion) {
    let pool = Pool::new(PoolConfig::new(1)).expect("a pool");
    let (held, gate) = std::sync::mpsc::channel::<()>();
    pool.run(Lane::CPU, move || gate.recv().is_ok()).expect("room").detach();
    c.bench_function("pool/submit and cancel behind a busy worker", |b| {
        b.iter_batched(|| (), |()| drop(pool.run(Lane::CPU, || ())), BatchSize::SmallInput);
    });
    drop(held);
}

fn histogram(c: &mut Criterion) {
    let histogram = Histogram::new();
    let mut value = 1_u64;
    c.bench_function("histogram/record", |b| {
        b.iter(|| {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 20;
            histogram.record(value);
        });
    });
}

criterion_group!(benches, pool, cancel, histogram);
criterion_main!(benches);

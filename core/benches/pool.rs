//! What it costs to hand work to the pool and to get the answer back.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakh_core::histogram::Histogram;
use lakh_core::pool::{Job, Lane, Pool, PoolConfig};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn pool(c: &mut Criterion) {
    let pool = Pool::new(PoolConfig::new(1)).expect("a pool");
    let submit = || pool.run(Lane::USER, || black_box(1)).expect("room");

    c.bench_function("pool/round trip of one job", |b| b.iter(|| block_on(submit()).expect("a result")));

    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(64));
    group.bench_function("round trip of 64 queued jobs", |b| {
        b.iter(|| {
            let jobs: [Job<i32>; 64] = std::array::from_fn(|_| submit());
            for job in jobs {
                block_on(job).expect("a result");
            }
        });
    });
    group.bench_function("submit 64 jobs", |b| b.iter_custom(|rounds| time_submits::<64>(&pool, rounds)));
    group.throughput(Throughput::Elements(1));
    group.bench_function("submit 1 job", |b| b.iter_custom(|rounds| time_submits::<1>(&pool, rounds)));
    group.finish();
}

/// What the shard itself pays: the submits alone; the answers are awaited outside the clock.
fn time_submits<const JOBS: usize>(pool: &Pool, rounds: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let begun = Instant::now();
        let jobs: [Job<i32>; JOBS] = std::array::from_fn(|_| pool.run(Lane::USER, || 1).expect("room"));
        spent += begun.elapsed();
        for job in jobs {
            block_on(job).expect("a result");
        }
    }
    spent
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

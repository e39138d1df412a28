//! What files by the pool cost beside files on the thread that calls.

use std::{
    fs,
    hint::black_box,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakh_core::block_on;

const SMALL: usize = 4096;
const LONG: usize = 64 << 20;

/// Runs so many rounds on a shard that has nothing else to do.
fn on_a_shard<F>(rounds: u64, round: impl Fn() -> F + 'static) -> Duration
where
    F: Future + 'static,
{
    let rounds = async move {
        let begun = Instant::now();
        for _ in 0..rounds {
            black_box(round().await);
        }
        begun.elapsed()
    };
    block_on(rounds).expect("a shard")
}

/// Reads by a thread of its own that is asked by a channel, which is what a pool without a pool would be.
fn by_a_thread(rounds: u64, path: &Path) -> Duration {
    let (ask, asked) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let path = path.to_owned();
    let reader = thread::spawn(move || asked.iter().try_for_each(|()| tell.send(fs::read(&path))));
    let begun = Instant::now();
    for _ in 0..rounds {
        ask.send(()).expect("the thread");
        black_box(told.recv().expect("the thread").expect("a file"));
    }
    let took = begun.elapsed();
    drop(ask);
    reader.join().expect("no panic").expect("nobody has left");
    took
}

fn reading(c: &mut Criterion) {
    let temp = tempfile::tempdir().expect("a folder");
    let path = temp.path().join("small");
    fs::write(&path, vec![7; SMALL]).expect("a file");
    let many: Vec<_> = (0..64).map(|number| temp.path().join(number.to_string())).collect();
    many.iter().for_each(|path| fs::write(path, vec![7; SMALL]).expect("a file"));

    let mut group = c.benchmark_group("read a file of 4 KiB");
    group.throughput(Throughput::Elements(1));
    group.bench_function("std::fs::read", |b| b.iter(|| fs::read(black_box(&path)).expect("a file")));
    group.bench_function("by a thread and two channels", |b| {
        b.iter_custom(|rounds| by_a_thread(rounds, &path))
    });
    group.bench_function("lakh::fs::read", |b| {
        b.iter_custom(|rounds| {
            let path = path.clone();
            on_a_shard(rounds, move || lakh_core::fs::read(path.clone(), SMALL))
        })
    });
    group.bench_function("lakh::fs::File::read_at", |b| {
        b.iter_custom(|rounds| {
            let path = path.clone();
            let rounds = async move {
                let file = lakh_core::fs::File::open(&path).await.expect("a file");
                let begun = Instant::now();
                for _ in 0..rounds {
                    black_box(file.read_at(0, SMALL).await.expect("a file"));
                }
                begun.elapsed()
            };
            block_on(rounds).expect("a shard")
        })
    });
    group.throughput(Throughput::Elements(64));
    group.bench_function("lakh::fs::read_many, 64 of them", |b| {
        b.iter_custom(|rounds| {
            let many = many.clone();
            on_a_shard(rounds, move || lakh_core::fs::read_many(many.clone(), SMALL))
        })
    });
    group.finish();
}

fn copying(c: &mut Criterion) {
    let temp = tempfile::tempdir().expect("a folder");
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    fs::write(&from, vec![7; LONG]).expect("a file");
    let mut group = c.benchmark_group("copy a file of 64 MiB");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(LONG as u64));
    group.bench_function("std::fs::copy", |b| b.iter(|| fs::copy(&from, &to).expect("room")));
    group.bench_function("lakh::fs::copy", |b| {
        b.iter_custom(|rounds| {
            let (from, to) = (from.clone(), to.clone());
            on_a_shard(rounds, move || lakh_core::fs::copy(from.clone(), to.clone()))
        })
    });
    group.finish();
}

criterion_group!(benches, reading, copying);
criterion_main!(benches);

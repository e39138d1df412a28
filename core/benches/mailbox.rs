//! What a message to a shard costs its sender, and how long an answer takes.

use criterion::{Criterion, criterion_group, criterion_main};
use lakh_core::{Runtime, ShardHandle, yield_now};
use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A shard that sleeps between messages, or one that never does.
fn start(awake: bool) -> (Runtime, ShardHandle) {
    let runtime = Runtime::builder()
        .shards(1)
        .start(move |shard| {
            if awake {
                shard.spawn_detached(async {
                    loop {
                        yield_now().await;
                    }
                });
            }
            Ok(())
        })
        .expect("a shard");
    let handle = runtime.shards().next().expect("one").clone();
    (runtime, handle)
}

/// Sends, as often as it takes: a full mailbox is part of the cost.
fn send(handle: &ShardHandle, run: &Arc<AtomicU64>) {
    loop {
        let run = Arc::clone(run);
        if handle.send(move |_| _ = run.fetch_add(1, Ordering::Release)).is_ok() {
            return;
        }
        hint::spin_loop();
    }
}

fn round_trip(handle: &ShardHandle, run: &Arc<AtomicU64>) {
    let before = run.load(Ordering::Acquire);
    send(handle, run);
    while run.load(Ordering::Acquire) == before {
        hint::spin_loop();
    }
}

fn mailbox(c: &mut Criterion) {
    for (state, awake) in [("awake", true), ("asleep", false)] {
        let (runtime, handle) = start(awake);
        let run = Arc::new(AtomicU64::new(0));
        c.bench_function(&format!("mailbox/round trip, shard {state}"), |b| {
            b.iter(|| round_trip(&handle, &run));
        });
        c.bench_function(&format!("mailbox/send as fast as it is run, shard first {state}"), |b| {
            b.iter(|| send(&handle, &run));
        });
        drop(runtime);
    }
}

criterion_group!(benches, mailbox);
criterion_main!(benches);

//! What a wake costs: at home and from another thread, to an awake shard and to a sleeping one.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakh_core::{block_on, spawn, spawn_detached, yield_now};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    hint,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Tasks that share a turn, so that its call to the kernel is spread thin.
const MANY: u64 = 256;

/// A task's own wake, and the poll that follows.
fn wakes_itself(tasks: u64, iterations: u64) -> Duration {
    block_on(async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                spawn(async move {
                    for _ in 0..iterations {
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("the task ends");
        }
        start.elapsed()
    })
    .expect("a shard")
}

/// A task wakes its neighbour, all around a ring; `MANY` tokens go around at once.
fn wakes_its_neighbour(iterations: u64) -> Duration {
    #[derive(Default)]
    struct Seat {
        token: Cell<bool>,
        waker: RefCell<Option<Waker>>,
    }
    block_on(async move {
        let ring: Rc<Vec<Seat>> = Rc::new((0..MANY).map(|_| Seat::default()).collect());
        let passes = Rc::new(Cell::new(0));
        for i in 0..ring.len() {
            let (ring, passes) = (Rc::clone(&ring), Rc::clone(&passes));
            spawn_detached(poll_fn(move |cx| {
                let mut waker = ring[i].waker.borrow_mut();
                waker.get_or_insert_with(|| cx.waker().clone());
                drop(waker);
                if ring[i].token.take() {
                    passes.set(passes.get() + 1);
                    let next = &ring[(i + 1) % ring.len()];
                    next.token.set(true);
                    next.waker.borrow().as_ref().inspect(|waker| waker.wake_by_ref());
                }
                Poll::Pending
            }));
        }
        yield_now().await;
        let start = Instant::now();
        // Every second seat, so that no wake finds its task queued already.
        for seat in ring.iter().step_by(2) {
            seat.token.set(true);
            seat.waker.borrow().as_ref().inspect(|waker| waker.wake_by_ref());
        }
        while passes.get() < iterations * MANY {
            yield_now().await;
        }
        let elapsed = start.elapsed();
        ring.iter().for_each(|seat| _ = seat.waker.take());
        elapsed
    })
    .expect("a shard")
}

/// A shard with `MANY` tasks that do nothing when they are woken.
struct Target {
    wakers: Vec<Waker>,
    polls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Target {
    fn start(awake: bool) -> Self {
        let (give, wakers) = mpsc::channel();
        let (polls, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counts, stops) = (Arc::clone(&polls), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let body = async move {
                for _ in 0..MANY {
                    let (give, counts) = (give.clone(), Arc::clone(&counts));
                    let mut given = false;
                    spawn_detached(poll_fn(move |cx| {
                        if !std::mem::replace(&mut given, true) {
                            give.send(cx.waker().clone()).expect("the bench waits");
                        }
                        counts.fetch_add(1, Ordering::Release);
                        Poll::Pending
                    }));
                }
                poll_fn(|cx| {
                    let _ = give.send(cx.waker().clone());
                    Poll::Ready(())
                })
                .await;
                while !stops.load(Ordering::Relaxed) {
                    if awake {
                        yield_now().await;
                    } else {
                        let mut woken = false;
                        poll_fn(|_| match std::mem::replace(&mut woken, true) {
                            true => Poll::Ready(()),
                            false => Poll::Pending,
                        })
                        .await;
                    }
                }
            };
            block_on(body).expect("a shard");
        });
        // The first is that of the task that ends it all.
        let wakers = (0..=MANY).map(|_| wakers.recv().expect("a waker")).collect();
        Target { wakers, polls, stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wakers.iter().for_each(Waker::wake_by_ref);
        self.thread.join().expect("the shard ends");
    }

    /// Wakes one task and waits until it was polled.
    fn round_trip(&self) {
        let before = self.polls.load(Ordering::Acquire);
        self.wakers[1].wake_by_ref();
        while self.polls.load(Ordering::Acquire) == before {
            hint::spin_loop();
        }
    }
}

fn task(c: &mut Criterion) {
    c.bench_function("task/wake itself, alone in its turn", |b| {
        b.iter_custom(|iterations| wakes_itself(1, iterations));
    });
    let mut group = c.benchmark_group("task");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("wake itself, 256 in a turn", |b| {
        b.iter_custom(|iterations| wakes_itself(MANY, iterations));
    });
    group.bench_function("wake the neighbour, 128 in a turn", |b| b.iter_custom(wakes_its_neighbour));
    let target = Target::start(true);
    group.bench_function("wake 256 from another thread, shard awake, sender's cost", |b| {
        b.iter(|| target.wakers[1..].iter().for_each(Waker::wake_by_ref));
    });
    group.finish();
    c.bench_function("task/wake from another thread until polled, shard awake", |b| {
        b.iter(|| target.round_trip());
    });
    target.stop();
    let target = Target::start(false);
    c.bench_function("task/wake from another thread until polled, shard asleep", |b| {
        b.iter(|| target.round_trip());
    });
    target.stop();
}

criterion_group!(benches, task);
criterion_main!(benches);

//! Sleeps, timeouts and coarse timers. Real clocks: nothing here asserts that something is early
//! enough, only that nothing is too early, and the order.

use futures_core::Stream;
use lakh_core::{
    CoarseTimer, MissedTicks, POLL_BUDGET, PreciseTimer, Runtime, Sleep, block_on, current, drain_requested,
    interval, interval_at, sleep, sleep_until, spawn, spawn_detached, timeout, yield_now,
};
use std::{
    cell::Cell,
    future::{Future, pending, poll_fn, ready},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(3600);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_sleep_never_ends_early() {
    block_on(async {
        for micros in [0, 1, 500, 999, 1000, 1001, 1999, 2500, 7300] {
            let deadline = Instant::now() + Duration::from_micros(micros);
            sleep_until(deadline).await;
            assert!(Instant::now() >= deadline && current().now() >= deadline);
        }
    })
    .unwrap();
}

#[test]
fn a_precise_timer_never_ends_early_and_can_be_set_again() {
    block_on(async {
        let mut timer = PreciseTimer::new().unwrap();
        for micros in [0, 1, 50, 700, 1100, 50, 1] {
            let deadline = Instant::now() + Duration::from_micros(micros);
            poll_fn(|cx| timer.poll_at(deadline, cx)).await.unwrap();
            assert!(Instant::now() >= deadline);
        }
        // The later deadline replaces the one that was set before, and the earlier one the later.
        let (soon, later) = (Instant::now() + millis(1), Instant::now() + millis(5));
        let mut set = poll_fn(|cx| Poll::Ready(timer.poll_at(Instant::now() + LONG, cx).is_pending()));
        assert!((&mut set).await);
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            timer.poll_at(if polls == 1 { soon } else { later }, cx)
        })
        .await
        .unwrap();
        assert!(Instant::now() >= later && polls >= 2);
    })
    .unwrap();
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    struct Tells(u64, mpsc::Sender<u64>);
    impl Wake for Tells {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0).unwrap();
        }
    }
    let (tell, woken) = mpsc::channel();
    block_on(async move {
        let start = Instant::now();
        // All are set within one turn, so none has passed by then.
        let sleeps: Vec<_> = [30, 10, 20, 2, 40]
            .map(|delay| {
                let mut sleep = sleep_until(start + millis(delay));
                let waker = Waker::from(Arc::new(Tells(delay, tell.clone())));
                assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
                sleep
            })
            .into();
        sleep_until(start + millis(50)).await;
        drop((sleeps, tell));
    })
    .unwrap();
    assert_eq!(woken.iter().collect::<Vec<_>>(), [2, 10, 20, 30, 40]);
}

#[test]
fn thousands_of_sleeps_all_end_and_leave_nothing() {
    block_on(async {
        let tasks: Vec<_> = (0..10_000).map(|i| spawn(sleep(millis(i % 50)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        yield_now().await;
        assert_eq!(current().handle().metrics().timers(), 0);
    })
    .unwrap();
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    block_on(async {
        let metrics = current().handle();
        {
            let mut cancelled = sleep(LONG);
            poll_once(&mut cancelled).await;
            yield_now().await;
            assert_eq!(metrics.metrics().timers(), 1);
        }
        yield_now().await;
        assert_eq!(metrics.metrics().timers(), 0);
    })
    .unwrap();
}

async fn poll_once(sleep: &mut Sleep) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *sleep).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_sleep_can_be_moved_both_ways() {
    block_on(async {
        let mut sooner = sleep(LONG);
        poll_once(&mut sooner).await;
        sooner.reset(Instant::now());
        sooner.await;

        let mut later = sleep(millis(1));
        poll_once(&mut later).await;
        let deadline = Instant::now() + millis(20);
        later.reset(deadline);
        later.await;
        assert!(Instant::now() >= deadline);
    })
    .unwrap();
}

#[test]
fn a_sleep_moves_with_the_task_that_polls_it() {
    block_on(async {
        let mut moved = sleep(millis(5));
        poll_once(&mut moved).await;
        spawn(moved).await.unwrap();
    })
    .unwrap();
}

#[test]
fn endless_durations_do_not_overflow() {
    block_on(async {
        poll_once(&mut sleep(Duration::MAX)).await;
        assert!(timeout(Duration::MAX, ready(())).await.is_ok());
    })
    .unwrap();
}

#[test]
fn a_timeout_gives_the_output_or_drops_the_future() {
    block_on(async {
        let dropped = Rc::new(());
        let held = Rc::clone(&dropped);
        let never = async move {
            let _held = held;
            pending::<()>().await;
        };
        assert!(timeout(millis(1), never).await.is_err());
        assert_eq!(Rc::strong_count(&dropped), 1);
        assert_eq!(timeout(LONG, sleep(millis(1))).await, Ok(()));
        assert_eq!(timeout(Duration::ZERO, ready(1)).await, Ok(1), "a ready future wins");
    })
    .unwrap();
}

#[test]
fn a_coarse_timer_ends_in_its_second_or_later_and_moving_it_costs_no_timer() {
    block_on(async {
        let deadline = current().coarse_now() + 2;
        let mut timer = CoarseTimer::new();
        // Moved later at each poll, as a connection does with each request. All in one turn, so
        // that no second passes meanwhile.
        poll_fn(|cx| {
            for later in 0..100 {
                assert!(timer.poll_at(deadline - 1 + later, cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        yield_now().await;
        assert_eq!(current().handle().metrics().timers(), 1);
        poll_fn(|cx| timer.poll_at(deadline, cx)).await;
        assert!(current().coarse_now() >= deadline);
        drop(timer);
        yield_now().await;
        assert_eq!(current().handle().metrics().timers(), 0);
    })
    .unwrap();
}

#[test]
fn a_coarse_timer_moved_sooner_ends_sooner() {
    block_on(async {
        let mut timer = CoarseTimer::new();
        let start = current().coarse_now();
        let mut deadline = start + 3600;
        poll_fn(|cx| {
            let poll = timer.poll_at(deadline, cx);
            if deadline == start + 3600 {
                deadline = start + 1;
                return timer.poll_at(deadline, cx);
            }
            poll
        })
        .await;
        assert!(current().coarse_now() > start);
    })
    .unwrap();
}

#[test]
fn an_interval_ticks_when_it_is_due_and_not_before() {
    block_on(async {
        let start = Instant::now();
        let mut every = interval(millis(3));
        let first = every.deadline();
        assert!(first >= start + millis(3), "the first tick is after a period");
        for at in 0..5 {
            let due = every.tick().await;
            assert_eq!(due, first + millis(3) * at, "it does not drift");
            assert!(Instant::now() >= due);
        }
        // At once, if its start has passed.
        let mut past = interval_at(start, LONG);
        assert_eq!(past.tick().await, start);
        assert_eq!(past.deadline(), start + LONG);
        assert_eq!(past.period(), LONG);
    })
    .unwrap();
}

#[test]
fn an_interval_is_a_stream() {
    block_on(async {
        let mut every = pin!(interval(millis(1)));
        let mut last = Instant::now();
        for _ in 0..3 {
            let due = poll_fn(|cx| every.as_mut().poll_next(cx)).await.unwrap();
            assert!(due > last);
            last = due;
        }
    })
    .unwrap();
}

#[test]
fn an_interval_that_was_missed_does_as_it_was_told() {
    block_on(async {
        let start = Instant::now() - millis(47);
        let next = async |missed, ticks: u32| {
            let mut every = interval_at(start, millis(10)).missed_ticks(missed);
            for _ in 0..ticks {
                every.tick().await;
            }
            every.deadline()
        };
        // However late this is, those that were missed by now come first.
        for at in 1..5 {
            assert_eq!(next(MissedTicks::Burst, at).await, start + millis(10) * at);
        }
        let skipped = next(MissedTicks::Skip, 1).await;
        assert_eq!((skipped - start).as_nanos() % millis(10).as_nanos(), 0, "in the old rhythm");
        assert!(skipped > start + millis(40));
        let delayed = next(MissedTicks::Delay, 1).await;
        assert!(delayed >= start + millis(57), "a whole period after it was taken");
    })
    .unwrap();
}

#[test]
fn an_interval_that_is_reset_begins_anew() {
    block_on(async {
        let mut every = interval(LONG);
        assert!(timeout(millis(1), every.tick()).await.is_err());
        let soon = Instant::now() + millis(2);
        every.reset_at(soon);
        assert_eq!(every.tick().await, soon);
        assert_eq!(every.deadline(), soon + LONG);
        let before = Instant::now();
        every.reset();
        assert!(every.deadline() >= before + LONG);
    })
    .unwrap();
}

#[test]
fn an_interval_that_catches_up_lets_others_have_their_turn() {
    block_on(async {
        let mut every = interval_at(Instant::now() - Duration::from_secs(1), Duration::from_nanos(10));
        let ticks = Rc::new(Cell::new(0_u32));
        let theirs = Rc::clone(&ticks);
        // It is behind by a hundred million ticks, and for ever.
        spawn_detached(async move {
            loop {
                every.tick().await;
                theirs.set(theirs.get() + 1);
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        let ticks = ticks.get();
        assert!(ticks > 0 && ticks <= 20 * POLL_BUDGET, "{ticks} ticks in ten turns");
    })
    .unwrap();
}

#[test]
#[should_panic(expected = "an interval needs a period")]
fn an_interval_without_a_period_is_a_mistake() {
    let _ = interval(Duration::ZERO);
}

/// What libuv's `unref` is for: here it is what all timers and tasks are.
#[test]
fn no_timer_and_no_task_keeps_anything_alive() {
    async fn for_ever() {
        let mut every = interval(millis(1));
        loop {
            every.tick().await;
        }
    }
    block_on(async {
        spawn_detached(for_ever());
        spawn_detached(sleep(LONG));
    })
    .unwrap();

    let runtime = Runtime::builder().shards(1).start(|shard| {
        shard.spawn_detached(for_ever());
        shard.spawn_detached(sleep(LONG));
        Ok(())
    });
    let runtime = runtime.unwrap();
    runtime.drain();
    assert!(runtime.join(LONG), "the shard ends");
}

/// What libuv's `ref` is for.
#[test]
fn a_guard_keeps_a_draining_shard_alive_until_its_work_is_done() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).start(move |shard| {
        let (guard, tell) = (shard.guard(), tell.clone());
        shard.spawn_detached(async move {
            let mut every = interval(millis(1));
            drain_requested().await;
            for tick in 0..5 {
                every.tick().await;
                tell.send(tick).unwrap();
            }
            drop(guard);
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    runtime.drain();
    assert!(runtime.join(LONG));
    assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// A waker of a combinator's child: it notes whom to poll, and wakes the combinator's task.
#[derive(Default)]
struct Child {
    woken: AtomicBool,
    parent: Mutex<Option<Waker>>,
}

impl Wake for Child {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        let parent = self.parent.lock().unwrap().take();
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

/// Polls a child only if that child's own waker was woken.
async fn join_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>, children: Vec<Arc<Child>>) {
    for child in &children {
        child.woken.store(true, Ordering::Relaxed);
    }
    let mut done = vec![false; futures.len()];
    poll_fn(|cx| {
        for (i, (future, child)) in futures.iter_mut().zip(&children).enumerate() {
            *child.parent.lock().unwrap() = Some(cx.waker().clone());
            if !done[i] && child.woken.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(Arc::clone(child));
                done[i] = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
        }
        if done.iter().all(|done| *done) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_combinator_with_wakers_of_its_own_is_woken_for_each_child() {
    block_on(async {
        let children: Vec<Arc<Child>> = (0..50).map(|_| Arc::default()).collect();
        let futures = (0..50).map(|i| Box::pin(sleep(millis(i / 5))) as _).collect();
        join_all(futures, children.clone()).await;
        assert!(children.iter().all(|child| Arc::strong_count(child) == 1), "a waker was kept");
    })
    .unwrap();
}

#[test]
fn a_dropped_sleep_lets_its_foreign_waker_go() {
    block_on(async {
        let child = Arc::new(Child::default());
        let waker = Waker::from(Arc::clone(&child));
        {
            let mut sleep = pin!(sleep(LONG));
            for _ in 0..3 {
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            let before = Arc::strong_count(&child);
            sleep.as_mut().reset(Instant::now() + LONG);
            assert_eq!(Arc::strong_count(&child), before - 1);
        }
        drop(waker);
        assert_eq!(Arc::strong_count(&child), 1);
    })
    .unwrap();
}

#[test]
fn a_foreign_waker_that_panics_costs_the_others_nothing() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose: a waker");
        }
    }
    block_on(async {
        let deadline = Instant::now() + millis(2);
        let waker = Waker::from(Arc::new(Panics));
        let mut panics = pin!(sleep_until(deadline));
        assert!(panics.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sleep_until(deadline).await;
        yield_now().await;
        assert_eq!(current().handle().metrics().panics(), 1);
    })
    .unwrap();
}

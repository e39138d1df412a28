//! Sleeps, timeouts and coarse timers. Real clocks: nothing here asserts that something is early
//! enough, only that nothing is too early, and the order.

use lakh_core::{CoarseTimer, Sleep, block_on, current, sleep, sleep_until, spawn, timeout, yield_now};
use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn, ready},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
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
fn sleeps_end_in_the_order_of_their_deadlines() {
    let order = block_on(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now();
        let tasks: Vec<_> = [30, 10, 20, 2, 40]
            .map(|delay| {
                let order = Rc::clone(&order);
                spawn(async move {
                    sleep_until(start + millis(delay)).await;
                    order.borrow_mut().push(delay);
                })
            })
            .into();
        for task in tasks {
            task.await.unwrap();
        }
        order.take()
    });
    assert_eq!(order.unwrap(), [2, 10, 20, 30, 40]);
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
        let start = current().coarse_now();
        let mut timer = CoarseTimer::new();
        let mut deadline = start + 1;
        let mut moves = 0;
        // Moved later at each poll, as a connection does with each request, and then no more.
        poll_fn(|cx| {
            if moves < 100 {
                moves += 1;
                deadline = start + 1 + moves / 100;
                cx.waker().wake_by_ref();
                assert!(timer.poll_at(deadline, cx).is_pending());
                return Poll::Pending;
            }
            assert_eq!(current().handle().metrics().timers(), 1);
            timer.poll_at(deadline, cx)
        })
        .await;
        assert_eq!(deadline, start + 2);
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
        sleep_until(deadline + millis(2)).await;
        assert_eq!(current().handle().metrics().panics(), 1);
    })
    .unwrap();
}

//! Tasks on a shard: their results, their ends, their turns.

use lakh_core::{
    JoinHandle, POLL_BUDGET, Runtime, block_on, current, poll_budget, spawn, spawn_detached, yield_now,
    yield_to_others,
};
use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

/// Tells on which thread it was dropped.
struct Probe(mpsc::Sender<ThreadId>);

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

#[test]
fn block_on_gives_the_result_of_its_future() {
    assert_eq!(block_on(async { spawn(async { 20 }).await.unwrap() + 1 }).unwrap(), 21);
}

#[test]
fn block_on_can_be_called_again() {
    assert_eq!(block_on(async { 1 }).unwrap() + block_on(async { 2 }).unwrap(), 3);
}

#[test]
fn block_on_inside_block_on_panics() {
    let nested = block_on(async { catch_unwind(|| block_on(async {})).is_err() }).unwrap();
    assert!(nested);
}

#[test]
fn block_on_passes_a_panic_on_and_drops_the_other_tasks_first() {
    let (tell, dropped) = mpsc::channel();
    let result = catch_unwind(AssertUnwindSafe(|| {
        block_on(async move {
            let probe = Probe(tell);
            spawn_detached(async move {
                let _probe = probe;
                pending::<()>().await;
            });
            yield_now().await;
            panic!("on purpose: the future given to block_on");
        })
    }));
    assert!(result.is_err());
    assert_eq!(dropped.recv(), Ok(thread::current().id()));
}

#[test]
fn outside_a_shard_spawn_panics() {
    assert!(catch_unwind(|| spawn_detached(async {})).is_err());
}

#[test]
fn panics_of_tasks_and_destructors_leave_the_shard_running_and_are_counted() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose: a destructor");
        }
    }
    block_on(async {
        let task: JoinHandle<()> = spawn(async { panic!("on purpose: a task") });
        assert!(!task.await.unwrap_err().is_aborted());
        let destructor = spawn(async {
            let _panics = Panics;
            pending::<()>().await;
        });
        yield_now().await;
        destructor.abort();
        assert!(destructor.await.is_err());
        yield_now().await;
        assert_eq!(current().handle().metrics().panics(), 2);
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn a_task_can_abort_itself() {
    block_on(async {
        let handle: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let own = Rc::clone(&handle);
        let task = spawn(async move {
            own.borrow().as_ref().unwrap().abort();
            pending::<()>().await;
        });
        *handle.borrow_mut() = Some(task);
        while !handle.borrow().as_ref().unwrap().is_finished() {
            yield_now().await;
        }
        let task = handle.take().unwrap();
        assert!(task.await.unwrap_err().is_aborted());
    })
    .unwrap();
}

#[test]
fn tasks_that_wake_themselves_take_turns() {
    let order = block_on(async {
        let order = Rc::new(RefCell::new(String::new()));
        let speaker = |name: char| {
            let order = Rc::clone(&order);
            spawn(async move {
                for _ in 0..50 {
                    order.borrow_mut().push(name);
                    yield_now().await;
                }
            })
        };
        let (a, b) = (speaker('a'), speaker('b'));
        a.await.unwrap();
        b.await.unwrap();
        order.take()
    })
    .unwrap();
    assert_eq!(order, "ab".repeat(50));
}

#[test]
fn a_task_gets_its_budget_once_a_poll() {
    block_on(async {
        let (mut polls, mut charged) = (0, 0);
        poll_fn(|cx| {
            polls += 1;
            while poll_budget(cx).is_ready() {
                charged += 1;
            }
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(charged, 3 * POLL_BUDGET);
    })
    .unwrap();
}

/// A task that always wants more, until it has been polled so often.
fn greedy(most: u64) -> (Rc<Cell<u64>>, JoinHandle<()>) {
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let task = spawn(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        yield_to_others(cx);
        if counted.get() == most { Poll::Ready(()) } else { Poll::Pending }
    }));
    (polls, task)
}

#[test]
fn a_task_that_yields_to_others_sits_out_seven_of_their_turns() {
    block_on(async {
        let (first, _task) = greedy(u64::MAX);
        let (second, _task) = greedy(u64::MAX);
        for _ in 0..80 {
            yield_now().await;
        }
        for polls in [first, second] {
            assert!((10..=11).contains(&polls.get()), "{} polls in 80 turns", polls.get());
        }
    })
    .unwrap();
}

#[test]
fn a_task_that_yields_to_others_has_every_turn_while_there_are_none() {
    block_on(async {
        let (_, task) = greedy(1000);
        let before = current().handle().metrics().turns();
        task.await.unwrap();
        let turns = current().handle().metrics().turns() - before;
        assert!(turns < 1100, "{turns} turns for 1000 polls");
    })
    .unwrap();
}

#[test]
fn a_task_over_its_budget_lets_the_others_run() {
    block_on(async {
        let other_ran = Rc::new(Cell::new(0));
        let greedy = {
            let other_ran = Rc::clone(&other_ran);
            spawn(async move {
                for _ in 0..10 * POLL_BUDGET {
                    poll_fn(poll_budget).await;
                }
                other_ran.get()
            })
        };
        spawn_detached(async move {
            loop {
                other_ran.set(other_ran.get() + 1);
                yield_now().await;
            }
        });
        assert!(greedy.await.unwrap() >= 9);
    })
    .unwrap();
}

#[test]
fn no_wake_of_many_threads_is_lost() {
    const TASKS: usize = 64;
    const THREADS: usize = 4;
    const ROUNDS: usize = 200;

    #[derive(Default)]
    struct Cell {
        sent: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }

    let cells: Arc<Vec<Cell>> = Arc::new((0..TASKS).map(|_| Cell::default()).collect());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                for cell in (0..ROUNDS).flat_map(|_| cells.iter()) {
                    cell.sent.fetch_add(1, Ordering::Relaxed);
                    let waker = cell.waker.lock().unwrap().clone();
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            })
        })
        .collect();
    block_on(async move {
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                let cells = Arc::clone(&cells);
                spawn(poll_fn(move |cx| {
                    *cells[i].waker.lock().unwrap() = Some(cx.waker().clone());
                    let all = cells[i].sent.load(Ordering::Relaxed) == THREADS * ROUNDS;
                    if all { Poll::Ready(()) } else { Poll::Pending }
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_waker_may_outlive_its_task_and_its_shard() {
    let waker = block_on(async {
        let (give, waker) = mpsc::channel();
        let task = spawn(poll_fn(move |cx| {
            give.send(cx.waker().clone()).unwrap();
            Poll::Ready(())
        }));
        task.await.unwrap();
        let waker = waker.recv().unwrap();
        waker.wake_by_ref();
        yield_now().await;
        waker
    })
    .unwrap();
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn stopping_drops_the_tasks_on_their_own_threads() {
    let (tell, dropped) = mpsc::channel();
    let (tell_home, homes) = mpsc::channel();
    let runtime = Runtime::builder()
        .shards(2)
        .start(move |shard| {
            tell_home.send(thread::current().id()).unwrap();
            let probe = Probe(tell.clone());
            // A task that keeps its own shard must not keep it from ending.
            let kept = shard.clone();
            shard.spawn_detached(async move {
                let (_probe, _kept) = (probe, kept);
                pending::<()>().await;
            });
            Ok(())
        })
        .unwrap();
    runtime.stop();
    assert!(runtime.join(Duration::from_secs(60)));
    drop(runtime);
    let sorted = |threads: mpsc::Receiver<ThreadId>| {
        let mut names: Vec<_> = threads.iter().map(|id| format!("{id:?}")).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(dropped), sorted(homes));
}

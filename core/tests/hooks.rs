//! Hooks of the loop: when they are called, that they starve nobody, and that they go.

use lakh_core::{More, Shard, block_on, current, sleep, spawn, timeout, yield_now};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);
const BUDGET: Duration = Duration::from_millis(1);

fn on_a_shard<F: Future<Output = ()> + 'static>(test: impl FnOnce(Shard) -> F + 'static) {
    block_on(async { timeout(SAFETY_NET, test(current())).await.expect("the test ends") }).unwrap();
}

fn counter() -> (Rc<Cell<u32>>, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    (Rc::clone(&count), count)
}

fn add_one(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

#[test]
fn an_idle_hook_that_is_done_lets_the_loop_sleep() {
    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let _hook = shard.on_idle(BUDGET, move || {
            add_one(&counts);
            More::Done
        });
        let turns = shard.handle().metrics().turns();
        for _ in 0..5 {
            sleep(Duration::from_millis(10)).await;
        }
        let turns = shard.handle().metrics().turns() - turns;
        // A loop that does not sleep has thousands of turns in that time.
        assert!((1..=turns).contains(&calls.get().into()) && turns < 100, "{calls:?} calls, {turns} turns");
    });
}

#[test]
fn an_idle_hook_that_always_has_more_holds_up_neither_timers_nor_events() {
    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let _hook = shard.on_idle(BUDGET, move || {
            add_one(&counts);
            More::Yes
        });
        sleep(Duration::from_millis(5)).await;
        let (tell, told) = (shard.handle(), Rc::new(Cell::new(false)));
        std::thread::spawn(move || tell.spawn_on(|| async {}).unwrap()).join().unwrap();
        let is_told = Rc::clone(&told);
        let task = spawn(async move { is_told.set(lakh_core::blocking(|| true).await.unwrap()) });
        task.await.unwrap();
        assert!(told.get() && calls.get() > 0);
    });
}

#[cfg(unix)]
#[test]
fn an_idle_hook_that_always_has_more_lets_sockets_go_first() {
    use lakh_core::{Direction, Registration};
    use std::io::{Read, Write};

    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let _hook = shard.on_idle(Duration::from_secs(3600), move || {
            add_one(&counts);
            // As long as nothing has come, it takes its whole budget.
            if counts.get() % 50 == 0 { More::Done } else { More::Yes }
        });
        let (mut near, far) = mio::net::UnixStream::pair().unwrap();
        let registration = Registration::new(&mut near).unwrap();
        let writer = std::thread::spawn(move || {
            for _ in 0..100 {
                while (&far).write(b"x").is_err() {}
            }
        });
        let mut bytes = 0;
        while bytes < 100 {
            let read = || (&near).read(&mut [0; 8]);
            bytes += poll_fn(|cx| registration.poll_io(Direction::Read, cx, read)).await.unwrap();
        }
        writer.join().unwrap();
        assert_eq!(calls.get() % 50, 0);
    });
}

#[test]
fn idle_hooks_wait_while_tasks_are_ready() {
    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let _hook = shard.on_idle(BUDGET, move || {
            add_one(&counts);
            More::Yes
        });
        for _ in 0..1000 {
            yield_now().await;
        }
        assert_eq!(calls.get(), 0);
        while calls.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn work_is_done_in_pieces_while_there_is_nothing_else() {
    on_a_shard(async |shard| {
        let left = Rc::new(Cell::new(10_000_u32));
        let waiting: Rc<RefCell<Option<Waker>>> = Rc::default();
        let (counts, wakes) = (Rc::clone(&left), Rc::clone(&waiting));
        let _hook = shard.on_idle(BUDGET, move || {
            counts.set(counts.get().saturating_sub(1));
            if counts.get() > 0 {
                return More::Yes;
            }
            if let Some(waker) = wakes.take() {
                waker.wake();
            }
            More::Done
        });
        poll_fn(|cx| match left.get() {
            0 => Poll::Ready(()),
            _ => {
                waiting.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    });
}

#[test]
fn a_turn_begins_and_ends_with_its_hooks() {
    on_a_shard(async |shard| {
        let log: Rc<RefCell<Vec<&str>>> = Rc::default();
        let writes = |text: &'static str| {
            let log = Rc::clone(&log);
            move || log.borrow_mut().push(text)
        };
        let hooks = [shard.on_turn_start(writes("start")), shard.on_turn_end(writes("end"))];
        for _ in 0..2 {
            yield_now().await;
            log.borrow_mut().push("task");
        }
        drop(hooks);
        yield_now().await;
        assert_eq!(*log.borrow(), ["end", "start", "task", "end", "start", "task"]);
    });
}

#[test]
fn a_task_that_a_hook_wakes_before_the_loop_sleeps_has_its_turn() {
    on_a_shard(async |shard| {
        let waiting: Rc<RefCell<Option<Waker>>> = Rc::default();
        let wakes = Rc::clone(&waiting);
        let _hook = shard.on_turn_end(move || {
            if let Some(waker) = wakes.take() {
                waker.wake();
            }
        });
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls == 10 {
                return Poll::Ready(());
            }
            waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    });
}

#[test]
fn a_hook_that_panics_is_counted_and_removed_and_the_others_go_on() {
    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let (bad_calls, bad_counts) = counter();
        let bad = shard.on_turn_end(move || {
            add_one(&bad_counts);
            panic!("on purpose");
        });
        let _good = shard.on_turn_end(move || add_one(&counts));
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!((bad_calls.get(), calls.get()), (1, 3));
        assert_eq!(shard.handle().metrics().panics(), 1);
        drop(bad);
    });
}

#[test]
fn hooks_may_add_and_remove_hooks_while_they_are_called() {
    on_a_shard(async |shard| {
        let (calls, counts) = counter();
        let own: Rc<RefCell<Vec<lakh_core::Hook>>> = Rc::default();
        let (hooks, here) = (Rc::clone(&own), shard.clone());
        let hook = shard.on_turn_end(move || {
            add_one(&counts);
            // Itself, and then there is another.
            let mut hooks = hooks.borrow_mut();
            hooks.clear();
            if counts.get() < 3 {
                let counts = Rc::clone(&counts);
                hooks.push(here.on_turn_end(move || add_one(&counts)));
            }
        });
        own.borrow_mut().push(hook);
        for _ in 0..10 {
            yield_now().await;
        }
        // The first removed itself; the second, of the next turn on, is still there.
        assert_eq!((calls.get(), own.borrow().len()), (10, 1));
    });
}

#[test]
fn a_hook_goes_with_its_handle_or_with_the_shard() {
    let held = Rc::new(());
    let (dropped, detached) = (Rc::clone(&held), Rc::clone(&held));
    on_a_shard(async move |shard| {
        let keep = Rc::clone(&detached);
        drop(shard.on_turn_end(move || _ = &dropped));
        assert_eq!(Rc::strong_count(&keep), 3);
        // It holds its own shard.
        let here = shard.clone();
        shard
            .on_idle(BUDGET, move || {
                let _ = (&here, &detached);
                More::Done
            })
            .detach();
        yield_now().await;
        assert_eq!(Rc::strong_count(&keep), 3);
    });
    assert_eq!(Rc::strong_count(&held), 1);
}

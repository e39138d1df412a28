//! How shards start and how they end: drain, guards, stop, errors at the start.

use lakh_core::{Runtime, block_on, current, drain_requested, spawn, spawn_detached, with, yield_now};
use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_drain_wakes_every_task_and_ends_the_shards() {
    const TASKS: usize = 100;
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let runtime = Runtime::builder()
        .shards(2)
        .start(move |shard| {
            for _ in 0..TASKS {
                let (count, guard) = (Arc::clone(&count), shard.guard());
                shard.spawn_detached(async move {
                    drain_requested().await;
                    count.fetch_add(1, Ordering::Relaxed);
                    drop(guard);
                });
            }
            Ok(())
        })
        .unwrap();
    assert!(!runtime.join(Duration::ZERO));
    runtime.drain();
    assert!(runtime.join(LONG));
    assert_eq!(told.load(Ordering::Relaxed), 2 * TASKS);
    assert!(runtime.shards().all(|shard| shard.metrics().cut() == 0));
}

#[test]
fn a_drain_reaches_tasks_that_only_poll_a_flag() {
    block_on(async {
        let waits = spawn(poll_fn(|_| match with(|shard| shard.is_draining()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }));
        yield_now().await;
        current().handle().drain();
        waits.await.unwrap();
    })
    .unwrap();
}

#[test]
fn block_on_runs_its_future_to_the_end_of_a_drain() {
    let turns = block_on(async {
        current().handle().drain();
        drain_requested().await;
        for _ in 0..10 {
            yield_now().await;
        }
        10
    });
    assert_eq!(turns.unwrap(), 10);
}

#[test]
fn a_guard_keeps_a_draining_shard_alive_and_its_messages_run() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder()
        .shards(1)
        .start(move |shard| {
            let (guard, tell) = (shard.guard(), tell.clone());
            shard.spawn_detached(async move {
                drain_requested().await;
                tell.send(with(|shard| shard.guards())).unwrap();
                pending::<()>().await;
                drop(guard);
            });
            Ok(())
        })
        .unwrap();
    runtime.drain();
    assert_eq!(told.recv(), Ok(1));
    let handle = runtime.shards().next().unwrap();
    let (tell, told) = mpsc::channel();
    handle.send(move |shard| tell.send(shard.is_draining()).unwrap()).unwrap();
    assert_eq!(told.recv(), Ok(true));
    assert!(!runtime.join(Duration::ZERO));
    runtime.stop();
    assert!(runtime.join(LONG));
    assert_eq!(handle.metrics().cut(), 1, "the guard was cut");
}

#[test]
fn a_sleeping_shard_shows_the_guards_that_it_has() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap();
    let spawned = handle.spawn_on(move || async move {
        let guard = current().guard();
        tell.send(()).unwrap();
        pending::<()>().await;
        drop(guard);
    });
    spawned.unwrap();
    told.recv().unwrap();
    // It comes to be seen without anything else happening on the shard.
    while (handle.metrics().guards(), handle.metrics().tasks()) != (1, 1) {
        thread::yield_now();
    }
}

#[test]
fn drain_requested_wakes_a_foreign_waker_and_lets_it_go() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let foreign = Arc::clone(&count);
    block_on(async move {
        let waker = Waker::from(foreign);
        let mut cx = Context::from_waker(&waker);
        {
            let mut dropped = pin!(drain_requested());
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
        }
        let mut waits = pin!(drain_requested());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        current().handle().drain();
        yield_now().await;
        assert!(waits.as_mut().poll(&mut cx).is_ready());
    })
    .unwrap();
    assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (1, 1));
}

#[test]
fn a_foreign_waker_that_panics_does_not_end_the_shard() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose: a waker");
        }
    }
    block_on(async {
        let waker = Waker::from(Arc::new(Panics));
        let mut waits = Box::pin(drain_requested());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        current().handle().drain();
        yield_now().await;
        yield_now().await;
        assert_eq!(current().handle().metrics().panics(), 1);
    })
    .unwrap();
}

#[test]
fn a_destructor_may_use_the_shard_while_it_ends() {
    struct Spawns(mpsc::Sender<&'static str>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let tell = self.0.clone();
            let last = Last(tell);
            spawn_detached(async move {
                let _last = last;
                pending::<()>().await;
            });
            assert!(current().handle().send(|_| {}).unwrap_err().is_stopped());
            self.0.send("first").unwrap();
        }
    }
    struct Last(mpsc::Sender<&'static str>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.send("last").unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    block_on(async move {
        let spawns = Spawns(tell);
        spawn_detached(async move {
            let _spawns = spawns;
            pending::<()>().await;
        });
        yield_now().await;
    })
    .unwrap();
    assert_eq!(told.iter().collect::<Vec<_>>(), ["first", "last"]);
}

#[test]
fn an_error_in_one_init_stops_all() {
    let (tell, ended) = mpsc::channel::<()>();
    let error = Runtime::builder()
        .shards(3)
        .start(move |shard| {
            let tell = tell.clone();
            shard.spawn_detached(async move {
                let _tell = tell;
                pending::<()>().await;
            });
            if shard.id() == 1 { Err(io::Error::other("on purpose")) } else { Ok(()) }
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "on purpose");
    assert!(ended.recv().is_err(), "every task is gone");
}

#[test]
fn a_panic_in_one_init_is_an_error_and_drops_its_tasks_on_the_shard() {
    let (tell, dropped_on_shard) = mpsc::channel();
    struct Probe(mpsc::Sender<bool>);
    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.send(lakh_core::try_with(|_| ()).is_some()).unwrap();
        }
    }
    let started = Runtime::builder().shards(2).start(move |shard| {
        let probe = Probe(tell.clone());
        shard.spawn_detached(async move {
            let _probe = probe;
            pending::<()>().await;
        });
        assert_ne!(shard.id(), 1, "on purpose: an init that panics");
        Ok(())
    });
    assert!(started.is_err());
    assert_eq!(dropped_on_shard.iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn a_runtime_dropped_inside_block_on_waits_for_its_shards() {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    struct Sets(Arc<AtomicBool>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    block_on(async move {
        let sets = std::sync::Mutex::new(Some(Sets(seen)));
        let start = move |shard: &lakh_core::Shard| {
            let sets = sets.lock().unwrap().take();
            shard.spawn_detached(async move {
                let _sets = sets;
                pending::<()>().await;
            });
            Ok(())
        };
        drop(Runtime::builder().shards(1).start(start).unwrap());
    })
    .unwrap();
    assert!(ended.load(Ordering::Relaxed));
}

#[test]
fn a_runtime_dropped_by_its_own_shard_does_not_wait_for_itself() {
    let runtime = Runtime::builder().shards(2).start(|_| Ok(())).unwrap();
    let (tell, told) = mpsc::channel();
    let handles: Vec<_> = runtime.shards().cloned().collect();
    let message = move |_: &lakh_core::Shard| {
        drop(runtime);
        tell.send(()).unwrap();
    };
    handles[0].send(message).unwrap();
    assert_eq!(told.recv(), Ok(()));
}

#[test]
fn the_metrics_move() {
    block_on(async {
        let handle = current().handle();
        let metrics = handle.metrics();
        let kept = Rc::new(RefCell::new(None));
        let keeper = Rc::clone(&kept);
        let sleeper = spawn(async move {
            *keeper.borrow_mut() = Some(current().guard());
            lakh_core::sleep(LONG).await;
        });
        let (turns, polls) = (metrics.turns(), metrics.polls());
        yield_now().await;
        yield_now().await;
        assert!(metrics.turns() >= turns + 2 && metrics.polls() >= polls + 2);
        assert!(metrics.busy() > Duration::ZERO && metrics.busy_share() > 0.0);
        assert!(metrics.lag().snapshot().count() >= metrics.turns() - 1);
        assert_eq!((metrics.tasks(), metrics.timers(), metrics.guards()), (2, 1, 1));
        sleeper.abort();
        assert!(sleeper.await.is_err());
        kept.take();
        yield_now().await;
        assert_eq!((metrics.tasks(), metrics.timers(), metrics.guards()), (1, 0, 0));
        assert_eq!((metrics.panics(), metrics.kernel_errors()), (0, 0));
    })
    .unwrap();
}

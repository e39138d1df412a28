//! Work apart from the task that waits for it: on the pool, and in a shield.

use lakh_core::{
    Runtime, block_on, blocking, current,
    pool::{Kind, Lane, LaneConfig, PoolConfig, RunError},
    shield, spawn, yield_now,
};
use std::{cell::RefCell, rc::Rc, sync::mpsc, time::Duration};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_full_lane_refuses_and_dropping_takes_queued_work_back() {
    let mut pool = PoolConfig::new(1);
    pool.set_lane(Lane::USER, LaneConfig::new(Kind::Io).reserved(1).cap(1).queue_limit(1));
    let runtime = Runtime::builder().shards(1).pool(pool).start(|_| Ok(())).unwrap();
    let (tell, told) = mpsc::channel();
    let test = move || async move {
        let (begun, has_begun) = mpsc::channel();
        let (end, until) = mpsc::channel::<()>();
        let running = blocking(move || {
            begun.send(()).unwrap();
            until.recv().unwrap();
        });
        has_begun.recv_timeout(LONG).unwrap();
        let taken_back = blocking(|| panic!("this must not run"));
        let refused = blocking(|| ()).await.unwrap_err();
        drop(taken_back);
        let queued = blocking(|| "has run");
        end.send(()).unwrap();
        running.await.unwrap();
        tell.send((refused.is_full(), queued.await.unwrap())).unwrap();
    };
    runtime.shards().next().unwrap().spawn_on(test).unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), (true, "has run"));
}

#[test]
fn errors_tell_full_shutdown_and_panicked_apart() {
    let kinds = |error: RunError| (error.is_full(), error.is_shutdown(), error.is_panicked());
    block_on(async move {
        assert_eq!(blocking(|| 6 * 7).await.unwrap(), 42);
        let error = blocking(|| panic!("on purpose: blocking work")).await.unwrap_err();
        assert_eq!(error.panic_message(), Some("on purpose: blocking work"));
        assert_eq!(kinds(error), (false, false, true));
        current().pool().shutdown();
        assert_eq!(kinds(blocking(|| ()).await.unwrap_err()), (false, true, false));
    })
    .unwrap();
}

#[test]
fn a_shield_goes_on_when_nobody_waits() {
    block_on(async {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let theirs = Rc::clone(&steps);
        let waiter = spawn(async move {
            shield(async move {
                for step in 0..3 {
                    theirs.borrow_mut().push(step);
                    yield_now().await;
                }
            })
            .await
        });
        while steps.borrow().is_empty() {
            yield_now().await;
        }
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_aborted());
        while current().guards() > 0 {
            yield_now().await;
        }
        assert_eq!(*steps.borrow(), [0, 1, 2]);
    })
    .unwrap();
}

#[test]
fn a_drain_waits_for_a_shield() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).start(move |shard| {
        let tell = tell.clone();
        shard.spawn_detached(async move {
            let shielded = shield(async move {
                lakh_core::drain_requested().await;
                for _ in 0..10 {
                    yield_now().await;
                }
                tell.send("finished").unwrap();
            });
            drop(shielded);
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    while runtime.shards().next().unwrap().metrics().guards() == 0 {
        std::thread::yield_now();
    }
    runtime.drain();
    assert!(runtime.join(LONG));
    assert_eq!(told.try_recv(), Ok("finished"));
}

#[test]
fn a_shield_gives_its_result_and_tells_of_a_panic() {
    block_on(async {
        assert_eq!(shield(async { 7 }).await.unwrap(), 7);
        assert!(!shield(async { panic!("on purpose: in a shield") }).await.unwrap_err().is_aborted());
    })
    .unwrap();
}

//! The watchdog: what blocks a shard is named, once, while it does.

use lakh_core::{Runtime, Stall, WorkName, named, with};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(60);

/// A runtime of one shard that tells of its stalls.
fn watched(threshold: Duration) -> (Runtime, Receiver<Stall>) {
    let (tell, told) = mpsc::channel();
    let builder = Runtime::builder().shards(1).watchdog(Some(threshold));
    let builder = builder.on_stall(move |stall| tell.send(*stall).unwrap());
    (builder.start(|_| Ok(())).unwrap(), told)
}

/// Blocks the shard in a task of this name until the sender is used.
fn block(runtime: &Runtime, name: &'static str) -> Sender<()> {
    let (end, until) = mpsc::channel::<()>();
    let until = Mutex::new(until);
    let shard = runtime.shards().next().unwrap();
    shard
        .spawn_on(move || {
            named(WorkName::new(name), async move {
                until.lock().unwrap().recv().unwrap();
            })
        })
        .unwrap();
    end
}

/// The stall of this name. A busy machine may have kept the shard from running before: stalls, too.
fn stall_of(told: &Receiver<Stall>, name: &'static str) -> Stall {
    loop {
        let stall = told.recv_timeout(LONG).unwrap();
        if stall.name == Some(name) {
            return stall;
        }
    }
}

#[test]
fn a_stall_is_told_and_counted_with_its_name_while_it_lasts() {
    let (runtime, told) = watched(Duration::from_millis(20));
    for (round, name) in (1..).zip(["first", "second", "third"]) {
        let end = block(&runtime, name);
        let stall = stall_of(&told, name);
        assert_eq!(stall.shard, 0);
        assert!(stall.lasted >= Duration::from_millis(20));
        end.send(()).unwrap();
        assert!(runtime.shards().next().unwrap().metrics().stalls() >= round);
    }
}

/// More shards than CPUs, or a busy machine: the shard turns on, whenever it may.
#[cfg(target_os = "linux")]
#[test]
fn a_shard_that_gets_no_cpu_is_not_stalled() {
    const THRESHOLD: Duration = Duration::from_millis(20);
    let (runtime, told) = watched(THRESHOLD);
    let cpu = lakh_core::sys::cpu::allowed_cpus()[0];
    let (tell_thread, thread) = mpsc::channel();
    let shard = runtime.shards().next().unwrap();
    shard
        .spawn_on(move || async move {
            lakh_core::sys::cpu::pin_current_thread(cpu).unwrap();
            rustix::process::setpriority_process(None, 19).unwrap();
            tell_thread.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            loop {
                lakh_core::yield_now().await;
            }
        })
        .unwrap();
    let thread = thread.recv_timeout(LONG).unwrap();
    // Nanoseconds that it has waited for a CPU: the second number.
    let waited = || {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
        Duration::from_nanos(text.split(' ').nth(1).unwrap().parse().unwrap())
    };
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                lakh_core::sys::cpu::pin_current_thread(cpu).unwrap();
                while !enough.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let before = waited();
        let begin = Instant::now();
        while waited() - before < 20 * THRESHOLD && begin.elapsed() < LONG {
            std::thread::yield_now();
        }
        enough.store(true, Relaxed);
        assert!(waited() - before >= 20 * THRESHOLD, "it got its CPU");
    });
    assert_eq!(told.try_iter().count(), 0);
    assert_eq!(shard.metrics().stalls(), 0);
}

#[test]
fn a_hook_that_panics_is_called_again() {
    let (tell, told) = mpsc::channel();
    let builder = Runtime::builder().shards(1).watchdog(Some(Duration::from_millis(10)));
    let builder = builder.on_stall(move |stall| {
        tell.send(*stall).unwrap();
        panic!("on purpose: in a hook");
    });
    let runtime = builder.start(|_| Ok(())).unwrap();
    for name in ["one", "two"] {
        let end = block(&runtime, name);
        stall_of(&told, name);
        end.send(()).unwrap();
    }
}

#[test]
fn a_name_holds_while_its_future_is_polled() {
    let (outer, inner) = (WorkName::new("outer"), WorkName::new("inner"));
    let seen = lakh_core::block_on(named(outer, async move {
        let work = || with(|shard| shard.work());
        let before = work();
        let within = named(inner, async move { work() }).await;
        [before, within, work()]
    }));
    assert_eq!(seen.unwrap(), [outer, inner, outer]);
}

//! The pool under loom's model checker: every order in which its threads can take its locks.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" \
//!     cargo test -p lakh-core --release --lib loom_ --target-dir target/loom
//! ```
//!
//! A lost wakeup shows as a deadlock, which loom reports.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::job::new_job;
use super::*;
use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, model};

/// More take minutes.
const PREEMPTIONS: usize = 2;

/// What `park` is to real threads.
#[derive(Default)]
struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn raise(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !std::mem::take(&mut *set) {
            set = self.changed.wait(set).unwrap();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => signal.wait(),
        }
    }
}

/// The pool without its starter: the model's threads are the workers.
fn pool_with_cpu_workers(workers: usize) -> (Pool, Vec<thread::JoinHandle<()>>) {
    let shared = Arc::new(Shared::new(&PoolConfig::new(1).workers(Kind::Cpu, workers)).unwrap());
    let threads = (0..workers).map(|_| {
        shared.adopt(Kind::Cpu);
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.work(Kind::Cpu))
    });
    let threads = threads.collect();
    (Pool { owner: Arc::new(Owner { shared }) }, threads)
}

fn end(pool: &Pool, workers: Vec<thread::JoinHandle<()>>) {
    pool.shutdown();
    for worker in workers {
        worker.join().unwrap();
    }
    let cpu = pool.metrics().lane(Lane::CPU).unwrap().clone();
    let ends = cpu.finished + cpu.cancelled + cpu.dropped + cpu.panicked;
    assert_eq!((cpu.accepted, cpu.queued, cpu.running), (ends, 0, 0));
    assert_eq!(pool.metrics().workers[1].threads, 0);
}

#[test]
fn loom_a_result_wakes_the_task_that_waits() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let job = pool.run(Lane::CPU, || 7).unwrap();
        assert_eq!(block_on(job).unwrap(), 7);
        end(&pool, workers);
    });
}

#[test]
fn loom_a_dropped_job_runs_at_most_once_and_is_accounted_for() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        drop(pool.run(Lane::CPU, move || counted.fetch_add(1, Ordering::Relaxed)).unwrap());
        end(&pool, workers);
        let cpu = pool.metrics().lane(Lane::CPU).unwrap().clone();
        assert_eq!(cpu.finished as usize, runs.load(Ordering::Relaxed));
        assert_eq!(Arc::strong_count(&runs), 1, "the closure is gone");
    });
}

#[test]
fn loom_a_job_in_steps_can_be_dropped_at_any_point() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let mut left = 1;
        let job = pool.run_steps(Lane::CPU, None, move || match left {
            0 => Step::Done(()),
            _ => {
                left -= 1;
                Step::Again
            }
        });
        drop(job);
        end(&pool, workers);
    });
}

#[test]
fn loom_shutdown_loses_no_job() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let job = pool.run(Lane::CPU, || 7).unwrap();
        let other = pool.clone();
        let closer = thread::spawn(move || other.shutdown());
        match block_on(job) {
            Ok(value) => assert_eq!(value, 7),
            Err(error) => assert!(error.is_shutdown()),
        }
        closer.join().unwrap();
        end(&pool, workers);
    });
}

#[test]
fn loom_a_submit_races_with_shutdown() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let other = pool.clone();
        let closer = thread::spawn(move || other.shutdown());
        match pool.run(Lane::CPU, || 7) {
            Ok(job) => assert!(block_on(job).map_or_else(|error| error.is_shutdown(), |value| value == 7)),
            Err(refused) => assert!(refused.is_shutdown()),
        }
        closer.join().unwrap();
        end(&pool, workers);
    });
}

/// One call is made for two jobs; the worker that comes must call the other.
#[test]
fn loom_workers_call_each_other_when_there_is_more_to_do() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(2);
        let met = Arc::new(Signal::default());
        let arrives = Arc::clone(&met);
        let waits = pool.run(Lane::CPU, move || met.wait()).unwrap();
        let raises = pool.run(Lane::CPU, move || arrives.raise()).unwrap();
        block_on(waits).unwrap();
        block_on(raises).unwrap();
        end(&pool, workers);
    });
}

#[test]
fn loom_the_starter_brings_a_worker_and_all_threads_end() {
    model(PREEMPTIONS, || {
        let pool = Pool::new(PoolConfig::new(1)).unwrap();
        assert_eq!(block_on(pool.run(Lane::CPU, || 7).unwrap()).unwrap(), 7);
    });
}

#[test]
fn loom_a_pool_that_shrinks_leaves_someone_to_do_the_work() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(2);
        let job = pool.run(Lane::CPU, || 7).unwrap();
        pool.resize(Kind::Cpu, 1).unwrap();
        assert_eq!(block_on(job).unwrap(), 7);
        end(&pool, workers);
    });
}

#[test]
fn loom_a_waker_that_changes_is_the_one_that_is_woken() {
    model(PREEMPTIONS, || {
        let (pool, workers) = pool_with_cpu_workers(1);
        let (work, mut job) = new_job(&pool.owner.shared, Lane::CPU, None, || Step::Done(7));
        pool.owner.shared.submit(work).unwrap();
        let stale = Waker::from(Arc::new(Signal::default()));
        let polled = pin!(&mut job).poll(&mut Context::from_waker(&stale));
        match polled {
            Poll::Ready(outcome) => assert_eq!(outcome.unwrap(), 7),
            Poll::Pending => assert_eq!(block_on(job).unwrap(), 7),
        }
        end(&pool, workers);
    });
}

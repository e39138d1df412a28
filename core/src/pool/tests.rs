//! The pool with real threads. Order is made by gates and channels, never by time.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Holds jobs until it is opened; says when one has arrived.
#[derive(Clone)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    arrivals: Sender<()>,
}

impl Gate {
    fn new() -> (Gate, Receiver<()>) {
        let (arrivals, arrived) = channel();
        (Gate { open: Arc::default(), arrivals }, arrived)
    }

    fn job(&self) -> impl FnOnce() + Send + use<> {
        let gate = self.clone();
        move || {
            let _ = gate.arrivals.send(());
            let (open, opened) = &*gate.open;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        }
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// Two io workers: one each for the file and the user lane.
fn two_io_workers() -> Pool {
    Pool::new(PoolConfig::new(1).workers(Kind::Io, 2)).unwrap()
}

fn lane(pool: &Pool, lane: Lane) -> LaneMetrics {
    pool.metrics().lane(lane).unwrap().clone()
}

/// Waits for something that another thread does without telling.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::yield_now();
    }
}

fn end(pool: &Pool) {
    pool.shutdown();
    assert_eq!(pool.join(Duration::from_secs(60)), 0);
}

#[test]
fn a_job_gives_its_result_to_the_task_that_waits() {
    let pool = two_io_workers();
    assert_eq!(block_on(pool.run(Lane::FILE, || 7).unwrap()).unwrap(), 7);
    assert_eq!(block_on(pool.run(Lane::CPU, || "cpu").unwrap()).unwrap(), "cpu");
    end(&pool);
}

#[test]
fn workers_are_named_and_cpu_workers_are_nice() {
    let pool = two_io_workers();
    let name = || thread::current().name().map(str::to_owned).unwrap();
    assert_eq!(block_on(pool.run(Lane::USER, name).unwrap()).unwrap(), "lakh-io-0");
    assert_eq!(block_on(pool.run(Lane::CPU, name).unwrap()).unwrap(), "lakh-cpu-0");
    #[cfg(target_os = "linux")]
    {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let base = nice();
        assert_eq!(block_on(pool.run(Lane::USER, nice).unwrap()).unwrap(), base);
        assert_eq!(block_on(pool.run(Lane::CPU, nice).unwrap()).unwrap(), base.max(10));
    }
    end(&pool);
}

#[test]
#[cfg(target_os = "linux")]
fn workers_inherit_nothing_from_the_thread_that_submits() {
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let base = nice();
    let pool = two_io_workers();
    let submitter = thread::scope(|threads| {
        let submit = || {
            rustix::process::setpriority_process(None, base + 1).unwrap();
            pool.run(Lane::USER, nice).unwrap()
        };
        threads.spawn(submit).join().unwrap()
    });
    assert_eq!(block_on(submitter).unwrap(), base);
    end(&pool);
}

#[test]
fn a_thread_that_the_system_refuses_is_tried_again() {
    let shared = Arc::new(Shared::new(&PoolConfig::new(1)).unwrap());
    let pool = Pool { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
    let mut refusals = 1;
    let starter = thread::spawn(move || {
        let start = |kind, number| {
            if refusals > 0 {
                refusals -= 1;
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            start_worker(&shared, kind, number)
        };
        shared.start_workers(start, Watch::new(SATURATED_AFTER, |_| ()));
    });
    assert_eq!(block_on(pool.run(Lane::USER, || 7).unwrap()).unwrap(), 7);
    assert_eq!(pool.metrics().spawn_failures, 1);
    end(&pool);
    starter.join().unwrap();
}

#[test]
fn handles_and_jobs_go_from_thread_to_thread() {
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<Pool>();
    crosses_threads::<Job<Vec<u8>>>();
    crosses_threads::<PoolFull>();
    crosses_threads::<JobError>();
    crosses_threads::<PoolError>();
}

#[test]
fn a_lane_whose_jobs_all_hang_does_not_stop_another() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let hung: Vec<_> = (0..20).map(|_| pool.run(Lane::USER, gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    for number in 0..20 {
        assert_eq!(block_on(pool.run(Lane::FILE, move || number).unwrap()).unwrap(), number);
    }
    assert_eq!(lane(&pool, Lane::USER).running, 1);
    gate.open();
    for job in hung {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_named_lane_keeps_to_its_cap() {
    let mut config = PoolConfig::new(4);
    let hashing = config.add_lane("argon2", LaneConfig::new(Kind::Cpu).cap(2));
    let pool = Pool::new(config).unwrap();
    let (gate, arrived) = Gate::new();
    let jobs: Vec<_> = (0..6).map(|_| pool.run(hashing, gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    arrived.recv().unwrap();
    // Both other cpu workers are free to be used by the lane, if it had no cap.
    block_on(pool.run(Lane::CPU, || ()).unwrap()).unwrap();
    let metrics = lane(&pool, hashing);
    assert_eq!((&*metrics.name, metrics.running, metrics.queued), ("argon2", 2, 4));
    assert!(arrived.try_recv().is_err());
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_hung_group_stops_only_itself() {
    let pool = Pool::new(PoolConfig::new(1)).unwrap();
    let (gate, arrived) = Gate::new();
    let hung: Vec<_> = (0..50).map(|_| pool.run_in_group(Lane::FILE, Some(1), gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    for group in [Some(2), Some(3), None, Some(2), Some(99)] {
        block_on(pool.run_in_group(Lane::FILE, group, || ()).unwrap()).unwrap();
    }
    // Four workers, one reserved for the user lane: a group may have half of three.
    let metrics = lane(&pool, Lane::FILE);
    assert_eq!((metrics.running, metrics.queued, metrics.finished), (1, 49, 5));
    gate.open();
    for job in hung {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_hung_group_leaves_half_of_the_queue_to_others() {
    let mut config = PoolConfig::new(1);
    config.set_lane(Lane::FILE, LaneConfig::new(Kind::Io).queue_limit(8).grouped());
    let pool = Pool::new(config).unwrap();
    let (gate, arrived) = Gate::new();
    let mut jobs = vec![pool.run_in_group(Lane::FILE, Some(1), gate.job()).unwrap()];
    arrived.recv().unwrap();
    jobs.extend((0..4).map(|_| pool.run_in_group(Lane::FILE, Some(1), gate.job()).unwrap()));
    let refused = pool.run_in_group(Lane::FILE, Some(1), gate.job()).unwrap_err();
    assert!(refused.is_full() && refused.is_group_full() && !refused.is_shutdown());
    assert_eq!(refused.to_string(), "lane `file` of the pool is full for this group (4 jobs queued)");
    block_on(pool.run_in_group(Lane::FILE, Some(2), || ()).unwrap()).unwrap();
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_full_lane_refuses_at_once_and_recovers() {
    let mut config = PoolConfig::new(1);
    config.set_lane(Lane::CPU, LaneConfig::new(Kind::Cpu).queue_limit(2));
    let pool = Pool::new(config).unwrap();
    let (gate, arrived) = Gate::new();
    let mut jobs = vec![pool.run(Lane::CPU, gate.job()).unwrap()];
    arrived.recv().unwrap();
    jobs.extend((0..2).map(|_| pool.run(Lane::CPU, gate.job()).unwrap()));

    let witness = Arc::new(());
    let held = Arc::clone(&witness);
    let refused = pool.run(Lane::CPU, move || drop(held)).unwrap_err();
    assert!(refused.is_full() && !refused.is_group_full());
    assert_eq!(refused.lane_name(), "cpu");
    assert_eq!(refused.to_string(), "lane `cpu` of the pool is full (2 jobs queued)");
    assert_eq!(Arc::strong_count(&witness), 1, "a refused closure is dropped");

    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    block_on(pool.run(Lane::CPU, || ()).unwrap()).unwrap();
    let metrics = lane(&pool, Lane::CPU);
    assert_eq!((metrics.accepted, metrics.refused, metrics.finished), (4, 1, 4));
    end(&pool);
}

#[test]
fn a_lane_of_another_pool_is_refused() {
    let mut config = PoolConfig::new(1);
    let foreign = config.add_lane("foreign", LaneConfig::new(Kind::Io));
    let pool = two_io_workers();
    let refused = pool.run(foreign, || ()).unwrap_err();
    assert!(refused.is_unknown_lane() && !refused.is_full());
    assert!(pool.metrics().lane(foreign).is_none());
}

#[test]
fn dropping_the_future_takes_queued_work_back() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let first = pool.run(Lane::CPU, gate.job()).unwrap();
    arrived.recv().unwrap();
    let witness = Arc::new(());
    let held = Arc::clone(&witness);
    drop(pool.run(Lane::CPU, move || drop(held)).unwrap());
    assert_eq!(Arc::strong_count(&witness), 1, "the closure is dropped at once");
    let metrics = lane(&pool, Lane::CPU);
    assert_eq!((metrics.cancelled, metrics.queued), (1, 0));
    gate.open();
    block_on(first).unwrap();
    assert_eq!(lane(&pool, Lane::CPU).finished, 1);
    end(&pool);
}

#[test]
fn a_running_job_whose_future_is_dropped_runs_on() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let (sender, result) = channel::<()>();
    let held = gate.job();
    let job = pool.run(Lane::CPU, move || {
        held();
        sender
    });
    arrived.recv().unwrap();
    drop(job);
    gate.open();
    // The result is dropped, and with it the only sender.
    assert!(result.recv().is_err());
    assert_eq!(lane(&pool, Lane::CPU).finished, 1);
    end(&pool);
}

#[test]
fn a_detached_job_runs() {
    let pool = two_io_workers();
    let (sender, result) = channel();
    pool.run(Lane::CPU, move || sender.send(1).unwrap()).unwrap().detach();
    assert_eq!(result.recv(), Ok(1));
    end(&pool);
}

#[test]
fn a_panic_is_an_error_and_the_worker_lives_on() {
    let pool = two_io_workers();
    let error = block_on(pool.run(Lane::CPU, || panic!("at {}", 17)).unwrap()).unwrap_err();
    assert!(error.is_panicked() && !error.is_shutdown());
    assert_eq!(error.panic_message(), Some("at 17"));
    let error = block_on(pool.run(Lane::CPU, || std::panic::panic_any(5)).unwrap()).unwrap_err();
    assert_eq!((error.is_panicked(), error.panic_message()), (true, None));
    let name = || thread::current().name().map(str::to_owned).unwrap();
    assert_eq!(block_on(pool.run(Lane::CPU, name).unwrap()).unwrap(), "lakh-cpu-0");
    let metrics = lane(&pool, Lane::CPU);
    assert_eq!((metrics.panicked, metrics.finished, metrics.running), (2, 1, 0));
    end(&pool);
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn a_result_that_panics_when_dropped_does_not_cost_the_worker() {
    let pool = two_io_workers();
    pool.run(Lane::CPU, || PanicsInDrop).unwrap().detach();
    let captured = PanicsInDrop;
    let job = pool.run_steps(Lane::CPU, None, move || {
        let _kept = &captured;
        Step::Done(3)
    });
    assert_eq!(block_on(job.unwrap()).unwrap(), 3);
    assert_eq!(lane(&pool, Lane::CPU).finished, 2);
    assert_eq!(pool.metrics().workers[1].threads, 1);
    end(&pool);
}

/// Wakes into the pool itself: would deadlock if a lock were held.
struct AsksThePool(Pool, Sender<u64>);

impl Wake for AsksThePool {
    fn wake(self: Arc<Self>) {
        let finished = self.0.metrics().lane(Lane::CPU).unwrap().finished;
        self.1.send(finished).unwrap();
    }
}

#[test]
fn wakers_are_called_without_a_lock_and_after_the_accounts() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let mut job = pool.run(Lane::CPU, gate.job()).unwrap();
    arrived.recv().unwrap();
    let (sender, woken) = channel();
    let waker = Waker::from(Arc::new(AsksThePool(pool.clone(), sender)));
    assert!(pin!(&mut job).poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    assert_eq!(woken.recv(), Ok(1));
    assert!(pin!(&mut job).poll(&mut Context::from_waker(&waker)).is_ready());
    end(&pool);
}

#[test]
fn the_pool_grows_and_shrinks_while_it_runs() {
    let pool = two_io_workers();
    pool.resize(Kind::Io, 9).unwrap();
    // All eight must run at once to pass.
    let barrier = Arc::new(Barrier::new(8));
    let meet = || {
        let barrier = Arc::clone(&barrier);
        pool.run(Lane::USER, move || barrier.wait().is_leader()).unwrap()
    };
    let jobs: Vec<_> = (0..8).map(|_| meet()).collect();
    for job in jobs {
        block_on(job).unwrap();
    }
    pool.resize(Kind::Io, 2).unwrap();
    until(|| pool.metrics().workers[0].threads <= 2);
    block_on(pool.run(Lane::USER, || ()).unwrap()).unwrap();
    assert!(pool.resize(Kind::Cpu, MAX_WORKERS).unwrap_err().is_config());
    pool.resize(Kind::Io, 1).unwrap();
    assert_eq!(pool.metrics().workers.map(|kind| kind.size), [2, 1], "two lanes reserve one each");
    block_on(pool.run(Lane::USER, || ()).unwrap()).unwrap();
    end(&pool);
}

#[test]
fn work_that_waits_is_taken_up_when_the_pool_grows() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let jobs: Vec<_> = (0..3).map(|_| pool.run(Lane::USER, gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    assert_eq!(lane(&pool, Lane::USER).queued, 2);
    pool.resize(Kind::Io, 4).unwrap();
    arrived.recv().unwrap();
    arrived.recv().unwrap();
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_shrunken_pool_keeps_the_reserved_shares() {
    let pool = Pool::new(PoolConfig::new(1)).unwrap();
    let (gate, arrived) = Gate::new();
    let hung: Vec<_> = (0..5).map(|_| pool.run(Lane::USER, gate.job()).unwrap()).collect();
    for _ in 0..3 {
        arrived.recv().unwrap();
    }
    pool.resize(Kind::Io, 2).unwrap();
    block_on(pool.run(Lane::FILE, || ()).unwrap()).unwrap();
    gate.open();
    for job in hung {
        block_on(job).unwrap();
    }
    until(|| pool.metrics().workers[0].threads <= 2);
    end(&pool);
}

#[test]
fn shutdown_resolves_what_is_queued_and_names_what_is_stuck() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let running = pool.run(Lane::CPU, gate.job()).unwrap();
    arrived.recv().unwrap();
    let queued = pool.run(Lane::CPU, || ()).unwrap();
    pool.shutdown();
    let error = block_on(queued).unwrap_err();
    assert!(error.is_shutdown() && !error.is_panicked());
    let refused = pool.run(Lane::CPU, || ()).unwrap_err();
    assert!(refused.is_shutdown() && !refused.is_full());
    assert_eq!(pool.join(Duration::ZERO), 1);
    gate.open();
    block_on(running).unwrap();
    assert_eq!(pool.join(Duration::from_secs(60)), 0);
    let metrics = lane(&pool, Lane::CPU);
    assert_eq!((metrics.accepted, metrics.finished, metrics.dropped), (2, 1, 1));
    pool.shutdown();
}

#[test]
fn a_job_in_steps_ends_at_shutdown_after_its_step() {
    let pool = two_io_workers();
    let (sender, steps) = channel();
    let job = pool.run_steps(Lane::CPU, None, move || -> Step<()> {
        let _ = sender.send(());
        Step::Again
    });
    let job = job.unwrap();
    steps.recv().unwrap();
    pool.shutdown();
    assert!(block_on(job).unwrap_err().is_shutdown());
    end(&pool);
}

#[test]
fn dropping_the_last_handle_ends_the_pool_even_from_a_job() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let held = gate.job();
    let clone = pool.clone();
    let running = pool.run(Lane::CPU, move || {
        held();
        drop(clone);
    });
    arrived.recv().unwrap();
    let queued = pool.run(Lane::CPU, || ()).unwrap();
    drop(pool);
    gate.open();
    block_on(running.unwrap()).unwrap();
    let _ = block_on(queued);
}

#[test]
fn steps_of_jobs_take_turns() {
    let pool = two_io_workers();
    let (gate, arrived) = Gate::new();
    let first = pool.run(Lane::CPU, gate.job()).unwrap();
    arrived.recv().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let stepped = |letter| {
        let log = Arc::clone(&log);
        let mut left = 3;
        pool.run_steps(Lane::CPU, None, move || {
            log.lock().unwrap().push(letter);
            left -= 1;
            if left == 0 { Step::Done(letter) } else { Step::Again }
        })
        .unwrap()
    };
    let (a, b) = (stepped('a'), stepped('b'));
    gate.open();
    block_on(first).unwrap();
    assert_eq!((block_on(a).unwrap(), block_on(b).unwrap()), ('a', 'b'));
    assert_eq!(*log.lock().unwrap(), "ababab");
    let metrics = lane(&pool, Lane::CPU);
    assert_eq!((metrics.finished, metrics.wait.count(), metrics.run.count()), (3, 7, 7));
    end(&pool);
}

#[test]
fn a_job_in_steps_whose_future_is_dropped_ends() {
    let pool = two_io_workers();
    let (sender, steps) = channel();
    let job = pool.run_steps(Lane::CPU, None, move || -> Step<()> {
        let _ = sender.send(());
        Step::Again
    });
    steps.recv().unwrap();
    drop(job);
    // The closure, and its sender, are dropped.
    until(|| steps.recv().is_err());
    until(|| lane(&pool, Lane::CPU).cancelled == 1);
    end(&pool);
}

#[test]
fn a_lane_that_waits_too_long_is_named() {
    let pool = two_io_workers();
    assert!(pool.saturated(Duration::ZERO).is_none());
    let (gate, arrived) = Gate::new();
    let jobs: Vec<_> = (0..3).map(|_| pool.run(Lane::CPU, gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    until(|| pool.saturated(Duration::ZERO).is_some());
    let late = pool.saturated(Duration::ZERO).unwrap();
    assert_eq!((&*late.lane, late.queued, late.group), ("cpu", 2, None));
    assert!(lane(&pool, Lane::CPU).oldest.is_some());
    assert!(pool.saturated(Duration::from_secs(86_400)).is_none());
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    assert!(pool.saturated(Duration::ZERO).is_none());
    end(&pool);
}

/// A pool that tells of a job that has waited for a millisecond.
fn impatient_pool() -> (Pool, Receiver<Saturation>) {
    let shared = Arc::new(Shared::new(&PoolConfig::new(1)).unwrap());
    let pool = Pool { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
    let (warn, warnings) = channel();
    thread::spawn(move || {
        let watch =
            Watch::new(Duration::from_millis(1), |found: &Saturation| warn.send(found.clone()).unwrap());
        shared.start_workers(|kind, number| start_worker(&shared, kind, number), watch);
    });
    (pool, warnings)
}

#[test]
fn a_saturated_lane_is_warned_of_and_counted() {
    let (pool, warnings) = impatient_pool();
    let (gate, arrived) = Gate::new();
    let running = pool.run(Lane::CPU, gate.job()).unwrap();
    arrived.recv().unwrap();
    let waiting = pool.run(Lane::CPU, || ()).unwrap();
    let found = warnings.recv().unwrap();
    assert_eq!((&*found.lane, found.queued, found.kind, found.workers), ("cpu", 1, Kind::Cpu, 1));
    // It goes on counting, silently.
    until(|| lane(&pool, Lane::CPU).saturated >= 3);
    assert!(warnings.try_recv().is_err());
    gate.open();
    block_on(running).unwrap();
    block_on(waiting).unwrap();
    assert_eq!(lane(&pool, Lane::USER).saturated, 0);
    end(&pool);
    assert!(warnings.recv().is_err(), "the watch ends with the pool");
}

#[test]
fn a_lane_that_has_waited_longest_does_not_hide_another() {
    let (pool, warnings) = impatient_pool();
    let (gate, arrived) = Gate::new();
    let jobs: Vec<_> = [(Lane::CPU, 2), (Lane::USER, 4)]
        .into_iter()
        .flat_map(|(lane, jobs)| std::iter::repeat_n(lane, jobs))
        .map(|lane| pool.run(lane, gate.job()).unwrap())
        .collect();
    let next = || warnings.recv_timeout(Duration::from_secs(60)).unwrap().lane;
    let mut named = [next(), next()];
    named.sort();
    assert_eq!(named.each_ref().map(|name| &**name), ["cpu", "user"]);
    until(|| lane(&pool, Lane::CPU).saturated >= 3 && lane(&pool, Lane::USER).saturated >= 3);
    assert!(warnings.try_recv().is_err());
    drop(arrived);
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn a_group_that_holds_a_whole_lane_up_is_named() {
    let pool = Pool::new(PoolConfig::new(2)).unwrap();
    let (gate, arrived) = Gate::new();
    let hung: Vec<_> = (0..20).map(|_| pool.run_in_group(Lane::FILE, Some(7), gate.job()).unwrap()).collect();
    arrived.recv().unwrap();
    let group = || pool.saturated(Duration::ZERO).unwrap().group;
    until(|| group().is_some());
    let running = lane(&pool, Lane::FILE).running;
    assert_eq!(group(), Some(SaturatedGroup { number: Some(7), running }));
    gate.open();
    for job in hung {
        block_on(job).unwrap();
    }
    end(&pool);
}

#[test]
fn nobody_watches_an_idle_pool() {
    let mut state = state::State::new(&PoolConfig::new(1)).unwrap();
    assert!(!state.is_watched());
    assert!(state.look(Duration::ZERO, std::time::Instant::now()).is_empty());
    assert!(!state.is_watched());
    let shared = Arc::new(Shared::new(&PoolConfig::new(1)).unwrap());
    let (work, job) = job::new_job(&shared, Lane::CPU, None, || Step::Done(()));
    assert_eq!(state.submit(work, std::time::Instant::now()).unwrap(), state::Call::Starter);
    assert!(state.look(Duration::from_secs(1), std::time::Instant::now()).is_empty());
    assert!(state.is_watched(), "it waits for a thread");
    drop(state.close());
    state.look(Duration::ZERO, std::time::Instant::now());
    assert!(!state.is_watched(), "nothing waits any more");
    job.detach();
}

#[test]
fn every_accepted_job_is_accounted_for() {
    let pool = Pool::new(PoolConfig::new(1)).unwrap();
    thread::scope(|threads| {
        for thread in 0..4 {
            let pool = &pool;
            threads.spawn(move || submit_a_mixture(pool, thread));
        }
    });
    end(&pool);
    for lane in pool.metrics().lanes {
        let ends = lane.finished + lane.panicked + lane.cancelled + lane.dropped;
        assert_eq!((lane.accepted, lane.queued, lane.running), (ends, 0, 0), "{}", lane.name);
        assert!(lane.wait.count() >= lane.finished + lane.panicked);
        assert_eq!(lane.wait.count(), lane.run.count());
    }
}

fn submit_a_mixture(pool: &Pool, thread: u64) {
    for number in 0..1000_u64 {
        let lane = [Lane::FILE, Lane::USER, Lane::CPU][(number % 3) as usize];
        let mut left = number % 5;
        let job = pool.run_steps(lane, Some(thread % 3), move || match left {
            0 => Step::Done(number),
            _ => {
                left -= 1;
                Step::Again
            }
        });
        match (job, number % 7) {
            (Ok(job), 0..=2) => assert_eq!(block_on(job).unwrap(), number),
            (Ok(job), 3) => job.detach(),
            (job, _) => drop(job),
        }
    }
}

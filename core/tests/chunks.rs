//! A computation that is split over the workers of a lane.

use lakh_core::{
    block_on, map_chunks,
    pool::{Kind, Lane, LaneConfig, LaneMetrics, MapChunks, Pool, PoolConfig, RunError},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

/// A pool with so many cpu workers.
fn pool(workers: usize) -> Pool {
    Pool::new(PoolConfig::new(1).workers(Kind::Cpu, workers)).unwrap()
}

fn lane(pool: &Pool) -> LaneMetrics {
    pool.metrics().lane(Lane::CPU).unwrap().clone()
}

fn wait<T>(future: impl Future<Output = T> + 'static) -> T
where
    T: 'static,
{
    block_on(future).unwrap()
}

#[test]
fn all_results_come_in_the_order_of_the_elements_by_no_more_jobs_than_workers() {
    let pool = pool(3);
    for (elements, length) in [(1000, 7), (1000, 1000), (1000, 5000), (1, 1), (3, 0)] {
        let before = lane(&pool).accepted;
        let numbers: Vec<usize> = (0..elements).collect();
        let parts = wait(pool.map_chunks(Lane::CPU, numbers.clone(), length, <[usize]>::to_vec)).unwrap();
        assert_eq!(parts.len(), elements.div_ceil(length.max(1)));
        assert_eq!(parts.concat(), numbers);
        assert!(lane(&pool).accepted - before <= 3.min(parts.len() as u64));
    }
    assert_eq!(wait(pool.map_chunks(Lane::CPU, Vec::<u8>::new(), 7, |_| ())).unwrap(), []);
}

/// One worker: while it is at the first chunk, another job comes.
#[test]
fn other_jobs_of_the_lane_have_their_turn_after_a_chunk() {
    let pool = pool(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (log, others) = (Arc::clone(&seen), Arc::clone(&seen));
    let (begun, has_begun) = mpsc::channel();
    let chunks = pool.map_chunks(Lane::CPU, vec![1, 2, 3], 1, move |part| {
        let _ = begun.send(());
        let _ = gate.lock().unwrap().recv();
        log.lock().unwrap().push(part[0]);
    });
    has_begun.recv().unwrap();
    let other = pool.run(Lane::CPU, move || others.lock().unwrap().push(0)).unwrap();
    drop(open);
    wait(async move { (chunks.await.unwrap(), other.await.unwrap()) });
    assert_eq!(*seen.lock().unwrap(), [1, 0, 2, 3]);
}

/// One of two workers does something else. On the other one the first job does the first chunk, and is queued again behind
/// the second job, which does the second chunk, and behind something that takes long.
#[test]
fn a_job_that_is_not_needed_is_not_waited_for() {
    let (pool, chunks, end) = with_a_job_too_many();
    assert_eq!(wait(chunks).unwrap(), [2, 4]);
    let now = lane(&pool);
    assert_eq!((now.queued, now.cancelled, now.running), (0, 1, 2), "it was taken back");
    end();
}

#[test]
fn results_that_are_there_are_given_though_the_pool_shuts_down() {
    let (pool, chunks, end) = with_a_job_too_many();
    pool.shutdown();
    assert_eq!(wait(chunks).unwrap(), [2, 4]);
    assert_eq!(lane(&pool).dropped, 1);
    end();
}

fn with_a_job_too_many() -> (Pool, MapChunks<i32>, impl FnOnce()) {
    let pool = pool(2);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let hold = |begun: mpsc::Sender<()>| {
        let gate = Arc::clone(&gate);
        let hold = move || {
            begun.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        };
        pool.run(Lane::CPU, hold).unwrap()
    };
    let (begun, has_begun) = mpsc::channel();
    let busy = hold(begun.clone());
    has_begun.recv().unwrap();
    let (go_on, first) = mpsc::channel::<()>();
    let (first, tell) = (Mutex::new(first), begun.clone());
    let chunks = pool.map_chunks(Lane::CPU, vec![1, 2], 1, move |part| {
        if part[0] == 1 {
            tell.send(()).unwrap();
            first.lock().unwrap().recv().unwrap();
        }
        part[0] * 2
    });
    has_begun.recv().unwrap();
    let long = hold(begun);
    go_on.send(()).unwrap();
    has_begun.recv().unwrap();
    assert_eq!(lane(&pool).queued, 1, "the first job");
    let end = || {
        drop(open);
        wait(async move { (busy.await.unwrap(), long.await.unwrap()) });
    };
    (pool, chunks, end)
}

/// It says that it has four elements, and later that it has three.
struct Shrinking(AtomicUsize);

impl AsRef<[u8]> for Shrinking {
    fn as_ref(&self) -> &[u8] {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => b"four",
            _ => b"for",
        }
    }
}

#[test]
fn data_that_becomes_shorter_is_an_error_and_not_waited_for_in_vain() {
    let data = Shrinking(AtomicUsize::new(0));
    assert!(wait(pool(1).map_chunks(Lane::CPU, data, 1, |part| part[0])).unwrap_err().is_panicked());
}

#[test]
fn a_panic_is_told_and_the_rest_is_not_begun() {
    let pool = pool(1);
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let work = move |part: &[i32]| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(part[0] != 2, "on purpose: the second chunk");
    };
    let error: RunError = wait(pool.map_chunks(Lane::CPU, vec![1, 2, 3, 4], 1, work)).unwrap_err();
    assert_eq!(error.panic_message(), Some("on purpose: the second chunk"));
    wait(pool.run(Lane::CPU, || ()).unwrap()).unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

#[test]
fn dropping_the_future_takes_back_what_has_not_begun() {
    let pool = pool(1);
    let done = Arc::new(AtomicUsize::new(0));
    let (count, (open, gate), (begun, has_begun)) =
        (Arc::clone(&done), mpsc::channel::<()>(), mpsc::channel());
    let gate = Mutex::new(gate);
    let chunks = pool.map_chunks(Lane::CPU, vec![1, 2, 3], 1, move |_| {
        let _ = begun.send(());
        let _ = gate.lock().unwrap().recv();
        count.fetch_add(1, Ordering::Relaxed);
    });
    has_begun.recv().unwrap();
    drop(chunks);
    drop(open);
    wait(pool.run(Lane::CPU, || ()).unwrap()).unwrap();
    assert_eq!((done.load(Ordering::Relaxed), lane(&pool).cancelled), (1, 1));
}

#[test]
fn a_full_lane_refuses_all_and_one_with_little_room_takes_what_it_can() {
    let mut config = PoolConfig::new(1).workers(Kind::Cpu, 4);
    config.set_lane(Lane::CPU, LaneConfig::new(Kind::Cpu).queue_limit(1));
    let pool = Pool::new(config).unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let hold = || {
        let (gate, (begun, has_begun)) = (Arc::clone(&gate), mpsc::channel());
        let job = pool.run(Lane::CPU, move || {
            begun.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        });
        has_begun.recv().unwrap();
        job.unwrap()
    };
    let held: Vec<_> = (0..4).map(|_| hold()).collect();
    let room_for_one = pool.map_chunks(Lane::CPU, vec![1, 2, 3], 1, |part| part[0]);
    assert_eq!(lane(&pool).queued, 1);
    let none = pool.map_chunks(Lane::CPU, vec![1, 2, 3], 1, |part| part[0]);
    assert!(wait(none).unwrap_err().is_full());
    drop(open);
    assert_eq!(wait(room_for_one).unwrap(), [1, 2, 3]);
    held.into_iter().for_each(|job| wait(job).unwrap());
    pool.shutdown();
    assert!(wait(pool.map_chunks(Lane::CPU, vec![1], 1, |part| part[0])).unwrap_err().is_shutdown());
}

#[test]
fn a_shard_has_it_computed_by_its_pool() {
    let squares =
        async { map_chunks(vec![1_u32, 2, 3], 2, |part| part.iter().map(|n| n * n).sum::<u32>()).await };
    assert_eq!(wait(squares).unwrap(), [5, 9]);
}

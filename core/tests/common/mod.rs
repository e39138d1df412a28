//! What tests share: a shard, a pool that is soon full, jobs that hold it, a shell.

#![allow(dead_code, reason = "not every test needs all of it")]

use lakh_core::{
    Runtime, block_on,
    pool::{Job, Kind, Lane, LaneConfig, Pool, PoolConfig},
    timeout, with,
};
use std::{
    io,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Ends a test that hangs; no test waits for it.
pub(crate) const SAFETY_NET: Duration = Duration::from_secs(20);

/// Runs `test` on a shard.
pub(crate) fn on_a_shard(test: impl Future<Output = io::Result<()>> + 'static) {
    block_on(async { timeout(SAFETY_NET, test).await.expect("the test ends") }).unwrap().unwrap();
}

/// A shell with this script.
#[cfg(unix)]
pub(crate) fn sh(script: &str) -> lakh_core::process::Command {
    lakh_core::process::Command::new("/bin/sh").arg("-c").arg(script)
}

/// Runs `test` on a shard whose pool has one worker and room for one file job besides.
pub(crate) fn with_a_small_pool<F: Future<Output = ()> + 'static>(
    test: impl Fn() -> F + Send + Sync + 'static,
) {
    let mut config = PoolConfig::new(1).workers(Kind::Io, 2);
    config.set_lane(Lane::FILE, LaneConfig::new(Kind::Io).queue_limit(1).cap(1));
    config.set_lane(Lane::USER, LaneConfig::new(Kind::Io).cap(1));
    with_pool(config, test);
}

/// Runs `test` on a shard with this pool.
pub(crate) fn with_pool<F: Future<Output = ()> + 'static>(
    config: PoolConfig,
    test: impl Fn() -> F + Send + Sync + 'static,
) {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).pool(config).start(move |shard| {
        let task = shard.spawn(test());
        let tell = tell.clone();
        shard.spawn_detached(async move { tell.send(task.await.is_ok()).unwrap() });
        Ok(())
    });
    let runtime = runtime.unwrap();
    assert!(told.recv_timeout(SAFETY_NET).expect("the test ends"), "the test panicked");
    drop(runtime);
}

/// Occupies the file lane's worker, and its queue if that is wanted.
pub(crate) struct Hold {
    release: mpsc::Sender<()>,
    jobs: Vec<Job<()>>,
}

impl Hold {
    pub(crate) async fn worker(pool: &Pool) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let job = pool.run(Lane::FILE, move || {
            tell.send(()).unwrap();
            // An error says that the hold was dropped.
            let _ = released.recv();
        });
        pool.run(Lane::USER, move || told.recv().unwrap()).unwrap().await.unwrap();
        Hold { release, jobs: vec![job.unwrap()] }
    }

    pub(crate) async fn all(pool: &Pool) -> Self {
        let mut hold = Self::worker(pool).await;
        hold.jobs.push(pool.run(Lane::FILE, || ()).unwrap());
        hold
    }

    pub(crate) async fn end(self) {
        drop(self.release);
        for job in self.jobs {
            job.await.unwrap();
        }
    }
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn pool() -> Pool {
    with(|shard| shard.pool().clone())
}

//! The pool of a runtime: how it begins and how it ends.

use crate::{
    pool::{Pool, PoolConfig, PoolError},
    stderr::warn,
};
use std::time::Duration;

/// How long the end waits for jobs of the pool that run: they clean up what nobody waits for any more, as a child that is
/// to be killed or half of a file.
const LAST_JOBS: Duration = Duration::from_secs(1);

pub(crate) fn default_pool() -> Result<Pool, PoolError> {
    Pool::new(PoolConfig::from_environment()?)
}

/// Ends the pool of a runtime that ends. Its shards have ended, but for one that drops its own runtime, or that hangs.
pub(crate) fn end_pool(pool: &Pool) {
    pool.shutdown();
    if pool.join(LAST_JOBS) == 0 {
        return;
    }
    // Others may only not have got the CPU in that time.
    let stuck: usize = pool.metrics().workers.iter().map(|workers| workers.running).sum();
    if stuck > 0 {
        warn(format_args!("lakh: {stuck} of the pool's jobs do not end, and are left behind"));
    }
}

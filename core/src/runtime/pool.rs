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

/// Ends a pool whose shards have ended.
pub(crate) fn end_pool(pool: &Pool) {
    pool.shutdown();
    let stuck = pool.join(LAST_JOBS);
    if stuck > 0 {
        warn(format_args!("lakh: {stuck} of the pool's jobs do not end, and are left behind"));
    }
}

//! Times of a run, as numbers.

use std::time::{Duration, Instant};

/// Nanoseconds since the run's beginning.
pub(crate) type Nanos = u64;

/// One for all shards of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// It is zero now.
    pub(crate) fn new() -> Self {
        Clock(Instant::now())
    }

    #[inline]
    pub(crate) fn now(self) -> Nanos {
        self.at(Instant::now())
    }

    #[inline]
    pub(crate) fn at(self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.0))
    }

    pub(crate) fn instant(self, at: Nanos) -> Instant {
        self.0 + Duration::from_nanos(at)
    }
}

/// Longer than 500 years is 500 years.
#[inline]
pub(crate) fn nanos(duration: Duration) -> Nanos {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

//! Times, in a histogram of fixed size.

use hdrhistogram::Histogram;
use std::time::Duration;

/// A longer time counts as this one.
const LONGEST: Duration = Duration::from_secs(60 * 60);
const DIGITS: u8 = 3;

/// Times from a microsecond to an hour, to three significant digits, in a fixed amount of memory.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// None yet.
    pub fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, DIGITS);
        Latency(bounds.expect("the bounds are constants that hold"))
    }

    /// Adds one.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros() as u64);
    }

    /// Adds one, in nanoseconds.
    #[inline]
    pub fn record_nanos(&mut self, nanos: u64) {
        self.0.saturating_record(nanos / 1000);
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share of all (0 to 1) did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// The histogram itself, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Default for Latency {
    fn default() -> Self {
        Latency::new()
    }
}

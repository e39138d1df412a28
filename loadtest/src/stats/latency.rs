//! Times, in a histogram of fixed size.

use hdrhistogram::Histogram;
use std::{sync::OnceLock, time::Duration};

/// A longer time counts as this one.
const LONGEST: Duration = Duration::from_secs(60 * 60);
const DIGITS: u8 = 3;

/// Times from a microsecond to an hour, to three significant digits, in a fixed amount of memory: 190 KB from the
/// first one on, and none before.
#[derive(Clone, Debug, Default)]
pub struct Latency(Option<Box<Histogram<u64>>>);

impl Latency {
    /// None yet.
    pub fn new() -> Self {
        Latency(None)
    }

    #[inline]
    fn own(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| Box::new(empty()))
    }

    /// Adds one. Less than a microsecond counts as one, more than an hour as an hour.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.own().saturating_record(microseconds(time));
    }

    /// Adds one, in nanoseconds.
    #[inline]
    pub fn record_nanos(&mut self, nanos: u64) {
        self.own().saturating_record(nanos / 1000);
    }

    /// Adds as many of one time, in nanoseconds.
    pub fn record_many_nanos(&mut self, nanos: u64, many: u64) {
        self.own().saturating_record_n(nanos / 1000, many);
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Latency) {
        if let Some(others) = &other.0 {
            self.own().add(&**others).expect("both have the same bounds");
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram().len()
    }

    /// The time that this share of all (0 to 1) did not exceed; 0 if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.histogram().value_at_quantile(share)).min(LONGEST)
    }

    /// The longest, 0 if there are none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.histogram().max()).min(LONGEST)
    }

    /// The mean, 0 if there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.histogram().mean() / 1e6)
    }

    /// Whether the histogram counts both times at one place.
    pub fn is_same(&self, one: Duration, other: Duration) -> bool {
        self.histogram().equivalent(microseconds(one), microseconds(other))
    }

    /// The histogram itself, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        static EMPTY: OnceLock<Histogram<u64>> = OnceLock::new();
        self.0.as_deref().unwrap_or_else(|| EMPTY.get_or_init(empty))
    }
}

fn empty() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, DIGITS);
    bounds.expect("the bounds are constants that hold")
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_zero() {
        let none = Latency::new();
        assert_eq!((none.count(), none.quantile(0.99), none.max()), (0, Duration::ZERO, Duration::ZERO));
        assert_eq!(none.mean(), Duration::ZERO);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::new();
        for milliseconds in 1..=1000 {
            latency.record(Duration::from_millis(milliseconds));
        }
        for (share, milliseconds) in
            [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)]
        {
            let found = latency.quantile(share).as_secs_f64() * 1000.0;
            assert!((found / milliseconds - 1.0).abs() <= 0.001, "{share}: {found}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_counts_at_the_bound() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.count(), 2);
        assert!(
            latency.max() >= LONGEST && latency.max() < LONGEST + Duration::from_secs(4),
            "{:?}",
            latency.max()
        );
        assert!(latency.quantile(0.0) <= Duration::from_micros(1));
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole(times in prop::collection::vec((0_u64..10_000_000, any::<bool>()), 0..200)) {
            let (mut whole, mut parts) = (Latency::new(), [Latency::new(), Latency::new()]);
            for (microseconds, second) in times {
                whole.record(Duration::from_micros(microseconds));
                parts[usize::from(second)].record(Duration::from_micros(microseconds));
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            prop_assert_eq!(merged.histogram(), whole.histogram());
        }
    }
}

//! A histogram of fixed size for times and sizes.
//!
//! Buckets grow with the value: every power of two is cut into eight, so that a quantile is at most
//! one eighth (12.5 %) above the true value, over the whole range of `u64`. Recording is three
//! relaxed atomic additions and never allocates, so it may stand on a hot path. Any number of
//! threads may write and any thread may read; a [`Snapshot`] taken while others record may miss
//! records that are under way.
//!
//! ```
//! use lakh_core::histogram::Histogram;
//!
//! let waits = Histogram::new();
//! for nanoseconds in 1..=1000 {
//!     waits.record(nanoseconds);
//! }
//! let snapshot = waits.snapshot();
//! assert_eq!(snapshot.count(), 1000);
//! assert_eq!(snapshot.max(), 1000);
//! assert!((500..=563).contains(&snapshot.quantile(0.5)));
//! ```

use std::fmt;
// Counters order nothing between threads, so loom has nothing to check here: plain std atomics.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts values in buckets whose width is at most an eighth of the value.
///
/// About 4 KB, allocated once by [`new`](Histogram::new).
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    /// An empty histogram. The only call that allocates, apart from [`snapshot`](Self::snapshot).
    pub fn new() -> Histogram {
        Histogram {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Counts one value, in whatever unit the caller has chosen for this histogram.
    pub fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
    }

    /// What was recorded so far, as plain numbers.
    pub fn snapshot(&self) -> Snapshot {
        let buckets: Box<[u64]> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        Snapshot {
            count: buckets.iter().sum(),
            sum: self.sum.load(Relaxed),
            max: self.max.load(Relaxed),
            buckets,
        }
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}

/// The contents of a [`Histogram`] at one moment; can be merged with others.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    buckets: Box<[u64]>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Snapshot {
    /// A snapshot of nothing, to merge others into.
    pub fn empty() -> Snapshot {
        Snapshot { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0, sum: 0, max: 0 }
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values, wrapping at 2⁶⁴.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest value recorded, exactly; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that a share `q` of the records does not exceed, at most 12.5 % too high.
    ///
    /// `q` is a fraction: 0.99 asks for the 99th percentile. It is clamped to 0.0..=1.0, and NaN
    /// counts as 0. An empty snapshot answers 0.
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(index).min(self.max);
            }
        }
        0
    }

    /// Adds the records of `other`, as if both had been recorded in one histogram.
    pub fn merge(&mut self, other: &Snapshot) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The buckets that hold something: the greatest value each stands for, and its count,
    /// ascending. For encoders of metrics.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0)
            .map(|(index, &count)| (last_of(index), count))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("count", &self.count)
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// Values below `1 << SUB_BITS` have a bucket each.
fn bucket_of(value: u64) -> usize {
    if value < SUBS {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros();
    let sub = (value >> (exponent - SUB_BITS)) & (SUBS - 1);
    (u64::from(exponent - SUB_BITS + 1) * SUBS + sub) as usize
}

/// The greatest value that falls into the bucket.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < SUBS {
        return index;
    }
    let shift = (index / SUBS - 1) as u32;
    let first = (SUBS + index % SUBS) << shift;
    first + ((1 << shift) - 1)
}

/// Each power of two is cut into `1 << SUB_BITS` buckets.
const SUB_BITS: u32 = 3;
const SUBS: u64 = 1 << SUB_BITS;
/// One row of exact small values, then one row for each exponent from `SUB_BITS` to 63.
const BUCKETS: usize = SUBS as usize * (64 - SUB_BITS as usize + 1);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_cover_every_u64() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(last_of(BUCKETS - 1), u64::MAX);
        for index in 0..BUCKETS {
            assert_eq!(bucket_of(last_of(index)), index);
            if index + 1 < BUCKETS {
                assert_eq!(bucket_of(last_of(index) + 1), index + 1);
            }
        }
    }

    #[test]
    fn a_quantile_is_never_below_the_value_and_at_most_an_eighth_above() {
        for value in [0, 1, 7, 8, 9, 1000, 123_456_789, u64::MAX / 3] {
            let histogram = Histogram::new();
            histogram.record(value);
            histogram.record(u64::MAX);
            let found = histogram.snapshot().quantile(0.5);
            assert!(found >= value && found - value <= value / 8, "{value} became {found}");
        }
    }

    #[test]
    fn an_empty_snapshot_answers_zero() {
        let empty = Histogram::new().snapshot();
        assert_eq!((empty.count(), empty.max(), empty.quantile(0.99)), (0, 0, 0));
        assert_eq!(empty, Snapshot::empty());
    }

    #[test]
    fn merging_equals_recording_in_one() {
        let (low, high, both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for value in 0..100 {
            low.record(value);
            high.record(value * 1000);
            both.record(value);
            both.record(value * 1000);
        }
        let mut merged = low.snapshot();
        merged.merge(&high.snapshot());
        assert_eq!(merged, both.snapshot());
        assert_eq!(merged.buckets().map(|(_, count)| count).sum::<u64>(), merged.count());
    }

    #[test]
    fn quantiles_out_of_range_are_clamped() {
        let histogram = Histogram::new();
        histogram.record(3);
        histogram.record(5);
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.quantile(-1.0), 3);
        assert_eq!(snapshot.quantile(7.0), 5);
        assert_eq!(snapshot.quantile(f64::NAN), 3);
    }
}

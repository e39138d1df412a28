//! Latencies in fixed buckets: 32 to each power of two, so a percentile is off by 3 % at most.

use std::time::Duration;

const BITS: u32 = 5;
const SUB: u64 = 1 << BITS;
const BUCKETS: usize = ((64 - BITS as usize) + 1) * SUB as usize;

/// Counts of nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration, times: u64) {
        self.counts[bucket(latency.as_nanos() as u64)] += times;
        self.total += times;
    }

    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
    }

    /// The latency that `share` of all did not exceed; zero without samples.
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(middle(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    (u64::from(shift + 1) * SUB + ((value >> shift) - SUB)) as usize
}

fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let shift = index / SUB - 1;
    ((index % SUB + SUB) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_near_it() {
        for value in (0..64).map(|bit| 1_u64 << bit).flat_map(|v| [v - 1, v, v + v / 3]).chain([u64::MAX]) {
            let got = middle(bucket(value)) as f64;
            assert!((got - value as f64).abs() <= value as f64 / 32.0, "{value} became {got}");
        }
    }

    #[test]
    fn percentiles_count_samples() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.5), Duration::ZERO);
        histogram.record(Duration::from_nanos(10), 98);
        histogram.record(Duration::from_nanos(20), 1);
        histogram.record(Duration::from_nanos(30), 1);
        assert_eq!(histogram.percentile(0.5), Duration::from_nanos(10));
        assert_eq!(histogram.percentile(0.99), Duration::from_nanos(20));
        assert_eq!(histogram.percentile(1.0), Duration::from_nanos(30));
    }
}

//! When one message reached its receivers.

/// Buckets for each power of two: a bucket is at most a 32nd of its value wide.
const EACH: u64 = 32;
const EACH_BITS: u32 = EACH.ilog2();

/// The delays of one message, in as little memory as they need: rows of equal delays, the shortest first. A shard's
/// clock only goes forward, so that on a shard each delay belongs to the last row or to a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Bucket and count.
    rows: Vec<(u16, u32)>,
    count: u64,
    first: u64,
    last: u64,
}

impl Spread {
    /// Adds one, in nanoseconds.
    #[inline]
    pub(crate) fn add(&mut self, delay: u64) {
        self.first = if self.count == 0 { delay } else { self.first.min(delay) };
        self.last = self.last.max(delay);
        self.count += 1;
        let bucket = bucket_of(delay / 1000);
        match self.rows.last_mut() {
            Some((last, count)) if *last == bucket => *count += 1,
            Some((last, _)) if *last > bucket => {
                let at = self.rows.partition_point(|row| row.0 < bucket);
                match self.rows[at].0 == bucket {
                    true => self.rows[at].1 += 1,
                    false => self.rows.insert(at, (bucket, 1)),
                }
            }
            _ => self.rows.push((bucket, 1)),
        }
    }

    pub(crate) fn merge(&mut self, other: &Spread) {
        if other.count == 0 {
            return;
        }
        self.first = if self.count == 0 { other.first } else { self.first.min(other.first) };
        self.last = self.last.max(other.last);
        self.count += other.count;
        let (mut own, mut others) = (self.rows.as_slice(), other.rows.as_slice());
        let mut rows = Vec::with_capacity(own.len().max(others.len()));
        while let (Some(&(bucket, count)), Some(&(others_bucket, others_count))) =
            (own.first(), others.first())
        {
            let lowest = bucket.min(others_bucket);
            let mut sum = 0;
            if bucket == lowest {
                (own, sum) = (&own[1..], count);
            }
            if others_bucket == lowest {
                (others, sum) = (&others[1..], sum + others_count);
            }
            rows.push((lowest, sum));
        }
        rows.extend_from_slice(own);
        rows.extend_from_slice(others);
        self.rows = rows;
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// To the first receiver, in nanoseconds; 0 if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// To the last one.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// To the one in the middle, within a 32nd.
    pub(crate) fn median(&self) -> u64 {
        let mut left = self.count.div_ceil(2);
        for &(bucket, count) in &self.rows {
            if left <= u64::from(count) {
                return (highest_of(bucket) * 1000).clamp(self.first, self.last);
            }
            left -= u64::from(count);
        }
        0
    }
}

/// Of microseconds.
fn bucket_of(value: u64) -> u16 {
    if value < EACH {
        return value as u16;
    }
    let shift = value.ilog2() - EACH_BITS;
    // Below 60 × 32 for any value.
    (u64::from(shift) * EACH + (value >> shift)) as u16
}

fn highest_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < EACH {
        return bucket;
    }
    let (shift, value) = (bucket / EACH - 1, bucket % EACH + EACH);
    (value << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_is_at_most_a_32nd_wide(value in 0_u64..1 << 50) {
            let highest = highest_of(bucket_of(value));
            prop_assert!(value <= highest && highest - value <= value / 32, "{value} {highest}");
        }

        #[test]
        fn several_shards_delays_merge_to_those_of_one(
            shards in prop::collection::vec(prop::collection::vec(0_u64..10_000_000_000, 0..40), 0..5),
        ) {
            let (mut merged, mut one) = (Spread::default(), Spread::default());
            let mut all = Vec::new();
            for delays in shards {
                let mut spread = Spread::default();
                for delay in delays {
                    spread.add(delay);
                    one.add(delay);
                    all.push(delay);
                }
                merged.merge(&spread);
            }
            prop_assert_eq!(&merged, &one);
            all.sort_unstable();
            prop_assert_eq!(merged.count(), all.len() as u64);
            if let (Some(&first), Some(&last)) = (all.first(), all.last()) {
                prop_assert_eq!((merged.first(), merged.last()), (first, last));
                let median = all[(all.len() - 1) / 2];
                prop_assert!(merged.median().abs_diff(median) <= median / 32 + 1000);
            }
        }
    }
}

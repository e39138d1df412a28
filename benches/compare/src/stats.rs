//! Medians with intervals that assume nothing about the distribution.

/// A median and the interval that holds the true one with at least `coverage` probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// 0.95 or more from six samples on; with fewer the interval is everything seen.
    pub coverage: f64,
}

/// The estimate of the median by order statistics; `None` without samples.
///
/// The number of samples below the true median is binomial (n, ½), so the k-th smallest and k-th largest
/// sample enclose it with probability 1 − 2·P(X < k). The largest k that still covers 95 % is taken.
pub fn estimate(samples: &[f64]) -> Option<Estimate> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 {
        return None;
    }
    let (rank, coverage) = interval_rank(n);
    Some(Estimate {
        median: median_of_sorted(&sorted),
        low: sorted[rank - 1],
        high: sorted[n - rank],
        coverage,
    })
}

/// The estimate of `of / to` where both were measured in the same rounds: the ratio is taken within each
/// round, so that what slows a whole round down (another tenant, a hotter processor) cancels out.
pub fn paired_ratio(of: &[f64], to: &[f64]) -> Option<Estimate> {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    estimate(&ratios)
}

pub fn median(samples: &[f64]) -> f64 {
    estimate(samples).map_or(f64::NAN, |estimate| estimate.median)
}

/// Whether a measurement speaks against a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The median keeps the budget.
    Within,
    /// The median is over, but the interval's lower end is not: more rounds would tell.
    Undecided,
    /// Even the interval's lower end is over.
    Over,
}

impl Estimate {
    pub fn against(&self, budget: f64) -> Verdict {
        if self.median <= budget {
            Verdict::Within
        } else if self.low <= budget {
            Verdict::Undecided
        } else {
            Verdict::Over
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Within => "within budget",
            Verdict::Undecided => "not over budget (the median is, the interval's lower end is not)",
            Verdict::Over => "OVER BUDGET",
        })
    }
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The largest rank k (from 1) whose interval covers 95 %, and its coverage.
fn interval_rank(n: usize) -> (usize, f64) {
    let mut probability = 0.5_f64.powi(n as i32); // of exactly k samples below the median, here k = 0
    let mut below = probability; // of at most k samples below it
    let mut best = (1, 1.0 - 2.0 * below);
    for k in 1..n / 2 {
        probability *= (n - k + 1) as f64 / k as f64;
        below += probability;
        let coverage = 1.0 - 2.0 * below;
        if coverage < 0.95 {
            break;
        }
        best = (k + 1, coverage);
    }
    (best.0, best.1.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(n: u32) -> Vec<f64> {
        (1..=n).rev().map(f64::from).collect()
    }

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn interval_of_fifteen_is_the_fourth_from_each_end() {
        let got = estimate(&first(15)).unwrap();
        assert_eq!((got.low, got.median, got.high), (4.0, 8.0, 12.0));
        assert!((got.coverage - 0.9648).abs() < 1e-4, "{got:?}");
    }

    #[test]
    fn interval_ranks_agree_with_the_published_table() {
        for (n, rank) in [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8), (30, 10), (50, 18)] {
            assert_eq!(interval_rank(n).0, rank, "n = {n}");
            assert!(interval_rank(n).1 >= 0.95, "n = {n}");
        }
    }

    #[test]
    fn few_samples_give_all_that_was_seen_and_say_so() {
        let got = estimate(&[5.0, 9.0, 7.0]).unwrap();
        assert_eq!((got.low, got.median, got.high), (5.0, 7.0, 9.0));
        assert_eq!(got.coverage, 0.75);
        assert_eq!(estimate(&[5.0]).unwrap().coverage, 0.0);
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn paired_ratio_cancels_what_a_round_has_in_common() {
        let floor = [1.0, 10.0, 2.0, 5.0, 7.0, 3.0];
        let server: Vec<f64> = floor.iter().map(|cost| cost * 1.25).collect();
        let got = paired_ratio(&server, &floor).unwrap();
        assert_eq!((got.low, got.median, got.high), (1.25, 1.25, 1.25));
    }

    #[test]
    fn over_budget_needs_the_lower_end() {
        let ratio = Estimate { median: 1.08, low: 1.05, high: 1.1, coverage: 0.96 };
        assert_eq!(ratio.against(1.10), Verdict::Within);
        assert_eq!(ratio.against(1.06), Verdict::Undecided);
        assert_eq!(ratio.against(1.04), Verdict::Over);
    }
}

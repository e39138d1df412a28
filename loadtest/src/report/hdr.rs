//! Histograms for other programs.

use crate::stats::Latency;
use std::{fmt::Write as _, time::Duration};

/// Steps in each halving of what is left up to 100 %, as wrk2 has them.
const STEPS: u32 = 5;

/// The distribution as HdrHistogram writes it (`.hgrm`), in milliseconds: what HdrHistogram's plotter (`plotFiles.html`)
/// and `hdr-plot --units ms` read, and what wrk2 prints.
pub fn percentiles(times: &Latency) -> String {
    let histogram = times.histogram();
    let milliseconds = |value: u64| value as f64 / 1000.0;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (milliseconds(step.value_iterated_to()), step.quantile_iterated_to());
        let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        histogram.mean() / 1000.0,
        histogram.stdev() / 1000.0
    );
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        milliseconds(histogram.max()),
        histogram.len()
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two()
    );
    text
}

/// Points of the distribution: nines (0 for the lowest, 1 for 90 %, 2 for 99 %) and times. The last one, where all but
/// one are counted, has the time of that one.
pub(super) fn by_nines(times: &Latency) -> Vec<(f64, Duration)> {
    if times.count() == 0 {
        return Vec::new();
    }
    let most = (times.count() as f64).log10().max(1.0);
    let steps = (most * 20.0).ceil() as u32;
    let points = (0..=steps).map(|step| {
        let nines = most * f64::from(step) / f64::from(steps);
        let share = if step == steps { 1.0 } else { 1.0 - 10_f64.powf(-nines) };
        (nines, times.quantile(share))
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    /// What hdr-plot and HdrHistogram's plotter take for a point.
    fn points(text: &str) -> Vec<[f64; 4]> {
        let numbers = |line: &str| -> Option<[f64; 4]> {
            let numbers: Vec<f64> =
                line.split_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
            numbers.try_into().ok()
        };
        text.lines().filter(|line| line.starts_with(' ')).filter_map(numbers).collect()
    }

    #[test]
    fn plotters_find_points_that_rise() {
        let times = made_up::outcome(10_000).tally.response;
        let text = percentiles(&times);
        let points = points(&text);
        assert!(points.len() > 20, "{text}");
        assert_eq!(points[0][1], 0.0);
        for pair in points.windows(2) {
            assert!(pair[0].iter().zip(pair[1]).all(|(before, after)| *before <= after), "{pair:?}");
        }
        for [milliseconds, quantile, total, rest] in points {
            let expected = times.quantile(quantile).as_secs_f64() * 1000.0;
            assert!((milliseconds / expected - 1.0).abs() < 0.01, "{milliseconds} {expected}");
            assert!(total >= (quantile * 10_000.0).floor() && total <= 10_000.0);
            assert!((rest * (1.0 - quantile) - 1.0).abs() < 0.01);
        }
        let last = text.lines().find(|line| line.contains(" 1.000000000000 ")).unwrap();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["11.983", "1.000000000000", "10000"]);
    }

    #[test]
    fn the_last_three_lines_sum_up() {
        let text = percentiles(&made_up::outcome(10_000).tally.response);
        let lines: Vec<_> = text.lines().rev().take(3).map(|line| line.replace(' ', "")).collect();
        assert_eq!(lines[0], "#[Buckets=22,SubBuckets=2048]");
        assert_eq!(lines[1], "#[Max=11.983,Totalcount=10000]");
        assert!(lines[2].starts_with("#[Mean=0.382,StdDeviation=0.2"), "{}", lines[2]);
    }

    #[test]
    fn nothing_and_one_have_a_distribution_too() {
        let mut times = Latency::new();
        assert!(points(&percentiles(&times)).is_empty() && by_nines(&times).is_empty());
        assert!(percentiles(&times).contains("Total count    =            0]"));
        times.record(Duration::from_millis(2));
        assert!(percentiles(&times).contains("       2.000 1.000000000000          1\n"));
        assert!(by_nines(&times).iter().all(|(_, time)| *time == Duration::from_millis(2)));
    }

    #[test]
    fn nines_end_with_the_slowest() {
        let times = made_up::outcome(10_000).tally.response;
        let points = by_nines(&times);
        assert_eq!(points[0].0, 0.0);
        assert!((points.last().unwrap().0 - 4.0).abs() < 1e-9);
        assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert_eq!(points.last().unwrap().1, times.max());
    }
}

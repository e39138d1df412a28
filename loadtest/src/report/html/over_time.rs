//! Plots over the time of a run.

use super::plot::{Axis, Line, Plot};
use crate::{numbers, stats::Sample};
use std::time::Duration;

/// The most points of a plot; longer runs have several seconds to a point.
const POINTS: usize = 240;
/// A second that is shorter was cut by the run's end.
const WHOLE: Duration = Duration::from_millis(950);
/// Steps of an axis of seconds.
const STEPS: [f64; 14] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];

/// One second of a run, or several.
#[derive(Debug, PartialEq)]
pub(super) struct Point {
    /// Its end, in seconds.
    at: f64,
    /// How long it is if the run ended before it was as long as the others.
    cut: Option<Duration>,
    /// Answers a second, and of broadcasts what was received.
    completed: f64,
    /// Failures a second.
    failed: f64,
    /// Connections at its end.
    open: u64,
    /// Response times in milliseconds: the middle one of the median, the others the worst of its seconds. 0 in a second
    /// without an answer.
    p50: f64,
    p99: f64,
    max: f64,
}

/// At most [`POINTS`] of them.
pub(super) fn points(samples: &[Sample]) -> Vec<Point> {
    let each = samples.len().div_ceil(POINTS).max(1);
    let mut begin = Duration::ZERO;
    let mut points = Vec::new();
    for samples in samples.chunks(each) {
        let Some(last) = samples.last() else { continue };
        let length = last.at.saturating_sub(begin);
        let seconds = length.as_secs_f64();
        let per_second = |count: fn(&Sample) -> u64| {
            let total: u64 = samples.iter().map(count).sum();
            if seconds > 0.0 { total as f64 / seconds } else { 0.0 }
        };
        let longest = |time: fn(&Sample) -> Duration| {
            milliseconds(samples.iter().map(time).max().unwrap_or(Duration::ZERO))
        };
        let mut medians: Vec<Duration> = samples.iter().map(|sample| sample.p50).collect();
        medians.sort_unstable();
        points.push(Point {
            at: last.at.as_secs_f64(),
            cut: (length < WHOLE * each as u32).then_some(length),
            completed: per_second(|sample| sample.completed + sample.received),
            failed: per_second(|sample| sample.failed),
            open: last.open,
            p50: milliseconds(medians[medians.len() / 2]),
            p99: longest(|sample| sample.p99),
            max: longest(|sample| sample.max),
        });
        begin = last.at;
    }
    points
}

/// What was answered, and what failed if anything did. `None` if there is nothing of either.
pub(super) fn rates<'a>(points: &[Point], things: &'a str) -> Option<Plot<'a>> {
    let mut lines = vec![line(things, "la", points, |point| point.completed)];
    if points.iter().any(|point| point.failed > 0.0) {
        lines.push(line("errors", "ld", points, |point| point.failed));
    }
    let most = points.iter().map(|point| point.completed.max(point.failed)).fold(0.0, f64::max);
    (most > 0.0).then(|| Plot {
        title: format!("{}/s", capital(things)),
        x: time(points),
        y: Axis::from_zero(most, short),
        lines,
        hints: hints(points, |point| {
            let errors = if point.failed > 0.0 {
                format!(", {} errors/s", numbers::rate(point.failed))
            } else {
                String::new()
            };
            format!("{} {things}/s{errors}", numbers::rate(point.completed))
        }),
    })
}

/// `None` without a point.
pub(super) fn connections(points: &[Point]) -> Option<Plot<'static>> {
    let most = points.iter().map(|point| point.open).max()?;
    Some(Plot {
        title: "Connections".to_owned(),
        x: time(points),
        y: Axis::from_zero(most as f64, short),
        lines: vec![line("connections", "la", points, |point| point.open as f64)],
        hints: hints(points, |point| format!("{} connections", numbers::count(point.open))),
    })
}

/// `None` if nothing was answered.
pub(super) fn latencies(points: &[Point]) -> Option<Plot<'static>> {
    let answered = || points.iter().filter(|point| point.max > 0.0);
    let least = answered().map(|point| point.p50).reduce(f64::min)?;
    let most = answered().map(|point| point.max).reduce(f64::max)?;
    let line = |name, class, value: fn(&Point) -> f64| Line {
        name,
        class,
        points: answered().map(|point| (point.at, value(point))).collect(),
    };
    let shown = |milliseconds: f64| numbers::time(Duration::from_secs_f64(milliseconds / 1000.0));
    Some(Plot {
        title: "Latency over time".to_owned(),
        x: time(points),
        y: Axis::logarithmic(least, most, latency),
        lines: vec![
            line("p50", "la", |point| point.p50),
            line("p99", "lb", |point| point.p99),
            line("max", "lc", |point| point.max),
        ],
        hints: hints(points, |point| {
            format!("p50 {}, p99 {}, max {}", shown(point.p50), shown(point.p99), shown(point.max))
        }),
    })
}

fn line<'a>(name: &'a str, class: &'static str, points: &[Point], value: fn(&Point) -> f64) -> Line<'a> {
    Line { name, class, points: points.iter().map(|point| (point.at, value(point))).collect() }
}

fn hints(points: &[Point], text: impl Fn(&Point) -> String) -> Vec<(f64, String)> {
    let hint = |point: &Point| {
        let at = numbers::duration(Duration::from_secs_f64(point.at));
        let cut =
            point.cut.map(|length| format!(" (the last {})", numbers::time(length))).unwrap_or_default();
        (point.at, format!("{at}{cut}: {}", text(point)))
    };
    points.iter().map(hint).collect()
}

fn time(points: &[Point]) -> Axis {
    let end = points.last().map_or(0.0, |point| point.at);
    Axis::up_to(end, &STEPS, |seconds| numbers::duration(Duration::from_secs_f64(seconds)))
}

/// The label of a latency on an axis, from milliseconds: `500µs`, `2ms`, `10s`.
pub(super) fn latency(milliseconds: f64) -> String {
    // All labels are powers of ten, their doubles and fivefolds: without rounding they have one digit.
    let (number, unit) = match milliseconds {
        _ if milliseconds < 0.999 => (milliseconds * 1000.0, "µs"),
        _ if milliseconds < 999.0 => (milliseconds, "ms"),
        _ => (milliseconds / 1000.0, "s"),
    };
    format!("{} {unit}", (number * 1000.0).round() / 1000.0)
}

/// The label of a number on an axis: `500`, `20k`, `1.5m`.
fn short(number: f64) -> String {
    let (number, unit) = match number {
        _ if number >= 1e6 => (number / 1e6, "m"),
        _ if number >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    format!("{}{unit}", (number * 1000.0).round() / 1000.0)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    #[test]
    fn rates_are_by_the_second_even_if_the_last_one_is_short() {
        let sample = |milliseconds, completed| Sample {
            at: Duration::from_millis(milliseconds),
            completed,
            ..Sample::default()
        };
        let points = points(&[sample(1000, 100), sample(1500, 50)]);
        let rates: Vec<_> = points.iter().map(|point| (point.at, point.completed)).collect();
        assert_eq!(rates, [(1.0, 100.0), (1.5, 100.0)]);
        let hints = super::rates(&points, "requests").unwrap().hints;
        let texts: Vec<_> = hints.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["1s: 100 requests/s", "1.5s (the last 500ms): 100 requests/s"]);
    }

    #[test]
    fn long_runs_have_fewer_points_that_keep_the_worst() {
        let mut samples = made_up::samples(10_000, 64, 1000);
        samples[5000].max = Duration::from_secs(9);
        samples[5000].failed = 42;
        let points = points(&samples);
        assert!(points.len() <= POINTS && points.len() > POINTS / 2);
        assert_eq!(points.iter().map(|point| point.max).fold(0.0, f64::max), 9000.0);
        assert_eq!(points.iter().filter(|point| point.failed == 1.0).count(), 1);
        assert_eq!(points.last().unwrap().at, 10_000.0);
    }

    #[test]
    fn seconds_without_an_answer_have_no_latency() {
        assert!(latencies(&points(&[Sample { at: Duration::from_secs(1), ..Sample::default() }])).is_none());
        assert!(latencies(&[]).is_none() && points(&[]).is_empty());
        let mut samples = made_up::samples(3, 1, 1);
        (samples[1].p50, samples[1].p99, samples[1].max) = Default::default();
        assert_eq!(latencies(&points(&samples)).unwrap().lines[0].points.len(), 2);
    }

    #[test]
    fn labels_are_short() {
        for (milliseconds, text) in
            [(0.005, "5 µs"), (0.5, "500 µs"), (1.0, "1 ms"), (500.0, "500 ms"), (2000.0, "2 s")]
        {
            assert_eq!(latency(milliseconds), text);
        }
        assert_eq!(
            [short(500.0), short(20_000.0), short(1_500_000.0), short(0.5)],
            ["500", "20k", "1.5m", "0.5"]
        );
    }
}

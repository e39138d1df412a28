//! What is said while a run lasts: plain lines, or what a view in a terminal shows. Nothing here knows a terminal.

use crate::{Plan, numbers, plan::Scheme, report::Paint, stats::Sample};
use std::{collections::VecDeque, time::Duration};

/// Seconds that sparklines reach back.
const REMEMBERED: usize = 60;
/// The longest target that is shown, in characters.
const LONGEST_TARGET: usize = 60;
/// Fewer columns than this are no place for a view.
const LEAST_COLUMNS: usize = 52;
const MOST_COLUMNS: usize = 100;
/// Columns of a row before its sparkline.
const LABEL: usize = 15;
const VALUE: usize = 13;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is known of a run while it lasts, by a [`Sample`] each second.
///
/// ```
/// use lakh_loadtest::{Plan, progress::Progress, stats::Sample};
///
/// fn tell(plan: &Plan, samples: impl Iterator<Item = Sample>) {
///     let mut progress = Progress::new(plan);
///     for sample in samples {
///         progress.add(&sample);
///         if let Some(line) = progress.line() {
///             eprintln!("{line}");
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Progress {
    target: String,
    things: &'static str,
    connections: u64,
    duration: Duration,
    warmup: Duration,
    requests: Option<u64>,
    /// The latest, at most [`REMEMBERED`].
    samples: VecDeque<Sample>,
    /// Answers a second, of each of `samples`.
    rates: VecDeque<f64>,
    completed: u64,
    failed: u64,
    /// What the last line has told.
    told: Told,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at: Duration,
    completed: u64,
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan) -> Self {
        let Plan { target, .. } = plan;
        let (scheme, things) = match target.scheme {
            Scheme::Http => ("http", "requests"),
            Scheme::Ws => ("ws", "messages"),
            Scheme::Tcp => ("tcp", "messages"),
            Scheme::Udp => ("udp", "datagrams"),
        };
        let url = format!("{scheme}://{}{}", target.authority, target.path);
        // Others may be as wide as two.
        let narrow = url.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' });
        Progress {
            target: numbers::plain(&narrow.collect::<String>(), LONGEST_TARGET),
            things,
            connections: plan.connections as u64,
            duration: plan.parts().iter().map(|(_, time)| *time).sum::<Duration>() + plan.warmup,
            warmup: plan.warmup,
            requests: plan.requests,
            samples: VecDeque::with_capacity(REMEMBERED),
            rates: VecDeque::with_capacity(REMEMBERED),
            completed: 0,
            failed: 0,
            told: Told::default(),
        }
    }

    /// Adds what happened since the last one.
    pub fn add(&mut self, sample: &Sample) {
        let before = self.at();
        if self.samples.len() == REMEMBERED {
            self.samples.pop_front();
            self.rates.pop_front();
        }
        self.rates.push_back(per_second(sample.completed, sample.at.saturating_sub(before)));
        self.samples.push_back(*sample);
        self.completed += sample.completed;
        self.failed += sample.failed;
    }

    /// A line about the time since the last one, if it is time for one: every second for ten seconds, then every ten
    /// seconds, and after ten minutes once a minute.
    pub fn line(&mut self) -> Option<String> {
        let sample = *self.samples.back()?;
        let every = match self.told.at.as_secs() {
            0..10 => Duration::from_secs(1),
            10..600 => Duration::from_secs(10),
            _ => Duration::from_secs(60),
        };
        let since = sample.at.saturating_sub(self.told.at);
        // A second is as long as the clock lets it be.
        if since + Duration::from_millis(100) < every {
            return None;
        }
        let rate = per_second(self.completed - self.told.completed, since);
        self.told = Told { at: sample.at, completed: self.completed };
        let mut line = format!(
            "{:>6}  {} of {} connections  {}/s  errors {}",
            numbers::duration(sample.at),
            numbers::count(sample.open),
            numbers::count(self.connections),
            numbers::rate(rate),
            numbers::count(self.failed),
        );
        if sample.max > Duration::ZERO {
            line += &format!("  p50 {}  p99 {}", numbers::time(sample.p50), numbers::time(sample.p99));
        }
        if sample.at < self.warmup {
            line += "  (warm-up)";
        }
        Some(line)
    }

    /// The lines of a view with so many columns and rows, or less; none where there is no room for it.
    pub fn view(&self, columns: usize, rows: usize, paint: Paint) -> Vec<String> {
        if columns < LEAST_COLUMNS {
            return Vec::new();
        }
        // The last column stays free: some terminals would begin a new line.
        let columns = columns.min(MOST_COLUMNS) - 1;
        let mut lines = vec![self.head(columns, paint), self.bar(columns, paint), String::new()];
        let now = self.samples.back().copied().unwrap_or_default();
        let chart = columns - LABEL - VALUE;
        let mut row = |label: &str, value: &str, bad: bool, history: Option<Vec<f64>>| {
            let value = numbers::plain(value, VALUE - 1);
            let value = if history.is_some() { format!("{value:<VALUE$}") } else { value };
            let value = if bad { paint.bad(&value) } else { paint.strong(&value) };
            let line = match history {
                Some(history) => paint.accent(&spark(&history, chart.min(REMEMBERED))),
                None => String::new(),
            };
            lines.push(format!(
                "{}{value}{line}",
                paint.faint(&format!("  {label:<width$}", width = LABEL - 2))
            ));
        };
        let history = |value: fn(&Sample) -> f64| Some(self.samples.iter().map(value).collect());
        let milliseconds =
            |time: Duration| if now.max.is_zero() { "-".to_owned() } else { numbers::time(time) };
        row("connections", &numbers::count(now.open), false, history(|sample| sample.open as f64));
        let rate = self.rates.back().copied().unwrap_or(0.0);
        let rates = Some(self.rates.iter().copied().collect());
        row(&format!("{}/s", self.things), &numbers::rate(rate), false, rates);
        row("p50", &milliseconds(now.p50), false, history(|sample| sample.p50.as_secs_f64()));
        row("p99", &milliseconds(now.p99), false, history(|sample| sample.p99.as_secs_f64()));
        row("errors", &numbers::count(self.failed), self.failed > 0, history(|sample| sample.failed as f64));
        row("in all", &numbers::count(self.completed), false, None);
        lines.push(String::new());
        lines.push(paint.faint("  Ctrl-C ends the run and shows the report so far"));
        // The row below the last line is where the cursor stands.
        lines.truncate(rows.saturating_sub(1));
        lines
    }

    /// When the last sample was taken.
    fn at(&self) -> Duration {
        self.samples.back().map_or(Duration::ZERO, |sample| sample.at)
    }

    fn head(&self, columns: usize, paint: Paint) -> String {
        let warmup = if self.at() < self.warmup { "  warm-up" } else { "" };
        let of = match self.requests {
            Some(_) => String::new(),
            None => format!(" of {}", numbers::duration(self.duration)),
        };
        let time = format!("{}{of}{warmup}", numbers::duration(self.at()));
        let room = columns.saturating_sub(time.chars().count() + 4);
        let target = numbers::plain(&self.target, room);
        let gap = columns.saturating_sub(2 + target.chars().count() + time.chars().count());
        format!("  {}{:gap$}{time}", paint.strong(&target), "")
    }

    /// How far the run has come.
    fn bar(&self, columns: usize, paint: Paint) -> String {
        let share = match self.requests {
            Some(requests) => self.completed as f64 / requests.max(1) as f64,
            None => self.at().as_secs_f64() / self.duration.as_secs_f64().max(f64::MIN_POSITIVE),
        };
        let share = share.clamp(0.0, 1.0);
        let width = columns - 2 - 6;
        let done = (share * width as f64).floor() as usize;
        let (full, empty) = ("━".repeat(done), "─".repeat(width - done));
        format!("  {}{} {:>4}%", paint.accent(&full), paint.faint(&empty), (share * 100.0).floor())
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// The last values as bars, the highest of them full; nothing for zero but the lowest bar.
fn spark(values: &[f64], width: usize) -> String {
    let values = &values[values.len().saturating_sub(width)..];
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let height = if most > 0.0 { (value / most * BARS.len() as f64).ceil() as usize } else { 0 };
        BARS[height.clamp(1, BARS.len()) - 1]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;
    use proptest::prelude::*;

    fn after(plan: &Plan, samples: &[Sample]) -> Progress {
        let mut progress = Progress::new(plan);
        samples.iter().for_each(|sample| progress.add(sample));
        progress
    }

    fn sample(seconds: u64, completed: u64) -> Sample {
        Sample { at: Duration::from_secs(seconds), open: 64, completed, ..Sample::default() }
    }

    #[test]
    fn lines_come_less_often_as_time_goes_on() {
        let mut progress = Progress::new(&made_up::plan());
        assert_eq!(progress.line(), None);
        let mut told = Vec::new();
        for second in 1..=1000 {
            progress.add(&sample(second, 1000));
            told.extend(progress.line().map(|_| second));
        }
        let expected: Vec<u64> =
            (1..=10).chain((20..=600).step_by(10)).chain((660..=1000).step_by(60)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_line_tells_of_the_time_since_the_last_one() {
        let mut progress = after(&made_up::plan(), &made_up::samples(1, 64, 50_000));
        assert_eq!(
            progress.line().unwrap(),
            "    1s  64 of 64 connections  53,500/s  errors 0  p50 311µs  p99 1.94ms"
        );
        for second in 2..=10 {
            progress.add(&sample(second, 100));
            progress.line();
        }
        for second in 11..=20 {
            progress.add(&Sample { failed: 1, ..sample(second, second) });
        }
        assert_eq!(progress.line().unwrap(), "   20s  64 of 64 connections  15.5/s  errors 10");
    }

    #[test]
    fn the_warm_up_is_named() {
        let plan = Plan { warmup: Duration::from_secs(2), ..made_up::plan() };
        let mut progress = after(&plan, &[sample(1, 1)]);
        assert!(progress.line().unwrap().ends_with("  (warm-up)"));
        assert!(progress.view(80, 24, Paint::PLAIN)[0].ends_with("1s of 12s  warm-up"));
        progress.add(&sample(2, 1));
        assert!(!progress.line().unwrap().contains("warm-up"));
    }

    #[test]
    fn the_view_shows_now_and_the_last_minute() {
        let progress = after(&made_up::plan(), &made_up::samples(4, 64, 50_000));
        assert_eq!(
            progress.view(80, 24, Paint::PLAIN).join("\n"),
            "  http://127.0.0.1:8080/                                              4s of 10s
  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━───────────────────────────────────────────   40%

  connections  64           ████
  requests/s   53,000       ████
  p50          314µs        ████
  p99          2.05ms       ████
  errors       0            ▁▁▁▁
  in all       213,000

  Ctrl-C ends the run and shows the report so far"
        );
    }

    #[test]
    fn a_run_by_requests_goes_on_by_requests() {
        let plan = Plan { requests: Some(400), duration: Duration::from_secs(86_400), ..made_up::plan() };
        let view = after(&plan, &[sample(1, 100)]).view(80, 24, Paint::PLAIN);
        assert!(view[0].ends_with(" 1s") && view[1].ends_with("  25%"), "{view:?}");
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        assert_eq!(spark(&[0.0, 1.0, 4.0, 8.0], 10), "▁▁▄█");
        assert_eq!(spark(&[1.0, 2.0, 4.0], 2), "▄█");
        assert_eq!((spark(&[], 5), spark(&[0.0, 0.0], 5)), (String::new(), "▁▁".to_owned()));
    }

    #[test]
    fn colour_takes_no_room() {
        let progress = after(&made_up::plan(), &made_up::samples(70, 64, 50_000));
        let plain = progress.view(80, 24, Paint::PLAIN);
        let mut coloured = progress.view(80, 24, Paint::COLOUR).join("\n");
        assert!(coloured.contains("\x1b[36m"));
        for code in ["0", "1", "2", "31", "36"] {
            coloured = coloured.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(coloured, plain.join("\n"));
    }

    proptest! {
        #[test]
        fn the_view_fits(
            columns in 0_usize..200,
            rows in 0_usize..40,
            path in ".{0,200}",
            figures in prop::collection::vec(any::<(u64, u32, u32, u32)>(), 0..80),
        ) {
            let (mut plan, _) = made_up::million();
            plan.target.path = path;
            let mut progress = Progress::new(&plan);
            for (second, (open, completed, failed, micros)) in figures.into_iter().enumerate() {
                let time = Duration::from_micros(micros.into());
                progress.add(&Sample {
                    at: Duration::from_secs(second as u64 + 1),
                    open,
                    completed: completed.into(),
                    failed: failed.into(),
                    p50: time / 2,
                    p99: time,
                    max: time,
                });
                progress.line();
            }
            let view = progress.view(columns, rows, Paint::PLAIN);
            prop_assert!(view.len() < rows.max(1));
            for line in view {
                prop_assert!(line.chars().count() < columns, "{} of {columns}: {line}", line.chars().count());
                prop_assert!(!line.contains(char::is_control));
            }
        }
    }
}

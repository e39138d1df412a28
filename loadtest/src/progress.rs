//! What is said while a run lasts: plain lines, or what a view in a terminal shows. Nothing here knows a terminal.

use crate::{
    Plan,
    engine::Phase,
    numbers,
    plan::{Pace, Part, Scheme},
    report::Paint,
    stats::Sample,
};
use std::{collections::VecDeque, time::Duration};

/// Seconds that sparklines reach back.
const REMEMBERED: usize = 60;
/// The longest target that is shown, in characters.
const LONGEST_TARGET: usize = 60;
/// Fewer columns or rows than these are no place for more than a line.
const LEAST_COLUMNS: usize = 52;
const LEAST_ROWS: usize = 5;
const MOST_COLUMNS: usize = 100;
/// Columns of a row before its sparkline.
const LABEL: usize = 15;
const VALUE: usize = 13;
/// Between two samples.
const SECOND: Duration = Duration::from_secs(1);
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is known of a run while it lasts, by a [`Sample`] each second.
///
/// ```
/// use lakh_loadtest::{Plan, engine::Phase, progress::Progress, stats::Sample};
///
/// fn tell(plan: &Plan, samples: impl Iterator<Item = (Phase, Sample)>) {
///     let mut progress = Progress::new(plan);
///     for (phase, sample) in samples {
///         progress.add(phase, &sample);
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
    /// Requests are sent and answered.
    asks: bool,
    publishes: bool,
    connections: u64,
    hold: Duration,
    warmup: Duration,
    asking: Work,
    publishing: Work,
    phase: Phase,
    /// The time of the last sample at which this phase began.
    begun: Duration,
    /// What had been done by then.
    before: u64,
    /// The latest, at most [`REMEMBERED`].
    samples: VecDeque<Sample>,
    /// Answers (and what was received of broadcasts) a second, of each of `samples`.
    rates: VecDeque<f64>,
    completed: u64,
    failed: u64,
    /// What the last line has told.
    told: Told,
}

/// What a phase ends by.
#[derive(Clone, Copy, Debug)]
struct Work {
    time: Duration,
    count: Option<u64>,
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
        let time_of = |part| plan.parts().into_iter().find(|(found, _)| *found == part).map(|(_, time)| time);
        let connections = plan.connections as u64;
        let (asks, publishes) = (plan.pace != Pace::Silent, plan.ws.publish.is_some());
        let messages = plan.ws.publish.as_ref().and_then(|publish| publish.messages);
        Progress {
            target: numbers::plain(&narrow.collect::<String>(), LONGEST_TARGET),
            things: if asks { things } else { "received" },
            asks,
            publishes,
            connections,
            hold: time_of(Part::Hold).unwrap_or_default(),
            warmup: plan.warmup,
            asking: Work { time: time_of(Part::Ask).unwrap_or_default(), count: plan.requests },
            publishing: Work {
                time: time_of(Part::Publish).unwrap_or_default(),
                count: messages.map(|messages| messages.saturating_mul(connections)),
            },
            phase: Phase::Connecting,
            begun: Duration::ZERO,
            before: 0,
            samples: VecDeque::with_capacity(REMEMBERED),
            rates: VecDeque::with_capacity(REMEMBERED),
            completed: 0,
            failed: 0,
            told: Told::default(),
        }
    }

    /// Adds what happened since the last one.
    pub fn add(&mut self, phase: Phase, sample: &Sample) {
        let mut since = sample.at.saturating_sub(self.last());
        if phase != self.phase {
            since = sample.at.min(SECOND);
            self.phase = phase;
            self.begun = sample.at - since;
            self.before = self.completed;
            self.told = Told { at: Duration::ZERO, completed: self.completed };
        }
        if self.samples.len() == REMEMBERED {
            self.samples.pop_front();
            self.rates.pop_front();
        }
        let done = sample.completed + sample.received;
        self.rates.push_back(per_second(done, since));
        self.samples.push_back(*sample);
        self.completed += done;
        self.failed += sample.failed;
    }

    /// A line about the time since the last one, if it is time for one: in each phase every second for ten seconds, then
    /// every ten seconds, and after ten minutes once a minute.
    pub fn line(&mut self) -> Option<String> {
        let sample = *self.samples.back()?;
        let at = self.at();
        let every = match self.told.at.as_secs() {
            0..10 => SECOND,
            10..600 => Duration::from_secs(10),
            _ => Duration::from_secs(60),
        };
        let since = at.saturating_sub(self.told.at);
        // A second is as long as the clock lets it be.
        if since + Duration::from_millis(100) < every {
            return None;
        }
        let rate = per_second(self.completed - self.told.completed, since);
        self.told = Told { at, completed: self.completed };
        let mut line = format!("{:>6}  ", numbers::duration(at));
        if let Some(name) = self.phase_name() {
            line += &format!("{name}: ");
        }
        line +=
            &format!("{} of {} connections", numbers::count(sample.open), numbers::count(self.connections));
        if self.is_busy() {
            line += &format!("  {}/s", numbers::rate(rate));
        }
        line += &format!("  errors {}", numbers::count(self.failed));
        if sample.max > Duration::ZERO {
            line += &format!("  p50 {}  p99 {}", numbers::time(sample.p50), numbers::time(sample.p99));
        }
        Some(line)
    }

    /// The lines of a view with so many columns and rows, or less: one line where there is no room for more, and none
    /// where there is none at all.
    pub fn view(&self, columns: usize, rows: usize, paint: Paint) -> Vec<String> {
        if columns < LEAST_COLUMNS || rows < LEAST_ROWS {
            return self.shortest(columns, rows);
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
        let rate = self.rates.back().copied().filter(|_| self.is_busy());
        let rate = rate.map_or_else(|| "-".to_owned(), numbers::rate);
        let rates = Some(self.rates.iter().copied().collect());
        let has_rate = self.asks || self.publishes;
        if has_rate {
            row(&format!("{}/s", self.things), &rate, false, rates);
        }
        if self.asks {
            row("p50", &milliseconds(now.p50), false, history(|sample| sample.p50.as_secs_f64()));
            row("p99", &milliseconds(now.p99), false, history(|sample| sample.p99.as_secs_f64()));
        }
        row("errors", &numbers::count(self.failed), self.failed > 0, history(|sample| sample.failed as f64));
        if has_rate {
            row("in all", &numbers::count(self.completed), false, None);
        }
        lines.push(String::new());
        lines.push(paint.faint("  Ctrl-C ends the run and shows the report so far"));
        // The row below the last line is where the cursor stands.
        lines.truncate(rows - 1);
        lines
    }

    fn shortest(&self, columns: usize, rows: usize) -> Vec<String> {
        if columns < 2 || rows < 2 {
            return Vec::new();
        }
        let rate = self.rates.back().copied().filter(|_| self.is_busy());
        let rate = rate.map(|rate| format!("  {}/s", numbers::rate(rate))).unwrap_or_default();
        let line = format!("{}{rate}  errors {}", self.time(), numbers::count(self.failed));
        vec![line.chars().take(columns - 1).collect()]
    }

    /// When the last sample was taken.
    fn last(&self) -> Duration {
        self.samples.back().map_or(Duration::ZERO, |sample| sample.at)
    }

    /// How long this phase has lasted.
    fn at(&self) -> Duration {
        self.last().saturating_sub(self.begun)
    }

    /// What the run is at, if that is not what it is there for.
    fn phase_name(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Connecting => Some("connecting"),
            Phase::Holding => Some("holding"),
            Phase::WarmUp => Some("warm-up"),
            Phase::Measuring => None,
            Phase::Publishing => Some("publishing"),
        }
    }

    /// Whether there is something to be answered or received that counts.
    fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Measuring | Phase::Publishing)
    }

    /// How long this phase lasts, if that is what it ends by.
    fn limit(&self) -> Option<Duration> {
        let of = |work: Work| work.count.is_none().then_some(work.time);
        match self.phase {
            Phase::Connecting => None,
            Phase::Holding => Some(self.hold),
            Phase::WarmUp => Some(self.warmup),
            Phase::Measuring => of(self.asking),
            Phase::Publishing => of(self.publishing),
        }
    }

    /// What it is at, and for how long: `holding  3s of 1m`.
    fn time(&self) -> String {
        let name = self.phase_name().map(|name| format!("{name}  ")).unwrap_or_default();
        let of = self.limit().map(|limit| format!(" of {}", numbers::duration(limit))).unwrap_or_default();
        format!("{name}{}{of}", numbers::duration(self.at()))
    }

    fn head(&self, columns: usize, paint: Paint) -> String {
        let time = self.time();
        let room = columns.saturating_sub(time.chars().count() + 4);
        let target = numbers::plain(&self.target, room);
        let gap = columns.saturating_sub(2 + target.chars().count() + time.chars().count());
        format!("  {}{:gap$}{time}", paint.strong(&target), "")
    }

    /// How far this phase has come.
    fn bar(&self, columns: usize, paint: Paint) -> String {
        let of = |count: u64, all: u64| count as f64 / all.max(1) as f64;
        let done = |work: Work| of(self.completed - self.before, work.count.unwrap_or(u64::MAX));
        let share = match (self.limit(), self.phase) {
            (Some(limit), _) => self.at().as_secs_f64() / limit.as_secs_f64().max(f64::MIN_POSITIVE),
            (None, Phase::Measuring) => done(self.asking),
            (None, Phase::Publishing) => done(self.publishing),
            (None, _) => of(self.samples.back().map_or(0, |sample| sample.open), self.connections),
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
    use crate::{made_up, plan::Publish};
    use proptest::prelude::*;

    fn after(plan: &Plan, samples: &[Sample]) -> Progress {
        let mut progress = Progress::new(plan);
        samples.iter().for_each(|sample| progress.add(Phase::Measuring, sample));
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
            progress.add(Phase::Measuring, &sample(second, 1000));
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
            progress.add(Phase::Measuring, &sample(second, 100));
            progress.line();
        }
        for second in 11..=20 {
            progress.add(Phase::Measuring, &Sample { failed: 1, ..sample(second, second) });
        }
        assert_eq!(progress.line().unwrap(), "   20s  64 of 64 connections  15.5/s  errors 10");
    }

    #[test]
    fn each_phase_is_named_and_has_its_own_time() {
        let plan = Plan {
            hold: Duration::from_secs(20),
            warmup: Duration::from_secs(4),
            connections: 128,
            ..made_up::plan()
        };
        let mut progress = Progress::new(&plan);
        let mut told = |phase, seconds, completed| {
            progress.add(phase, &sample(seconds, completed));
            (progress.line().unwrap(), progress.view(80, 24, Paint::PLAIN)[..2].join(""))
        };
        for (phase, seconds, completed, line, head, percent) in [
            (
                Phase::Connecting,
                1,
                0,
                "    1s  connecting: 64 of 128 connections  errors 0",
                "connecting  1s",
                50,
            ),
            (
                Phase::Connecting,
                2,
                0,
                "    2s  connecting: 64 of 128 connections  errors 0",
                "connecting  2s",
                50,
            ),
            (
                Phase::Holding,
                1,
                0,
                "    1s  holding: 64 of 128 connections  errors 0",
                "holding  1s of 20s",
                5,
            ),
            (
                Phase::WarmUp,
                1,
                0,
                "    1s  warm-up: 64 of 128 connections  errors 0",
                "warm-up  1s of 4s",
                25,
            ),
            // Its time counts from the beginning of the first thing that was measured.
            (Phase::Measuring, 21, 7, "    1s  64 of 128 connections  7.00/s  errors 0", " 1s of 10s", 10),
            (Phase::Measuring, 22, 8, "    2s  64 of 128 connections  8.00/s  errors 0", " 2s of 10s", 20),
        ] {
            let (found, view) = told(phase, seconds, completed);
            assert_eq!(found, line);
            assert!(view.contains(&format!("{head}  ")) && view.ends_with(&format!(" {percent}%")), "{view}");
        }
    }

    #[test]
    fn what_is_published_goes_on_by_what_was_received() {
        let publish = Publish { rate: 1.0, time: Duration::from_secs(10), messages: Some(2), trigger: None };
        let mut plan = Plan { requests: Some(64), ..made_up::plan() };
        plan.ws.publish = Some(publish);
        let mut progress = Progress::new(&plan);
        progress.add(Phase::Measuring, &sample(1, 64));
        progress.add(Phase::Publishing, &Sample { received: 32, ..sample(2, 0) });
        let view = progress.view(80, 24, Paint::PLAIN);
        assert!(view[0].ends_with("  publishing  1s") && view[1].ends_with(" 25%"), "{view:?}");
        assert_eq!(progress.line().unwrap(), "    1s  publishing: 64 of 64 connections  32.0/s  errors 0");
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
    fn there_are_rows_only_for_what_there_is() {
        let mut plan = Plan { pace: Pace::Silent, ..made_up::plan() };
        let names = |plan: &Plan| {
            let view = after(plan, &[sample(1, 0)]).view(80, 24, Paint::PLAIN);
            let names = view.iter().skip(3).take_while(|line| !line.is_empty());
            names.map(|line| line[2..14].trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&plan), ["connections", "errors"]);
        let publish = Publish { rate: 1.0, time: Duration::from_secs(10), messages: None, trigger: None };
        plan.ws.publish = Some(publish);
        assert_eq!(names(&plan), ["connections", "received/s", "errors", "in all"]);
    }

    #[test]
    fn where_there_is_little_room_there_is_one_line() {
        let mut progress = Progress::new(&made_up::plan());
        assert_eq!(progress.view(40, 24, Paint::PLAIN), ["connecting  0s  errors 0"]);
        progress.add(Phase::Measuring, &sample(1, 1000));
        assert_eq!(progress.view(40, 24, Paint::COLOUR), ["1s of 10s  1,000/s  errors 0"]);
        assert_eq!(progress.view(80, 4, Paint::PLAIN), ["1s of 10s  1,000/s  errors 0"]);
        assert_eq!(progress.view(10, 24, Paint::PLAIN), ["1s of 10s"]);
        assert!(
            progress.view(1, 24, Paint::PLAIN).is_empty() && progress.view(80, 1, Paint::PLAIN).is_empty()
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
                progress.add(Phase::Measuring, &Sample {
                    at: Duration::from_secs(second as u64 + 1),
                    open,
                    completed: completed.into(),
                    failed: failed.into(),
                    received: completed.into(),
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

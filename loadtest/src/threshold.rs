//! What a run must not exceed or miss: `--fail-if 'p99>5ms'`.
//!
//! A [`Threshold`] is a metric, an operator (`>`, `>=`, `<`, `<=`) and a value, and fails when what it says is true:
//!
//! | metric | value | is |
//! |---|---|---|
//! | `p50` `p90` `p95` `p99` `p99.9` `p99.99`, any other percentile, `max`, `mean` | `5ms` | response times |
//! | `service.` and one of these | `5ms` | service times: from the actual send |
//! | `connect.` and one of these | `5ms` | times until a connection stood |
//! | `errors`, `lost`, `established`, `answered` (connections, at least once), `missing`, `late` | `100`, `20k` | how many |
//! | `error-rate` | `0.1%` | [`Tally::error_rate`](crate::Tally::error_rate) |
//! | `rps` | `20k` | requests answered a second |
//!
//! A time that was never measured fails, whatever the threshold: a run without an answer has not been fast.

use crate::{
    Outcome, numbers,
    stats::Latency,
    units::{parse_count, parse_duration, parse_rate, quoted},
};
use std::{error, fmt, str::FromStr, time::Duration};

/// One condition of failure.
///
/// ```
/// use lakh_loadtest::threshold::Threshold;
///
/// let threshold: Threshold = "p99>5ms".parse()?;
/// assert_eq!(threshold.to_string(), "p99>5ms");
/// let error = "p99>fast".parse::<Threshold>().unwrap_err();
/// assert!(error.to_string().contains("write 30s, 500ms, 2m or 1h"));
/// # Ok::<(), lakh_loadtest::threshold::ParseThresholdError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    metric: Metric,
    /// As it was written.
    name: String,
    operator: Operator,
    value: Value,
    /// As it was written.
    value_text: String,
}

/// What came of a [`Threshold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The threshold as it was written.
    pub threshold: String,
    /// Whether it was kept.
    pub passed: bool,
    /// What was measured, and what that is compared with: `p99 1.90ms ≤ 5ms`.
    pub comparison: String,
}

impl fmt::Display for Verdict {
    /// The line of the report: `PASS p99 1.90ms ≤ 5ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.passed { "PASS" } else { "FAIL" }, self.comparison)
    }
}

/// Why a text is no [`Threshold`]. Its text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseThresholdError(String);

impl fmt::Display for ParseThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for ParseThresholdError {}

impl Threshold {
    /// Judges a run.
    pub fn judge(&self, outcome: &Outcome) -> Verdict {
        let measured = self.metric.of(outcome, self.value);
        let failed = match (measured, self.value) {
            (Some(Value::Time(measured)), Value::Time(value)) => self.operator.holds(measured, value),
            (Some(Value::Number(measured)), Value::Number(value)) => self.operator.holds(measured, value),
            // The second cannot be: a metric's values are all of one kind.
            (None, _) | (Some(_), _) => true,
        };
        let (name, value) = (&self.name, &self.value_text);
        let comparison = match measured {
            Some(measured) => {
                let operator = if failed { self.operator } else { self.operator.opposite() };
                format!("{name} {} {} {value}", self.metric.shown(measured), operator.sign())
            }
            None => format!("{name} was never measured ({self})"),
        };
        Verdict { threshold: self.to_string(), passed: !failed, comparison }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.operator.text(), self.value_text)
    }
}

impl FromStr for Threshold {
    type Err = ParseThresholdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.find(['>', '<']).ok_or_else(|| {
            ParseThresholdError(format!(
                "{} compares nothing; write a metric, one of > >= < <=, and a value: p99>5ms",
                quoted(text)
            ))
        })?;
        let (name, rest) = text.split_at(at);
        let (operator, value) = Operator::split_off(rest);
        let (name, value) = (name.trim(), value.trim());
        let metric = Metric::parse(name).ok_or_else(|| {
            ParseThresholdError(format!("{} is no metric; there are {}", quoted(name), Metric::NAMES))
        })?;
        Ok(Threshold {
            metric,
            name: name.to_owned(),
            operator,
            value: metric.parse_value(value).map_err(ParseThresholdError)?,
            value_text: value.to_owned(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    Time(Clock, Statistic),
    Errors,
    ErrorRate,
    RequestsPerSecond,
    Lost,
    Established,
    Answered,
    Missing,
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    Response,
    Service,
    Connect,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    /// The share, 0 to 1.
    Quantile(f64),
    Max,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Time(Duration),
    Number(f64),
}

impl Metric {
    const NAMES: &str = "p50 p90 p95 p99 p99.9 p99.99 (or any percentile) max mean, the same with service. or connect. \
                         before it, errors error-rate rps lost established answered missing late";

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "errors" => Metric::Errors,
            "error-rate" => Metric::ErrorRate,
            "rps" => Metric::RequestsPerSecond,
            "lost" => Metric::Lost,
            "established" => Metric::Established,
            "answered" => Metric::Answered,
            "missing" => Metric::Missing,
            "late" => Metric::Late,
            _ => {
                let (clock, statistic) = match name.split_once('.') {
                    Some(("response", statistic)) => (Clock::Response, statistic),
                    Some(("service", statistic)) => (Clock::Service, statistic),
                    Some(("connect", statistic)) => (Clock::Connect, statistic),
                    _ => (Clock::Response, name),
                };
                Metric::Time(clock, Statistic::parse(statistic)?)
            }
        })
    }

    fn parse_value(self, text: &str) -> Result<Value, String> {
        match self {
            Metric::Time(..) if text.ends_with(|c: char| c.is_ascii_digit()) => Err(format!(
                "{0} has no unit; write {1}ms, {1}us or {1}s",
                quoted(text),
                numbers::plain(text, 20)
            )),
            Metric::Time(..) => parse_duration(text).map(Value::Time).map_err(|error| error.to_string()),
            Metric::ErrorRate => percentage(text).map(Value::Number),
            // None at all is a rate here.
            Metric::RequestsPerSecond if text == "0" => Ok(Value::Number(0.0)),
            Metric::RequestsPerSecond => {
                parse_rate(text).map(Value::Number).map_err(|error| error.to_string())
            }
            Metric::Errors
            | Metric::Lost
            | Metric::Established
            | Metric::Answered
            | Metric::Missing
            | Metric::Late => {
                parse_count(text).map(|count| Value::Number(count as f64)).map_err(|error| error.to_string())
            }
        }
    }

    /// `None` for a time that was never measured. One that the histogram cannot tell from `near` is `near`.
    fn of(self, outcome: &Outcome, near: Value) -> Option<Value> {
        let tally = &outcome.tally;
        Some(Value::Number(match self {
            Metric::Time(clock, statistic) => {
                let times = match clock {
                    Clock::Response => &tally.response,
                    Clock::Service => &tally.service,
                    Clock::Connect => &tally.connect,
                };
                let measured = statistic.of(times);
                return (times.count() > 0).then_some(match near {
                    Value::Time(near) if times.is_same(measured, near) => Value::Time(near),
                    _ => Value::Time(measured),
                });
            }
            Metric::Errors => tally.failures.total() as f64,
            Metric::ErrorRate => tally.error_rate() * 100.0,
            Metric::RequestsPerSecond => outcome.rate(),
            Metric::Lost => tally.connections.lost as f64,
            Metric::Established => tally.connections.established as f64,
            Metric::Answered => tally.connections.answered as f64,
            Metric::Missing => tally.missing as f64,
            Metric::Late => tally.late as f64,
        }))
    }

    fn shown(self, value: Value) -> String {
        match (self, value) {
            (_, Value::Time(time)) => numbers::time(time),
            (Metric::ErrorRate, Value::Number(percent)) => numbers::percent(percent / 100.0),
            (Metric::RequestsPerSecond, Value::Number(rate)) => numbers::rate(rate),
            (_, Value::Number(count)) => numbers::count(count as u64),
        }
    }
}

impl Statistic {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "max" => Some(Statistic::Max),
            "mean" => Some(Statistic::Mean),
            _ => {
                let percent = name.strip_prefix('p')?;
                // `parse` alone would take signs, exponents and words.
                let plain = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let percent: f64 = percent.parse().ok().filter(|_| plain)?;
                (percent <= 100.0).then_some(Statistic::Quantile(percent / 100.0))
            }
        }
    }

    fn of(self, times: &Latency) -> Duration {
        match self {
            Statistic::Quantile(share) => times.quantile(share),
            Statistic::Max => times.max(),
            Statistic::Mean => times.mean(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    /// `text` begins with one.
    fn split_off(text: &str) -> (Self, &str) {
        for operator in [Operator::MoreOrEqual, Operator::LessOrEqual, Operator::More] {
            if let Some(rest) = text.strip_prefix(operator.text()) {
                return (operator, rest);
            }
        }
        (Operator::Less, text.strip_prefix('<').unwrap_or(text))
    }

    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Operator::More => left > right,
            Operator::MoreOrEqual => left >= right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
        }
    }

    fn opposite(self) -> Self {
        match self {
            Operator::More => Operator::LessOrEqual,
            Operator::MoreOrEqual => Operator::Less,
            Operator::Less => Operator::MoreOrEqual,
            Operator::LessOrEqual => Operator::More,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Operator::More => ">",
            Operator::MoreOrEqual => ">=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Operator::More => ">",
            Operator::MoreOrEqual => "≥",
            Operator::Less => "<",
            Operator::LessOrEqual => "≤",
        }
    }
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent: Option<f64> = number.parse().ok().filter(|_| plain);
    percent
        .filter(|percent| *percent <= 100.0)
        .ok_or_else(|| format!("{} is no share; write 0.1% or 5%", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{made_up, stats::Cause};
    use proptest::prelude::*;

    fn judged(text: &str, outcome: &Outcome) -> String {
        text.parse::<Threshold>().unwrap_or_else(|error| panic!("{error}")).judge(outcome).to_string()
    }

    fn refused(text: &str) -> String {
        text.parse::<Threshold>().expect_err(text).to_string()
    }

    #[test]
    fn what_was_measured_is_compared() {
        let mut outcome = made_up::outcome(100_000);
        outcome.tally.connections.lost = 2;
        outcome.tally.late = 7;
        outcome.tally.missing = 3;
        outcome.tally.connections.answered = 63;
        for _ in 0..100 {
            outcome.tally.failures.add(Cause::Reset);
        }
        for (text, line) in [
            ("p99>5ms", "PASS p99 1.69ms ≤ 5ms"),
            ("p99>1.5ms", "FAIL p99 1.69ms > 1.5ms"),
            ("max>=5ms", "FAIL max 12.0ms ≥ 5ms"),
            ("service.max >= 5ms", "PASS service.max 2.00ms < 5ms"),
            ("response.max >= 5ms", "FAIL response.max 12.0ms ≥ 5ms"),
            ("connect.p50<100us", "PASS connect.p50 150µs ≥ 100us"),
            ("mean<100us", "PASS mean 381µs ≥ 100us"),
            ("errors>99", "FAIL errors 100 > 99"),
            ("errors>100", "PASS errors 100 ≤ 100"),
            ("error-rate>0.1%", "PASS error-rate 0.10% ≤ 0.1%"),
            ("error-rate>0.05", "FAIL error-rate 0.10% > 0.05"),
            ("rps<20k", "FAIL rps 10,000 < 20k"),
            ("rps<=9999/s", "PASS rps 10,000 > 9999/s"),
            ("lost>0", "FAIL lost 2 > 0"),
            ("established<64", "PASS established 64 ≥ 64"),
            ("answered<64", "FAIL answered 63 < 64"),
            ("missing>0", "FAIL missing 3 > 0"),
            ("late>7", "PASS late 7 ≤ 7"),
        ] {
            assert_eq!(judged(text, &outcome), line, "{text}");
        }
    }

    #[test]
    fn what_the_histogram_cannot_tell_apart_is_equal() {
        let mut outcome = made_up::outcome(0);
        outcome.tally.response.record(Duration::from_millis(5));
        assert_eq!(judged("p99>5ms", &outcome), "PASS p99 5.00ms ≤ 5ms");
        assert_eq!(judged("p99>=5ms", &outcome), "FAIL p99 5.00ms ≥ 5ms");
        assert_eq!(judged("p99>4.99ms", &outcome), "FAIL p99 5.00ms > 4.99ms");
    }

    #[test]
    fn without_an_answer_no_time_is_kept() {
        let nothing = made_up::outcome(0);
        for text in ["p99>5ms", "max<1s", "service.mean>=1us"] {
            assert!(judged(text, &nothing).starts_with("FAIL"), "{text}");
        }
        assert_eq!(judged("p99>5ms", &nothing), "FAIL p99 was never measured (p99>5ms)");
        assert_eq!(judged("errors>0", &nothing), "PASS errors 0 ≤ 0");
        assert_eq!(judged("rps<1", &nothing), "FAIL rps 0.00 < 1");
    }

    #[test]
    fn what_is_no_threshold_says_what_to_write() {
        assert!(refused("p99").contains("write a metric, one of > >= < <=, and a value: p99>5ms"));
        assert!(refused("p99=5ms").contains("compares nothing"));
        for unknown in ["", "p", "p101", "p-1", "pinf", "p1e1", "p9.9.9", "P99", "server.p99", "fast"] {
            let error = refused(&format!("{unknown}>5ms"));
            assert!(error.contains("is no metric; there are p50 p90 p95 p99"), "{error}");
        }
        assert_eq!(refused("p99>5"), "\"5\" has no unit; write 5ms, 5us or 5s");
        assert!(refused("p99>").contains("is not a duration"));
        assert!(refused("p99>>5ms").contains("is not a duration"));
        assert!(refused("errors>1%").contains("is not a count"));
        assert!(refused("error-rate>lots").contains("write 0.1% or 5%"));
        assert!(refused("error-rate>101%").contains("write 0.1% or 5%"));
        assert!(refused("rps<fast").contains("is not a rate"));
    }

    #[test]
    fn every_metric_that_is_listed_is_one() {
        let names = Metric::NAMES
            .replace("(or any percentile)", "")
            .replace("the same with service. or connect.", "");
        let names = names.replace("before it", "").replace(',', " ");
        assert_eq!(names.split_whitespace().count(), 16);
        for name in names.split_whitespace() {
            assert!(Metric::parse(name).is_some(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_panics(text in ".*", likely in "[a-z.-]{0,10}[<>=]{0,3}[0-9.]{0,4}[a-z%]{0,2}") {
            for text in [&*text, &*likely] {
                if let Ok(threshold) = text.parse::<Threshold>() {
                    // What it says of itself means the same.
                    let again: Threshold = threshold.to_string().parse().expect("a threshold");
                    prop_assert_eq!(&again, &threshold);
                    threshold.judge(&made_up::outcome(1));
                }
            }
        }

        #[test]
        fn opposites_exclude_each_other(left: u8, right: u8) {
            for operator in [Operator::More, Operator::MoreOrEqual, Operator::Less, Operator::LessOrEqual] {
                prop_assert_ne!(operator.holds(left, right), operator.opposite().holds(left, right));
            }
        }
    }
}

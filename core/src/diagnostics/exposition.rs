//! The text that Prometheus reads: exposition format 0.0.4.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use crate::histogram::Snapshot;
use std::fmt::{self, Write as _};

/// Metrics as text, one family after the other.
///
/// ```
/// use lakh_core::diagnostics::Exposition;
///
/// let mut out = Exposition::new();
/// out.gauge("queue_jobs", "Jobs that wait").sample(&[("queue", "mail")], 3.0).sample(&[("queue", "sms")], 0.0);
/// assert_eq!(
///     out.finish(),
///     "# HELP queue_jobs Jobs that wait\n# TYPE queue_jobs gauge\n\
///      queue_jobs{queue=\"mail\"} 3\nqueue_jobs{queue=\"sms\"} 0\n"
/// );
/// ```
#[derive(Debug, Default)]
pub struct Exposition {
    families: Vec<Written>,
}

#[derive(Debug)]
struct Written {
    name: String,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A number that only grows, until the process starts anew. By custom its name ends with `_total`.
    ///
    /// # Panics
    /// If the name is not legal (letters, digits, `_` and `:`, no digit first), or is that of a family of another type.
    #[track_caller]
    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Kind::Counter)
    }

    /// A number that goes up and down.
    ///
    /// # Panics
    /// As [`Exposition::counter`].
    #[track_caller]
    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Kind::Gauge)
    }

    /// Times, by how long they were. By custom its name ends with `_seconds`.
    ///
    /// # Panics
    /// As [`Exposition::counter`].
    #[track_caller]
    pub fn histogram(&mut self, name: &str, help: &str) -> TimeFamily<'_> {
        TimeFamily(self.family(name, help, Kind::Histogram))
    }

    /// The text; families in the order in which they were begun.
    pub fn finish(self) -> String {
        self.families.into_iter().map(|family| family.text).collect()
    }

    /// Of several who write the same family, all samples stand together.
    #[track_caller]
    fn family(&mut self, name: &str, help: &str, kind: Kind) -> Family<'_> {
        assert!(is_name(name, true), "{name:?} is not legal as the name of a metric");
        let at = match self.families.iter().position(|family| family.name == name) {
            Some(at) => {
                assert_eq!(self.families[at].kind, kind, "{name} is a metric of another type");
                at
            }
            None => {
                let mut text = format!("# HELP {name} ");
                push_escaped(&mut text, help, false);
                let _ = writeln!(text, "\n# TYPE {name} {kind}");
                self.families.push(Written { name: name.to_owned(), kind, text });
                self.families.len() - 1
            }
        };
        Family(&mut self.families[at])
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        })
    }
}

/// Counters or gauges of one name.
#[derive(Debug)]
pub struct Family<'a>(&'a mut Written);

impl Family<'_> {
    /// One number. Labels tell it from the others of its name; give them few values, such as a shard's number: each is
    /// a series that is kept for months.
    ///
    /// # Panics
    /// If a label's name is not legal: letters, digits and `_`, no digit first.
    #[track_caller]
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    #[track_caller]
    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: f64) {
        let Written { name, text, .. } = &mut *self.0;
        text.push_str(name);
        text.push_str(suffix);
        let mut separator = '{';
        for &(label, value) in labels.iter().chain(le.map(|le| ("le", le)).as_ref()) {
            assert!(is_name(label, false), "{label:?} is not legal as the name of a label");
            text.push(separator);
            separator = ',';
            text.push_str(label);
            text.push_str("=\"");
            push_escaped(text, value, true);
            text.push('"');
        }
        if separator == ',' {
            text.push('}');
        }
        let _ = match value {
            f64::INFINITY => writeln!(text, " +Inf"),
            f64::NEG_INFINITY => writeln!(text, " -Inf"),
            value => writeln!(text, " {value}"),
        };
    }
}

/// Histograms of one name.
#[derive(Debug)]
pub struct TimeFamily<'a>(Family<'a>);

impl TimeFamily<'_> {
    /// One histogram of nanoseconds, in seconds. Its bounds are powers of two from 4 µs to 17 s (less a nanosecond, which
    /// is where the buckets of a [`Histogram`](crate::histogram::Histogram) end), so that every count is exact.
    ///
    /// # Panics
    /// As [`Family::sample`].
    #[track_caller]
    pub fn nanoseconds(&mut self, labels: &[(&str, &str)], times: &Snapshot) -> &mut Self {
        let mut buckets = times.buckets().peekable();
        let mut below = 0;
        for exponent in FIRST_BOUND..=LAST_BOUND {
            let bound = (1_u64 << exponent) - 1;
            while let Some((_, count)) = buckets.next_if(|(last, _)| *last <= bound) {
                below += count;
            }
            self.0.line("_bucket", labels, Some(&seconds(bound).to_string()), below as f64);
        }
        self.0.line("_bucket", labels, Some("+Inf"), times.count() as f64);
        self.0.line("_sum", labels, None, seconds(times.sum()));
        self.0.line("_count", labels, None, times.count() as f64);
        self
    }
}

const FIRST_BOUND: u32 = 12;
const LAST_BOUND: u32 = 34;

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`; of a label without colons.
fn is_name(name: &str, of_metric: bool) -> bool {
    let may_begin = |c: u8| c.is_ascii_alphabetic() || c == b'_' || (of_metric && c == b':');
    name.bytes().next().is_some_and(may_begin) && name.bytes().all(|c| may_begin(c) || c.is_ascii_digit())
}

fn push_escaped(text: &mut String, value: &str, quotes: bool) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn what_stands_between_quotes_or_ends_a_line_is_escaped() {
        let mut out = Exposition::new();
        out.counter("a_total", "one\\two\nthree \"four\"").sample(&[("path", "C:\\\"x\"\ny")], 1.5);
        assert_eq!(
            out.finish(),
            "# HELP a_total one\\\\two\\nthree \"four\"\n# TYPE a_total counter\n\
             a_total{path=\"C:\\\\\\\"x\\\"\\ny\"} 1.5\n"
        );
    }

    #[test]
    fn samples_of_one_family_stand_together_whoever_writes_them() {
        let mut out = Exposition::new();
        out.gauge("a", "of two").sample(&[("by", "one")], 1.0);
        out.gauge("b", "another").sample(&[], f64::INFINITY);
        out.gauge("a", "of two").sample(&[("by", "two")], f64::NAN);
        assert_eq!(
            out.finish(),
            "# HELP a of two\n# TYPE a gauge\na{by=\"one\"} 1\na{by=\"two\"} NaN\n\
             # HELP b another\n# TYPE b gauge\nb +Inf\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_its_counts_are_exact() {
        let times = Histogram::new();
        // The greatest of a bucket, the least of the next one, and what is beyond all of them.
        for nanoseconds in [4095, 4096, 8191, 8192, 1 << 40] {
            times.record(nanoseconds);
        }
        let mut out = Exposition::new();
        out.histogram("t_seconds", "times").nanoseconds(&[("lane", "x")], &times.snapshot());
        let text = out.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "t_seconds_bucket{lane=\"x\",le=\"0.000004095\"} 1");
        assert_eq!(lines[3], "t_seconds_bucket{lane=\"x\",le=\"0.000008191\"} 3");
        assert_eq!(lines[4], "t_seconds_bucket{lane=\"x\",le=\"0.000016383\"} 4");
        assert_eq!(lines[24], "t_seconds_bucket{lane=\"x\",le=\"17.179869183\"} 4");
        assert_eq!(lines[25], "t_seconds_bucket{lane=\"x\",le=\"+Inf\"} 5");
        assert_eq!(lines[26], "t_seconds_sum{lane=\"x\"} 1099.51165235");
        assert_eq!(lines[27..], ["t_seconds_count{lane=\"x\"} 5"]);
    }

    #[test]
    #[should_panic(expected = "not legal as the name of a metric")]
    fn a_name_with_a_dash_is_refused() {
        Exposition::new().gauge("a-b", "");
    }

    #[test]
    #[should_panic(expected = "is a metric of another type")]
    fn a_family_has_one_type() {
        let mut out = Exposition::new();
        out.gauge("a", "");
        out.counter("a", "");
    }
}

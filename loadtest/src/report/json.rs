//! The report for programs.

use super::Report;
use crate::{
    plan::{Pace, Scheme},
    stats::{Ended, Growth, Latency, Usage},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::Serialize;
use std::time::Duration;

/// The number of the schema: it changes when a name goes or changes its meaning. Names may come without that.
pub const SCHEMA: u32 = 1;

impl Report<'_> {
    /// The report as JSON, ending with a new line. Names end with their units: `_s` seconds, `_us` microseconds,
    /// `_bytes`, `_per_s`; a `_share` is of 1. What was not measured is `null`.
    ///
    /// | name | what |
    /// |---|---|
    /// | `schema` | [`SCHEMA`] |
    /// | `target` | `scheme`, `authority`, `path`, `addresses` |
    /// | `plan` | `connections`, `threads`, `duration_s`, `warmup_s`, `timeout_s`, `requests`, `loop` (`open`, `closed`, `silent`), `pipelined`, `rate_per_s`, `connect_rate_per_s`, `stages` of `time_s` and `connections` |
    /// | `ended` | `done`, `interrupted`, `nobody_left` or `no_answers` |
    /// | `connecting_s` | until every connection that was wanted from the beginning had been tried |
    /// | `elapsed_s` | what was measured, without the warm-up |
    /// | `asked_s` | the part of it in which requests were sent |
    /// | `connections` | `requested`, `established`, `failed`, `under_way` (at the end), `lost`, `answered` (at least once), `renewed`, `lost_per_minute` |
    /// | `requests` | `sent`, `completed`, `completed_per_s`, `late`, `late_share`, `unsent` (due, and no connection was free), `unanswered` (at the end) |
    /// | `statuses` | `1xx` to `5xx`, `other` |
    /// | `bytes` | `sent_bytes`, `received_bytes`, `sent_per_s`, `received_per_s` |
    /// | `delivery` | `missing`, `duplicated`, `reordered` |
    /// | `errors` | `total`, `share` and `causes` of `cause` ([`Cause::id`](crate::stats::Cause::id)), `count`, `example` |
    /// | `latency` | `response`, `service` and `connect`: `count`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p99_9_us`, `p99_99_us`, `max_us`, and `histogram`, in microseconds, as HdrHistogram's V2 (compressed, base64): those of several runs can be added up; `response` of an open loop holds those that had no answer at the end, too |
    /// | `broadcast` | `published`, `expected`, `received`, and as latencies `first`, `median`, `last` |
    /// | `held` | if connections only stood for a time, at its end: `time_s`, `open`, `lost`, and as memory `client` and `server` (anonymous: heap and stacks), `kernel_slab` and `kernel_sockets` (of all this machine): `before_bytes`, `held_bytes`, `per_connection_bytes` |
    /// | `client` | `cpu_s`, `cpus`, `memory_bytes`, `memory_before_bytes`, `per_connection_bytes`, `busiest_thread_share`, `limits` (texts; empty if the client was not the limit) |
    /// | `server` | the same without the last two, if its process was known |
    /// | `samples` | for each second, and the part of one at the end, `at_s` (its end), `open`, `completed`, `failed`, `received` (broadcasts), `p50_us`, `p99_us`, `max_us` |
    /// | `thresholds` | `threshold`, `passed`, `comparison` |
    /// | `passed` | whether all thresholds were kept |
    pub fn json(&self) -> String {
        let document = Document::new(self);
        // Numbers, texts and lists of them: nothing that JSON does not have.
        let mut text = serde_json::to_string_pretty(&document).expect("it has a form in JSON");
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    target: Target<'a>,
    plan: Plan,
    ended: &'static str,
    connecting_s: f64,
    elapsed_s: f64,
    asked_s: f64,
    connections: Connections,
    requests: Requests,
    statuses: Statuses,
    bytes: Bytes,
    delivery: Delivery,
    errors: Errors<'a>,
    latency: Latencies,
    broadcast: Option<Broadcast>,
    held: Option<Held>,
    client: Client,
    server: Option<Process>,
    samples: Vec<Sample>,
    thresholds: Vec<Threshold<'a>>,
    passed: bool,
}

impl<'a> Document<'a> {
    fn new(report: &Report<'a>) -> Self {
        let (plan, outcome) = (report.plan, report.outcome);
        let tally = &outcome.tally;
        let connections = report.connections();
        Document {
            schema: SCHEMA,
            target: Target::new(&plan.target),
            plan: Plan::new(plan),
            ended: match outcome.ended {
                Ended::Done => "done",
                Ended::Interrupted => "interrupted",
                Ended::NoAnswers => "no_answers",
                Ended::NobodyLeft => "nobody_left",
            },
            connecting_s: outcome.connecting.as_secs_f64(),
            elapsed_s: outcome.elapsed.as_secs_f64(),
            asked_s: outcome.asked.as_secs_f64(),
            connections: Connections {
                requested: tally.connections.requested,
                established: tally.connections.established,
                failed: tally.connections.failed,
                under_way: tally.connections.under_way,
                lost: tally.connections.lost,
                answered: tally.connections.answered,
                renewed: tally.connections.renewed,
                lost_per_minute: outcome.drops_per_minute(),
            },
            requests: Requests {
                sent: tally.sent,
                completed: tally.completed,
                completed_per_s: outcome.rate(),
                late: tally.late,
                late_share: tally.late_share(),
                unsent: tally.unsent,
                unanswered: tally.unanswered,
            },
            statuses: Statuses::new(tally.statuses),
            bytes: Bytes {
                sent_bytes: tally.bytes_sent,
                received_bytes: tally.bytes_received,
                sent_per_s: outcome.per_second(tally.bytes_sent),
                received_per_s: outcome.per_second(tally.bytes_received),
            },
            delivery: Delivery {
                missing: tally.missing,
                duplicated: tally.duplicated,
                reordered: tally.reordered,
            },
            errors: Errors::new(tally),
            latency: Latencies {
                response: Times::new(&tally.response),
                service: Times::new(&tally.service),
                connect: Times::new(&tally.connect),
            },
            broadcast: tally.broadcast.as_deref().map(Broadcast::new),
            held: outcome.held.as_ref().map(Held::new),
            client: Client {
                process: Process::new(&outcome.client, outcome.elapsed, connections),
                busiest_thread_share: outcome.client_busy,
                limits: outcome.client_limits(),
            },
            server: outcome.server.as_ref().map(|server| Process::new(server, outcome.elapsed, connections)),
            samples: outcome.samples.iter().map(Sample::new).collect(),
            thresholds: report
                .verdicts
                .iter()
                .map(|verdict| Threshold {
                    threshold: &verdict.threshold,
                    passed: verdict.passed,
                    comparison: &verdict.comparison,
                })
                .collect(),
            passed: report.passed(),
        }
    }
}

#[derive(Serialize)]
struct Target<'a> {
    scheme: &'static str,
    authority: &'a str,
    path: &'a str,
    addresses: Vec<String>,
}

impl<'a> Target<'a> {
    fn new(target: &'a crate::plan::Target) -> Self {
        Target {
            scheme: scheme(target.scheme),
            authority: &target.authority,
            path: &target.path,
            addresses: target.addrs.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(super) fn scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Ws => "ws",
        Scheme::Tcp => "tcp",
        Scheme::Udp => "udp",
    }
}

#[derive(Serialize)]
struct Plan {
    connections: usize,
    threads: usize,
    duration_s: f64,
    warmup_s: f64,
    timeout_s: f64,
    requests: Option<u64>,
    r#loop: &'static str,
    pipelined: Option<usize>,
    rate_per_s: Option<f64>,
    connect_rate_per_s: Option<f64>,
    stages: Vec<Stage>,
}

#[derive(Serialize)]
struct Stage {
    time_s: f64,
    connections: usize,
}

impl Plan {
    fn new(plan: &crate::Plan) -> Self {
        let (r#loop, pipelined, rate_per_s) = match plan.pace {
            Pace::Closed { pipelined } => ("closed", Some(pipelined), None),
            Pace::Open { rate } => ("open", None, Some(rate)),
            Pace::Silent => ("silent", None, None),
        };
        let stage = |stage: &crate::plan::Stage| Stage {
            time_s: stage.time.as_secs_f64(),
            connections: stage.connections,
        };
        Plan {
            connections: plan.connections,
            threads: plan.shards,
            duration_s: plan.duration.as_secs_f64(),
            warmup_s: plan.warmup.as_secs_f64(),
            timeout_s: plan.timeout.as_secs_f64(),
            requests: plan.requests,
            r#loop,
            pipelined,
            rate_per_s,
            connect_rate_per_s: plan.connect_rate,
            stages: plan.stages.iter().map(stage).collect(),
        }
    }
}

#[derive(Serialize)]
struct Connections {
    requested: u64,
    established: u64,
    failed: u64,
    under_way: u64,
    lost: u64,
    answered: u64,
    renewed: u64,
    lost_per_minute: f64,
}

#[derive(Serialize)]
struct Requests {
    sent: u64,
    completed: u64,
    completed_per_s: f64,
    late: u64,
    late_share: f64,
    unsent: u64,
    unanswered: u64,
}

#[derive(Serialize)]
struct Statuses {
    #[serde(rename = "1xx")]
    informational: u64,
    #[serde(rename = "2xx")]
    successful: u64,
    #[serde(rename = "3xx")]
    redirected: u64,
    #[serde(rename = "4xx")]
    client_errors: u64,
    #[serde(rename = "5xx")]
    server_errors: u64,
    other: u64,
}

impl Statuses {
    fn new(statuses: [u64; 6]) -> Self {
        let [other, informational, successful, redirected, client_errors, server_errors] = statuses;
        Statuses { informational, successful, redirected, client_errors, server_errors, other }
    }
}

#[derive(Serialize)]
struct Bytes {
    sent_bytes: u64,
    received_bytes: u64,
    sent_per_s: f64,
    received_per_s: f64,
}

#[derive(Serialize)]
struct Delivery {
    missing: u64,
    duplicated: u64,
    reordered: u64,
}

#[derive(Serialize)]
struct Errors<'a> {
    total: u64,
    share: f64,
    causes: Vec<Failed<'a>>,
}

#[derive(Serialize)]
struct Failed<'a> {
    cause: &'static str,
    count: u64,
    example: Option<&'a str>,
}

impl<'a> Errors<'a> {
    fn new(tally: &'a crate::Tally) -> Self {
        let failures = &tally.failures;
        let failed = |(cause, count): (crate::stats::Cause, u64)| Failed {
            cause: cause.id(),
            count,
            example: failures.example(cause),
        };
        Errors {
            total: failures.total(),
            share: tally.error_rate(),
            causes: failures.causes().map(failed).collect(),
        }
    }
}

#[derive(Serialize)]
struct Latencies {
    response: Option<Times>,
    service: Option<Times>,
    connect: Option<Times>,
}

#[derive(Serialize)]
struct Times {
    count: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p95_us: u64,
    p99_us: u64,
    p99_9_us: u64,
    p99_99_us: u64,
    max_us: u64,
    histogram: Option<String>,
}

impl Times {
    /// `None` if nothing was measured.
    fn new(times: &Latency) -> Option<Self> {
        let quantile = |share| micros(times.quantile(share));
        (times.count() > 0).then(|| Times {
            count: times.count(),
            mean_us: times.mean().as_secs_f64() * 1e6,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p95_us: quantile(0.95),
            p99_us: quantile(0.99),
            p99_9_us: quantile(0.999),
            p99_99_us: quantile(0.9999),
            max_us: micros(times.max()),
            histogram: encoded(times),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn encoded(times: &Latency) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(times.histogram(), &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

#[derive(Serialize)]
struct Broadcast {
    published: u64,
    expected: u64,
    received: u64,
    first: Option<Times>,
    median: Option<Times>,
    last: Option<Times>,
}

impl Broadcast {
    fn new(broadcast: &crate::stats::Broadcast) -> Self {
        Broadcast {
            published: broadcast.published,
            expected: broadcast.expected,
            received: broadcast.received,
            first: Times::new(&broadcast.first),
            median: Times::new(&broadcast.median),
            last: Times::new(&broadcast.last),
        }
    }
}

#[derive(Serialize)]
struct Held {
    time_s: f64,
    open: u64,
    lost: u64,
    client: Option<Memory>,
    server: Option<Memory>,
    kernel_slab: Option<Memory>,
    kernel_sockets: Option<Memory>,
}

#[derive(Serialize)]
struct Memory {
    before_bytes: u64,
    held_bytes: u64,
    per_connection_bytes: Option<u64>,
}

impl Held {
    fn new(held: &crate::stats::Held) -> Self {
        let memory = |growth: Growth| Memory {
            before_bytes: growth.before,
            held_bytes: growth.held,
            per_connection_bytes: held.per_connection(growth),
        };
        Held {
            time_s: held.time.as_secs_f64(),
            open: held.open,
            lost: held.lost,
            client: held.client.map(memory),
            server: held.server.map(memory),
            kernel_slab: held.slab.map(memory),
            kernel_sockets: held.sockets.map(memory),
        }
    }
}

#[derive(Serialize)]
struct Client {
    #[serde(flatten)]
    process: Process,
    busiest_thread_share: f64,
    limits: Vec<String>,
}

#[derive(Serialize)]
struct Process {
    cpu_s: f64,
    cpus: f64,
    memory_bytes: u64,
    memory_before_bytes: u64,
    per_connection_bytes: Option<u64>,
}

impl Process {
    fn new(usage: &Usage, elapsed: Duration, connections: u64) -> Self {
        Process {
            cpu_s: usage.cpu.as_secs_f64(),
            cpus: usage.cpus(elapsed),
            memory_bytes: usage.memory,
            memory_before_bytes: usage.memory_before,
            per_connection_bytes: usage.per_connection(connections),
        }
    }
}

#[derive(Serialize)]
struct Sample {
    at_s: f64,
    open: u64,
    completed: u64,
    failed: u64,
    received: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Sample {
    fn new(sample: &crate::stats::Sample) -> Self {
        Sample {
            at_s: sample.at.as_secs_f64(),
            open: sample.open,
            completed: sample.completed,
            failed: sample.failed,
            received: sample.received,
            p50_us: micros(sample.p50),
            p99_us: micros(sample.p99),
            max_us: micros(sample.max),
        }
    }
}

#[derive(Serialize)]
struct Threshold<'a> {
    threshold: &'a str,
    passed: bool,
    comparison: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        made_up,
        stats::{self, Broadcast, Cause},
        threshold,
    };
    use hdrhistogram::{Histogram, serialization::Deserializer};
    use serde_json::{Value, json};

    fn parsed(plan: &crate::Plan, outcome: &crate::Outcome, verdicts: &[threshold::Verdict]) -> Value {
        serde_json::from_str(&Report { plan, outcome, verdicts }.json()).unwrap()
    }

    #[test]
    fn what_was_measured_is_under_its_name() {
        let mut outcome = made_up::outcome(100_000);
        outcome.tally.failures.add_with(Cause::Reset, || "gone \u{1b}\"".into());
        outcome.tally.statuses = [1, 2, 3, 4, 5, 6];
        outcome.connecting = Duration::from_millis(250);
        outcome.server = Some(outcome.client);
        let verdict = "p99>1ms".parse::<threshold::Threshold>().unwrap().judge(&outcome);
        let document = parsed(&made_up::open_plan(10_000.0), &outcome, &[verdict]);
        for (pointer, value) in [
            ("/schema", json!(1)),
            ("/target/scheme", json!("http")),
            ("/target/addresses/0", json!("127.0.0.1:8080")),
            ("/plan/loop", json!("open")),
            ("/plan/rate_per_s", json!(10_000.0)),
            ("/plan/pipelined", json!(null)),
            ("/plan/threads", json!(2)),
            ("/ended", json!("done")),
            ("/elapsed_s", json!(10.0)),
            ("/asked_s", json!(10.0)),
            ("/connecting_s", json!(0.25)),
            ("/connections/established", json!(64)),
            ("/requests/completed_per_s", json!(10_000.0)),
            ("/statuses/2xx", json!(3)),
            ("/statuses/other", json!(1)),
            ("/bytes/received_bytes", json!(12_000_000)),
            ("/errors/total", json!(1)),
            ("/errors/causes", json!([{"cause": "reset", "count": 1, "example": "gone \u{1b}\""}])),
            ("/latency/connect/p50_us", json!(150)),
            ("/latency/response/max_us", json!(11_983)),
            ("/broadcast", json!(null)),
            ("/client/cpus", json!(0.4)),
            ("/client/per_connection_bytes", json!(1900)),
            ("/client/busiest_thread_share", json!(0.41)),
            ("/client/limits", json!([])),
            ("/server/memory_bytes", json!(3_121_600)),
            ("/samples/9/at_s", json!(10.0)),
            ("/thresholds/0/passed", json!(false)),
            ("/passed", json!(false)),
        ] {
            assert_eq!(document.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[test]
    fn the_names_are_those_that_are_documented() {
        let mut outcome = made_up::outcome(1);
        outcome.tally.broadcast = Some(Box::new(Broadcast::default()));
        outcome.server = Some(outcome.client);
        let growth = Some(Growth::default());
        let held = stats::Held {
            client: growth,
            server: growth,
            slab: growth,
            sockets: growth,
            ..Default::default()
        };
        outcome.held = Some(held);
        let document = parsed(&made_up::plan(), &outcome, &[]);
        let source = include_str!("json.rs");
        let documented = &source[..source.find("pub fn json").unwrap()];
        for (name, value) in document.as_object().unwrap() {
            assert!(documented.contains(&format!("/// | `{name}` |")), "{name}");
            let names = value.as_object().into_iter().flat_map(|object| object.keys());
            for inner in names.filter(|inner| !matches!(inner.as_bytes(), [b'2'..b'5', b'x', b'x'])) {
                let same = name == "server";
                assert!(same || documented.contains(&format!("`{inner}`")), "{name}: {inner}");
            }
        }
    }

    #[test]
    fn histograms_can_be_added_up() {
        let outcome = made_up::outcome(10_000);
        let document = parsed(&made_up::plan(), &outcome, &[]);
        let text = document.pointer("/latency/response/histogram").unwrap().as_str().unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut &*bytes).unwrap();
        assert_eq!(&read, outcome.tally.response.histogram());
        let mut sum = read;
        sum.add(outcome.tally.response.histogram()).unwrap();
        assert_eq!(sum.len(), 20_000);
    }

    #[test]
    fn nothing_has_a_form_too() {
        let mut outcome = made_up::outcome(0);
        outcome.tally = crate::Tally::default();
        (outcome.elapsed, outcome.asked) = (Duration::ZERO, Duration::ZERO);
        outcome.samples.clear();
        let document = parsed(&made_up::plan(), &outcome, &[]);
        assert_eq!(document["latency"], json!({"response": null, "service": null, "connect": null}));
        assert_eq!(document["requests"]["completed_per_s"], json!(0.0));
        assert_eq!(document["client"]["per_connection_bytes"], json!(null));
        assert_eq!(document["passed"], json!(true));
    }

    #[test]
    fn a_million_and_long_texts_have_a_form() {
        let (mut plan, mut outcome) = made_up::million();
        plan.target.path = format!("/{}\u{0}\u{2028}</script>", "x".repeat(100_000));
        outcome.tally.bytes_sent = u64::MAX;
        let document = parsed(&plan, &outcome, &[]);
        assert_eq!(document["target"]["path"], json!(plan.target.path));
        assert_eq!(document["bytes"]["sent_bytes"], json!(u64::MAX));
        assert_eq!(document["connections"]["lost_per_minute"], json!(3.0));
    }
}

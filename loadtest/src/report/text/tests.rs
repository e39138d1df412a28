use super::*;
use crate::{
    Outcome, Plan, made_up,
    plan::{Pace, Publish},
    stats::{Broadcast, Cause, Connections, Growth, Held},
    threshold::{Threshold, Verdict},
};
use std::time::Duration;

fn text(plan: &Plan, outcome: &Outcome) -> String {
    Report { plan, outcome, verdicts: &[] }.text(Paint::PLAIN)
}

#[track_caller]
fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{} columns: {line}", line.chars().count());
        assert!(!line.ends_with(' ') && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn an_open_loop_has_response_and_service_side_by_side() {
    let mut outcome = made_up::outcome(499_998);
    outcome.tally.late = 100;
    let plan = made_up::open_plan(50_000.0);
    let verdicts: Vec<Verdict> =
        ["p99>5ms", "max>5ms"].map(|text| text.parse::<Threshold>().unwrap().judge(&outcome)).into();
    let text = Report { plan: &plan, outcome: &outcome, verdicts: &verdicts }.text(Paint::PLAIN);
    assert_eq!(
        text,
        "\
10s  64/64 connections  2 threads  open loop 50,000/s
  requests    499,998   50,000/s   errors 0   2xx 499,998
  connections requested 64   established 64   lost 0
  bytes       received 60.0 MB (6.00 MB/s)   sent 20.0 MB (2.00 MB/s)
                p50   p90   p99  p99.9   max
  response     0.30  0.51  1.69   1.96  12.0 ms  (from scheduled time)
  service      0.30  0.51  1.69   1.96  2.00 ms  (from actual send)
  connect       150   150   150    150   150 µs
  client      CPU 40%   busiest thread 41%   late sends 0.02%   1.90 KB/conn
PASS p99 1.69ms ≤ 5ms
FAIL max 12.0ms > 5ms
"
    );
    fits(&text);
}

#[test]
fn a_closed_loop_says_what_its_latencies_leave_out() {
    let plan = Plan { pace: Pace::Closed { pipelined: 16 }, shards: 1, ..made_up::plan() };
    let text = text(&plan, &made_up::outcome(1000));
    assert!(text.starts_with("10s  64/64 connections  1 thread  closed loop, 16 pipelined\n"), "{text}");
    assert!(text.contains("closed loop: latencies leave out"), "{text}");
    assert!(!text.contains("service") && !text.contains("late sends"), "{text}");
    fits(&text);
}

#[test]
fn what_was_due_and_never_came_is_said() {
    let mut outcome = made_up::outcome(100);
    (outcome.tally.unsent, outcome.tally.unanswered) = (1200, 64);
    let text = text(&made_up::open_plan(1000.0), &outcome);
    assert!(text.contains("errors 0   2xx 100   unsent 1,200   unanswered 64\n"), "{text}");
}

#[test]
fn an_open_loop_does_not_say_so() {
    assert!(!text(&made_up::open_plan(1.0), &made_up::outcome(10)).contains("leave out"));
}

#[test]
fn connecting_for_long_is_told_of() {
    let mut outcome = made_up::outcome(100);
    assert!(!text(&made_up::plan(), &outcome).contains("established 64 in"));
    outcome.connecting = Duration::from_millis(1500);
    outcome.tally.connections.established = 64;
    let text = text(&made_up::plan(), &outcome);
    assert!(text.contains("established 64 in 1.5s"), "{text}");
}

#[test]
fn causes_have_counts_and_examples() {
    let mut outcome = made_up::outcome(100);
    for _ in 0..1200 {
        outcome.tally.failures.add_with(Cause::Refused, || "connect to 127.0.0.1:8080: refused".into());
    }
    outcome.tally.failures.add_with(Cause::Garbage, || format!("\u{1b}[2J{}", "x".repeat(500)));
    outcome.tally.failures.add(Cause::Status);
    outcome.tally.statuses = [1, 0, 90, 0, 4, 5];
    outcome.tally.connections = Connections {
        requested: 69,
        established: 60,
        failed: 4,
        under_way: 5,
        lost: 5,
        answered: 60,
        renewed: 2,
    };
    let text = text(&made_up::plan(), &outcome);
    for line in [
        "  requests    100   10.0/s   errors 1,202   2xx 90   4xx 4   5xx 5",
        "              other statuses 1",
        "  connections requested 69   established 60   failed 4   under way 5   lost 5",
        "              renewed 2   30.0 drops a minute",
        "  1,200  connection refused  connect to 127.0.0.1:8080: refused",
        "      1  unexpected status",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("\n      1  not the protocol    \\u{1b}[2Jxxxx"), "{text}");
    fits(&text);
}

#[test]
fn everything_failing_is_said_and_measures_nothing() {
    let mut outcome = made_up::outcome(0);
    outcome.ended = Ended::NobodyLeft;
    outcome.tally = Default::default();
    outcome.tally.connections = Connections { requested: 64, failed: 64, ..Connections::default() };
    outcome.tally.failures.add_with(Cause::Refused, || "nobody listens".into());
    outcome.samples.clear();
    (outcome.elapsed, outcome.asked) = (Duration::ZERO, Duration::ZERO);
    let text = text(&made_up::open_plan(10.0), &outcome);
    assert_eq!(
        text,
        "\
0s  0/64 connections  2 threads  open loop 10.0/s
  ended early: no connection was left, and none could be made
  requests    0   0.00/s   errors 1
  connections requested 64   established 0   failed 64   lost 0
  bytes       received 0 B (0 B/s)   sent 0 B (0 B/s)
  client      CPU 0%   busiest thread 41%   late sends 0%
  1  connection refused  nobody listens
"
    );
}

#[test]
fn what_was_sent_and_never_answered_has_no_times() {
    let mut outcome = made_up::outcome(0);
    outcome.tally.sent = 64;
    let text = text(&made_up::plan(), &outcome);
    assert!(text.contains("  response     none was measured\n"), "{text}");
}

#[test]
fn one_request_is_a_run() {
    let text = text(&made_up::plan(), &made_up::outcome(1));
    assert!(text.contains("requests    1   0.10/s   errors 0   2xx 1\n"), "{text}");
    fits(&text);
}

#[test]
fn the_client_as_the_limit_is_a_warning() {
    let mut outcome = made_up::outcome(1000);
    outcome.client_busy = 0.97;
    outcome.tally.late = 500;
    let text = text(&made_up::open_plan(1000.0), &outcome);
    assert!(
        text.contains("WARNING the client may have been the limit: its busiest thread worked 97% of\n"),
        "{text}"
    );
    assert!(text.replace("\n  ", " ").contains("50.0% of the requests left more than 1 ms late"), "{text}");
    fits(&text);
}

#[test]
fn a_million_that_are_held_say_how_many_dropped() {
    let (plan, outcome) = made_up::million();
    let text = text(&plan, &outcome);
    assert!(text.starts_with("1m  1,000,000/1,000,000 connections  54 threads  closed loop\n"), "{text}");
    assert!(text.contains("requested 1,000,000   established 1,000,000   lost 3\n"), "{text}");
    assert!(text.contains("3.00 drops a minute\n"), "{text}");
    assert!(text.contains("310 B/conn\n"), "{text}");
    assert!(!text.contains("response") && text.contains("messages    0 "), "{text}");
    fits(&text);
}

#[test]
fn a_run_that_asks_nothing_has_no_row_of_answers() {
    let (plan, mut outcome) = made_up::million();
    let mut plan = Plan { pace: Pace::Silent, ..plan };
    let idle = text(&plan, &outcome);
    assert!(idle.contains("54 threads  idle\n  errors      0\n"), "{idle}");
    assert!(!idle.contains("messages"), "{idle}");
    let publish = Publish { rate: 2.0, time: Duration::from_secs(60), messages: None, trigger: None };
    plan.ws.publish = Some(publish);
    outcome.tally.failures.add(Cause::Reset);
    let broadcasts = text(&plan, &outcome);
    assert!(broadcasts.contains("54 threads  broadcasts 2.00/s\n  errors      1\n"), "{broadcasts}");
}

#[test]
fn what_connections_take_that_stand_is_told_once() {
    let (plan, mut outcome) = made_up::million();
    let growth = |added: u64| Some(Growth { before: 5_000_000, held: 5_000_000 + added * 1_000_000 });
    outcome.held = Some(Held {
        time: Duration::from_secs(60),
        open: 1_000_000,
        lost: 3,
        client: growth(312),
        server: growth(251),
        slab: growth(8000),
        sockets: growth(300),
    });
    let found = text(&plan, &outcome);
    let line = "  held        1m   lost 3   client 312 B/conn   server 251 B/conn   kernel 8.30 KB/conn";
    assert!(found.replace("\n              ", "   ").contains(line), "{found}");
    assert_eq!(found.matches("/conn").count(), 3, "{found}");
    fits(&found);
    // With few of them, it is the memory of threads.
    outcome.held = outcome.held.map(|held| Held { open: 9_999, ..held });
    assert!(text(&plan, &outcome).contains("   client 312 MB   server 251 MB\n"));
    // What a system does not tell is left out.
    outcome.held = Some(Held { time: Duration::from_secs(60), ..Held::default() });
    assert!(text(&plan, &outcome).contains("  held        1m   lost 0\n"));
}

#[test]
fn broadcasts_have_their_first_median_and_last_receiver() {
    let (plan, mut outcome) = made_up::million();
    let mut broadcast =
        Broadcast { published: 1, expected: 1_000_000, received: 999_999, ..Broadcast::default() };
    broadcast.first.record(Duration::from_micros(310));
    broadcast.median.record(Duration::from_millis(1500));
    broadcast.last.record(Duration::from_millis(9100));
    outcome.tally.broadcast = Some(Box::new(broadcast));
    outcome.tally.missing = 1;
    let text = text(&plan, &outcome);
    for line in [
        "  broadcasts  published 1   received 999,999 of 1,000,000",
        "  delivery    missing 1 (<0.01%)   duplicated 0   reordered 0",
        "  first receiver     310    310    310    310    310 µs  (from publishing)",
        "  last receiver    9,101  9,101  9,101  9,101  9,101 ms",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    fits(&text);
}

#[test]
fn datagrams_always_say_what_became_of_them() {
    let mut plan = made_up::plan();
    plan.target.scheme = Scheme::Udp;
    let mut outcome = made_up::outcome(1000);
    outcome.tally.statuses = [0; 6];
    assert!(text(&plan, &outcome).contains("  delivery    missing 0 (0%)   duplicated 0   reordered 0\n"));
    outcome.tally.missing = 12;
    assert!(text(&plan, &outcome).contains("datagrams   1,000 "));
    assert!(text(&plan, &outcome).contains("missing 12 (1.20%)"));
}

#[test]
fn the_server_is_there_if_it_was_watched() {
    let mut outcome = made_up::outcome(100_000);
    outcome.server =
        Some(Usage { cpu: Duration::from_millis(810), memory: 12_100_000, memory_before: 12_000_000 });
    let text = text(&made_up::plan(), &outcome);
    let line = "  server      CPU 8.10%   8.10 µs a request   memory 12.1 MB   1.56 KB/conn";
    assert!(text.replace("\n              ", "   ").contains(line), "{text}");
    fits(&text);
}

#[test]
fn the_greatest_figures_fit() {
    let (mut plan, mut outcome) = made_up::million();
    plan.pace = Pace::Open { rate: 1e9 };
    outcome.tally.sent = u64::MAX;
    outcome.tally.completed = u64::MAX / 2;
    outcome.tally.statuses = [u64::MAX / 7; 6];
    outcome.tally.bytes_sent = u64::MAX;
    outcome.tally.bytes_received = u64::MAX;
    outcome.tally.response.record(Duration::from_micros(1));
    outcome.tally.response.record(Duration::from_secs(3600));
    outcome.tally.service.record(Duration::from_secs(3600));
    for cause in Cause::ALL {
        outcome.tally.failures.add_with(cause, || "é".repeat(200));
    }
    fits(&text(&plan, &outcome));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let mut outcome = made_up::outcome(1000);
    outcome.client_busy = 1.0;
    outcome.tally.failures.add_with(Cause::Reset, || "gone".into());
    let plan = made_up::plan();
    let verdicts = ["p99>1us", "p99>1h"].map(|text| text.parse::<Threshold>().unwrap().judge(&outcome));
    let report = Report { plan: &plan, outcome: &outcome, verdicts: &verdicts };
    let mut coloured = report.text(Paint::COLOUR);
    assert!(coloured.contains("\x1b[31mFAIL\x1b[0m") && coloured.contains("\x1b[32mPASS\x1b[0m"));
    for code in ["0", "1", "2", "31", "32", "33"] {
        coloured = coloured.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(coloured, report.text(Paint::PLAIN));
}

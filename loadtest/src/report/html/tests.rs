use super::*;
use crate::{
    Outcome, Plan, made_up,
    stats::{Broadcast, Cause},
    threshold::{Threshold, Verdict},
};
use std::time::Duration;

fn page(plan: &Plan, outcome: &Outcome, verdicts: &[Verdict]) -> String {
    Report { plan, outcome, verdicts }.html()
}

/// A page of which a browser would make what was meant.
#[track_caller]
fn is_sound(page: &str) {
    for element in
        ["html", "head", "body", "style", "div", "section", "figure", "svg", "table", "dl", "ul", "span"]
    {
        let begun =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(begun, page.matches(&format!("</{element}>")).count(), "{element}");
    }
    for outside in
        ["http-equiv=\"refresh", "src=", "href=", "url(", "@import", "<script", "NaN", "inf%", "infM"]
    {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_run_has_four_plots_and_its_figures() {
    let mut outcome = made_up::outcome(499_998);
    outcome.server = Some(outcome.client);
    let verdict = "p99>5ms".parse::<Threshold>().unwrap().judge(&outcome);
    let page = page(&made_up::open_plan(50_000.0), &outcome, &[verdict]);
    assert_eq!(page.matches("<figure>").count(), 4);
    for text in [
        "<h1>http://127.0.0.1:8080/</h1>",
        "10s, 64 connections, 2 threads, open loop 50,000/s",
        "<li class=\"good\">PASS p99 1.69ms ≤ 5ms</li>",
        "<b class=\"\">50,000</b> <small>499,998 in all</small>",
        "<td>12.0 ms</td>",
        "2xx 499,998",
        "<figcaption>Requests/s</figcaption>",
        "<figcaption>Connections</figcaption>",
        "<figcaption>Latency over time<span",
        "<figcaption>Latency by percentile<span",
        ">99.99%</span>",
        "<dt>server</dt>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    is_sound(&page);
}

#[test]
fn nothing_from_outside_is_markup() {
    let evil = "</style></title><script>alert(1)</script>\"'&";
    let mut plan = made_up::plan();
    plan.target.path = format!("/{evil}");
    plan.target.authority = evil.to_owned();
    let mut outcome = made_up::outcome(10);
    outcome.tally.failures.add_with(Cause::Garbage, || evil.to_owned());
    let verdict = Verdict { threshold: evil.into(), passed: false, comparison: evil.into() };
    let page = page(&plan, &outcome, &[verdict]);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    is_sound(&page);
}

#[test]
fn a_run_without_anything_is_a_page_too() {
    let mut outcome = made_up::outcome(0);
    outcome.tally = Default::default();
    outcome.samples.clear();
    (outcome.elapsed, outcome.asked) = (Duration::ZERO, Duration::ZERO);
    outcome.ended = Ended::NobodyLeft;
    let page = page(&made_up::plan(), &outcome, &[]);
    assert!(!page.contains("<figure>") && page.contains("no connection was left"), "{page}");
    is_sound(&page);
}

#[test]
fn one_request_and_one_second_are_a_page() {
    let mut outcome = made_up::outcome(1);
    outcome.samples.truncate(1);
    is_sound(&page(&made_up::plan(), &outcome, &[]));
}

#[test]
fn everything_failing_is_shown() {
    let mut outcome = made_up::outcome(0);
    outcome.tally = Default::default();
    for sample in &mut outcome.samples {
        *sample = crate::stats::Sample { at: sample.at, failed: 64, ..Default::default() };
        for _ in 0..64 {
            outcome.tally.failures.add(Cause::Refused);
        }
    }
    let page = page(&made_up::plan(), &outcome, &[]);
    assert!(
        page.contains("connection refused") && page.contains("<span class=\"ld\">errors</span>"),
        "{page}"
    );
    is_sound(&page);
}

#[test]
fn a_million_that_are_held_have_a_plot_of_their_connecting() {
    let (plan, mut outcome) = made_up::million();
    outcome.tally.broadcast = Some(Box::new(Broadcast::default()));
    let page = page(&plan, &outcome, &[]);
    assert!(page.contains("Time to connect by percentile") && page.contains("drops a minute"), "{page}");
    assert!(page.contains(">1m</span>") && !page.contains("Messages/s"));
    is_sound(&page);
}

#[test]
fn broadcasts_have_a_plot_of_their_delays() {
    let (mut plan, mut outcome) = made_up::million();
    plan.pace = Pace::Silent;
    let mut broadcast = Broadcast { expected: 40, received: 39, ..Broadcast::default() };
    for times in [&mut broadcast.first, &mut broadcast.median, &mut broadcast.last] {
        times.record(Duration::from_millis(3));
    }
    outcome.tally.broadcast = Some(Box::new(broadcast));
    outcome.tally.missing = 1;
    let page = page(&plan, &outcome, &[]);
    assert!(page.contains("Delay of broadcasts by percentile"), "{page}");
    assert!(page.contains("<b class=\"bad\">39</b> <small>of 40</small>"), "{page}");
    is_sound(&page);
}

#[test]
fn a_day_is_no_bigger_than_an_hour() {
    let mut outcome = made_up::outcome(100_000);
    outcome.samples = made_up::samples(86_400, 64, 1000);
    let page = page(&made_up::open_plan(1000.0), &outcome, &[]);
    assert!(page.len() < 300_000, "{} bytes", page.len());
    is_sound(&page);
}

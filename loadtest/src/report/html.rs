//! The report as a page: one file, that asks no network and runs no script.

mod distribution;
mod over_time;
mod plot;

use super::{CLOSED_LOOP, QUANTILES, Report, json, memory_held};
use crate::{
    numbers::{self, TimeUnit},
    plan::{Pace, Scheme},
    stats::{Ended, Latency, Usage},
};
use std::fmt::Write as _;

const STYLE: &str = include_str!("html/page.css");

impl Report<'_> {
    /// The report as an HTML page with plots, in one file, light or dark as the reader has it. Nothing in it comes from
    /// the network, and what came from the server is escaped.
    pub fn html(&self) -> String {
        let target = &self.plan.target;
        let url = format!("{}://{}{}", json::scheme(target.scheme), target.authority, target.path);
        let url = escaped(&numbers::plain(&url, 300));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>lakh load {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        );
        self.write_head(&mut page, &url);
        self.write_tiles(&mut page);
        page.push_str("<div class=\"grid2\">\n");
        self.write_plots(&mut page);
        page.push_str("</div>\n<div class=\"grid2\">\n");
        self.write_latencies(&mut page);
        self.write_details(&mut page);
        self.write_failures(&mut page);
        page.push_str("</div>\n</body>\n</html>\n");
        page
    }

    fn write_head(&self, page: &mut String, url: &str) {
        let (plan, outcome) = (self.plan, self.outcome);
        let _ = writeln!(
            page,
            "<h1>{url}</h1>\n<p class=\"faint\">{}, {} connections, {} {}, {}</p>",
            numbers::duration(outcome.elapsed),
            numbers::count(plan.connections as u64),
            plan.shards,
            if plan.shards == 1 { "thread" } else { "threads" },
            self.pace()
        );
        let ended = match outcome.ended {
            Ended::Done => None,
            Ended::Interrupted => Some("Interrupted: these are the figures so far."),
            Ended::NoAnswers => Some("Ended early: nothing was answered any more."),
            Ended::NobodyLeft => Some("Ended early: no connection was left, and none could be made."),
        };
        if let Some(ended) = ended {
            let _ = writeln!(page, "<p class=\"warn\">{ended}</p>");
        }
        let limits = outcome.client_limits();
        if !limits.is_empty() {
            let _ = writeln!(
                page,
                "<p class=\"warn\">The client may have been the limit: {}.</p>",
                escaped(&limits.join("; "))
            );
        }
        if !self.verdicts.is_empty() {
            page.push_str("<ul class=\"verdicts\">");
            for verdict in self.verdicts {
                let class = if verdict.passed { "good" } else { "bad" };
                let _ = write!(page, "<li class=\"{class}\">{}</li>", escaped(&verdict.to_string()));
            }
            page.push_str("</ul>\n");
        }
    }

    fn write_tiles(&self, page: &mut String) {
        let (outcome, tally) = (self.outcome, &self.outcome.tally);
        page.push_str("<div class=\"tiles\">\n");
        let mut tile = |name: &str, value: &str, class: &str, small: &str| {
            let _ = writeln!(
                page,
                "<div><span>{name}</span><b class=\"{class}\">{value}</b> <small>{small}</small></div>"
            );
        };
        let bad = |count: u64| if count > 0 { "bad" } else { "" };
        if let (Pace::Silent, Some(broadcast)) = (self.plan.pace, &tally.broadcast) {
            let of = format!("of {}", numbers::count(broadcast.expected));
            tile("received", &numbers::count(broadcast.received), bad(tally.missing), &of);
        } else if tally.sent == 0 && tally.completed == 0 {
            tile(
                "drops a minute",
                &numbers::rate(outcome.drops_per_minute()),
                bad(tally.connections.lost),
                "",
            );
        } else {
            let answered = numbers::count(tally.completed);
            tile(
                &format!("{}/s", self.things()),
                &numbers::rate(outcome.rate()),
                "",
                &format!("{answered} in all"),
            );
        }
        if tally.response.count() > 0 {
            for (name, time) in [
                ("p50", tally.response.quantile(0.5)),
                ("p99", tally.response.quantile(0.99)),
                ("longest", tally.response.max()),
            ] {
                let unit = TimeUnit::of(time);
                tile(name, &unit.number(time), "", unit.name());
            }
        }
        if let Some(broadcast) = &tally.broadcast {
            let last = broadcast.last.max();
            let unit = TimeUnit::of(last);
            tile("last receiver", &unit.number(last), "", unit.name());
        }
        let (established, requested) = (tally.connections.established, self.plan.connections as u64);
        let class = if established < requested { "bad" } else { "" };
        let of = format!("of {}", numbers::count(requested));
        tile("connections", &numbers::count(established), class, &of);
        tile("lost", &numbers::count(tally.connections.lost), bad(tally.connections.lost), "");
        let errors = tally.failures.total();
        tile("errors", &numbers::count(errors), bad(errors), &numbers::percent(tally.error_rate()));
        page.push_str("</div>\n");
    }

    fn write_plots(&self, page: &mut String) {
        let points = over_time::points(&self.outcome.samples);
        let plots = [
            over_time::rates(&points, self.things()),
            over_time::connections(&points),
            over_time::latencies(&points),
            distribution::plot(&self.outcome.tally, self.is_open_loop()),
        ];
        for plot in plots.into_iter().flatten() {
            plot.add_to(page);
        }
    }

    fn write_latencies(&self, page: &mut String) {
        let tally = &self.outcome.tally;
        let mut rows = vec![("response", &tally.response)];
        if self.is_open_loop() {
            rows.push(("service", &tally.service));
        }
        if let Some(broadcast) = &tally.broadcast {
            rows.push(("first receiver", &broadcast.first));
            rows.push(("median receiver", &broadcast.median));
            rows.push(("last receiver", &broadcast.last));
        }
        rows.push(("connect", &tally.connect));
        rows.retain(|(_, times)| times.count() > 0);
        if rows.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>Latencies</h2>\n");
        let note = if self.is_open_loop() {
            "Response counts from the scheduled time, service from the actual send."
        } else if tally.response.count() > 0 {
            CLOSED_LOOP
        } else {
            ""
        };
        if !note.is_empty() {
            let mut note = note.to_owned();
            note[..1].make_ascii_uppercase();
            let _ = writeln!(page, "<p class=\"faint\">{}.</p>", note.trim_end_matches('.'));
        }
        page.push_str("<div class=\"wide\"><table><thead><tr><th></th>");
        for head in QUANTILES.map(|(name, _)| name).into_iter().chain(["max"]) {
            let _ = write!(page, "<th>{head}</th>");
        }
        page.push_str("</tr></thead><tbody>\n");
        for (name, times) in rows {
            add_row(page, name, times);
        }
        page.push_str("</tbody></table></div>\n</section>\n");
    }

    fn write_details(&self, page: &mut String) {
        let (outcome, tally) = (self.outcome, &self.outcome.tally);
        page.push_str("<section>\n<h2>Details</h2>\n<dl>\n");
        let mut detail = |name: &str, text: &str| {
            let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(text));
        };
        let connections = &tally.connections;
        detail(
            "connections",
            &format!(
                "requested {}, established {}, failed {}, lost {}",
                numbers::count(connections.requested),
                numbers::count(connections.established),
                numbers::count(connections.failed),
                numbers::count(connections.lost)
            ),
        );
        if tally.unsent + tally.unanswered > 0 {
            let (unsent, unanswered) = (numbers::count(tally.unsent), numbers::count(tally.unanswered));
            detail(self.things(), &format!("unsent {unsent}, unanswered at the end {unanswered}"));
        }
        let statuses = tally.statuses.iter().enumerate().skip(1).filter(|(_, count)| **count > 0);
        let mut statuses: Vec<String> =
            statuses.map(|(class, count)| format!("{class}xx {}", numbers::count(*count))).collect();
        if tally.statuses[0] > 0 {
            statuses.push(format!("other {}", numbers::count(tally.statuses[0])));
        }
        if !statuses.is_empty() {
            detail("statuses", &statuses.join(", "));
        }
        let bytes = |bytes| {
            let rate = numbers::bytes(outcome.per_second(bytes) as u64);
            format!("{} ({rate}/s)", numbers::bytes(bytes))
        };
        detail("received", &bytes(tally.bytes_received));
        detail("sent", &bytes(tally.bytes_sent));
        if self.plan.target.scheme == Scheme::Udp || tally.missing + tally.duplicated + tally.reordered > 0 {
            let (missing, duplicated) = (numbers::count(tally.missing), numbers::count(tally.duplicated));
            let reordered = numbers::count(tally.reordered);
            detail("delivery", &format!("missing {missing}, duplicated {duplicated}, reordered {reordered}"));
        }
        if let Some(broadcast) = &tally.broadcast {
            let (received, expected) =
                (numbers::count(broadcast.received), numbers::count(broadcast.expected));
            let published = numbers::count(broadcast.published);
            detail("broadcasts", &format!("published {published}, received {received} of {expected}"));
        }
        if let Some(held) = &outcome.held {
            let mut text = format!("{}, lost {}", numbers::duration(held.time), numbers::count(held.lost));
            for memory in memory_held(held) {
                let _ = write!(text, ", {memory}");
            }
            detail("held", &text);
        }
        let process = |usage: &Usage| {
            let cpu = numbers::percent(usage.cpus(outcome.elapsed));
            let memory = numbers::bytes(usage.memory);
            let each = usage.per_connection(self.connections()).filter(|_| outcome.held.is_none());
            let each = each.map(numbers::bytes);
            let each = each.map(|each| format!(", {each} a connection")).unwrap_or_default();
            format!("CPU {cpu}, memory {memory}{each}")
        };
        let busiest = numbers::percent(outcome.client_busy);
        detail("client", &format!("{}, busiest thread {busiest}", process(&outcome.client)));
        if self.is_open_loop() {
            detail(
                "late sends",
                &format!("{} ({})", numbers::count(tally.late), numbers::percent(tally.late_share())),
            );
        }
        if let Some(server) = &outcome.server {
            detail("server", &process(server));
        }
        page.push_str("</dl>\n</section>\n");
    }

    fn write_failures(&self, page: &mut String) {
        let failures = &self.outcome.tally.failures;
        if failures.total() == 0 {
            return;
        }
        page.push_str("<section class=\"whole\">\n<h2>Errors</h2>\n<div class=\"wide\"><table><tbody>\n");
        for (cause, count) in failures.causes() {
            let example = failures.example(cause).unwrap_or_default();
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td class=\"bad\">{}</td><td class=\"text\">{}</td></tr>",
                cause.text(),
                numbers::count(count),
                escaped(&numbers::plain(example, 300))
            );
        }
        page.push_str("</tbody></table></div>\n</section>\n");
    }
}

fn add_row(page: &mut String, name: &str, times: &Latency) {
    let _ = write!(page, "<tr><td>{name}</td>");
    let quantiles = QUANTILES.iter().map(|(_, share)| times.quantile(*share));
    for time in quantiles.chain([times.max()]) {
        let unit = TimeUnit::of(time);
        let _ = write!(page, "<td>{} {}</td>", unit.number(time), unit.name());
    }
    page.push_str("</tr>\n");
}

/// Text within HTML, in an element or in an attribute with quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests;

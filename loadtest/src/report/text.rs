//! The report for people: plain text of at most 80 columns.

use super::{CLOSED_LOOP, Paint, QUANTILES, Report, memory_held};
use crate::{
    numbers::{self, TimeUnit},
    plan::{Pace, Scheme},
    stats::{Ended, Latency, Usage},
};
use std::{fmt::Write as _, time::Duration};

/// Columns of a terminal that everybody has.
const COLUMNS: usize = 80;
/// Those that the names of rows take up.
const NAME: usize = 11;
const GAP: &str = "   ";
/// Connecting that takes so long is told of.
const LONG_CONNECTING: Duration = Duration::from_secs(1);

impl Report<'_> {
    /// The report as text: what was asked for, what stood, what was lost, errors by cause, statuses, bytes, times, and
    /// what the client itself took. It ends with a line for each threshold.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = Text { out: String::new(), paint };
        self.add_head(&mut text);
        self.add_counts(&mut text);
        self.add_times(&mut text);
        self.add_processes(&mut text);
        self.add_failures(&mut text);
        self.add_notes(&mut text);
        for verdict in self.verdicts {
            let line = verdict.to_string();
            let (word, comparison) = line.split_at(4);
            let word = if verdict.passed { paint.good(word) } else { paint.bad(word) };
            let _ = writeln!(text.out, "{word}{comparison}");
        }
        text.out
    }

    fn add_head(&self, text: &mut Text) {
        let (plan, outcome) = (self.plan, self.outcome);
        let (established, asked) = (outcome.tally.connections.established, plan.connections as u64);
        let _ = writeln!(
            text.out,
            "{}  {}/{} connections  {}  {}",
            text.paint.strong(&numbers::duration(outcome.elapsed)),
            numbers::count(established.min(asked)),
            numbers::count(asked),
            if plan.shards == 1 { "1 thread".to_owned() } else { format!("{} threads", plan.shards) },
            self.pace(),
        );
        let early = match outcome.ended {
            Ended::Done => return,
            Ended::Interrupted => "interrupted: these are the figures so far",
            Ended::NoAnswers => "ended early: nothing was answered any more",
            Ended::NobodyLeft => "ended early: no connection was left, and none could be made",
        };
        let _ = writeln!(text.out, "  {}", text.paint.warning(early));
    }

    fn add_counts(&self, text: &mut Text) {
        let (outcome, tally) = (self.outcome, &self.outcome.tally);
        let errors = tally.failures.total();
        let mut items = vec![
            Item::new(numbers::count(tally.completed)),
            Item::new(format!("{}/s", numbers::rate(outcome.rate()))).strong(),
            Item::new(format!("errors {}", numbers::count(errors))).bad_if(errors > 0),
        ];
        let mut name = self.things();
        if self.plan.pace == Pace::Silent {
            name = "errors";
            items = vec![Item::new(numbers::count(errors)).bad_if(errors > 0)];
        }
        for (class, count) in tally.statuses.iter().enumerate().skip(1).filter(|(_, count)| **count > 0) {
            items.push(Item::new(format!("{class}xx {}", numbers::count(*count))).bad_if(class >= 4));
        }
        if tally.statuses[0] > 0 {
            items.push(
                Item::new(format!("other statuses {}", numbers::count(tally.statuses[0]))).bad_if(true),
            );
        }
        // What was due and did not come is no part of the latencies.
        for (name, count) in [("unsent", tally.unsent), ("unanswered", tally.unanswered)] {
            if count > 0 {
                items.push(Item::new(format!("{name} {}", numbers::count(count))).bad_if(name == "unsent"));
            }
        }
        text.row(name, &items);

        let connections = &tally.connections;
        let (failed, lost) = (connections.failed, connections.lost);
        let within = match outcome.connecting {
            time if time < LONG_CONNECTING => String::new(),
            time => format!(" in {}", numbers::duration(time)),
        };
        let mut items = vec![
            Item::new(format!("requested {}", numbers::count(connections.requested))),
            Item::new(format!("established {}{within}", numbers::count(connections.established))),
        ];
        if failed > 0 {
            items.push(Item::new(format!("failed {}", numbers::count(failed))).bad_if(true));
        }
        if connections.under_way > 0 {
            items.push(Item::new(format!("under way {}", numbers::count(connections.under_way))));
        }
        items.push(Item::new(format!("lost {}", numbers::count(lost))).bad_if(lost > 0));
        if connections.renewed > 0 {
            items.push(Item::new(format!("renewed {}", numbers::count(connections.renewed))));
        }
        if lost > 0 || (tally.sent == 0 && connections.established > 0) {
            items.push(Item::new(format!("{} drops a minute", numbers::rate(outcome.drops_per_minute()))));
        }
        text.row("connections", &items);

        let bytes = |what, bytes| {
            let rate = numbers::bytes(outcome.per_second(bytes) as u64);
            Item::new(format!("{what} {} ({rate}/s)", numbers::bytes(bytes)))
        };
        text.row("bytes", &[bytes("received", tally.bytes_received), bytes("sent", tally.bytes_sent)]);
        self.add_delivery(text);
        self.add_held(text);
    }

    /// What connections took that only stood.
    fn add_held(&self, text: &mut Text) {
        let Some(held) = &self.outcome.held else { return };
        let mut items = vec![
            Item::new(numbers::duration(held.time)),
            Item::new(format!("lost {}", numbers::count(held.lost))).bad_if(held.lost > 0),
        ];
        items.extend(memory_held(held).map(Item::new));
        text.row("held", &items);
    }

    /// What only broadcasts and datagrams have.
    fn add_delivery(&self, text: &mut Text) {
        let tally = &self.outcome.tally;
        let mut expected = tally.sent;
        if let Some(broadcast) = &tally.broadcast {
            expected = broadcast.expected;
            let received = numbers::count(broadcast.received);
            let items = [
                Item::new(format!("published {}", numbers::count(broadcast.published))),
                Item::new(format!("received {received} of {}", numbers::count(expected))),
            ];
            text.row("broadcasts", &items);
        }
        let (missing, duplicated, reordered) = (tally.missing, tally.duplicated, tally.reordered);
        if self.plan.target.scheme != Scheme::Udp && missing + duplicated + reordered == 0 {
            return;
        }
        let share = if expected == 0 { 0.0 } else { missing as f64 / expected as f64 };
        let items = [
            Item::new(format!("missing {} ({})", numbers::count(missing), numbers::percent(share)))
                .bad_if(missing > 0),
            Item::new(format!("duplicated {}", numbers::count(duplicated))).bad_if(duplicated > 0),
            Item::new(format!("reordered {}", numbers::count(reordered))),
        ];
        text.row("delivery", &items);
    }

    fn add_times(&self, text: &mut Text) {
        let tally = &self.outcome.tally;
        let mut rows = Vec::new();
        if tally.sent > 0 || tally.response.count() > 0 {
            if self.is_open_loop() {
                rows.push(("response", &tally.response, "(from scheduled time)"));
                rows.push(("service", &tally.service, "(from actual send)"));
            } else {
                rows.push(("response", &tally.response, ""));
            }
        }
        if let Some(broadcast) = &tally.broadcast {
            rows.push(("first receiver", &broadcast.first, "(from publishing)"));
            rows.push(("median receiver", &broadcast.median, ""));
            rows.push(("last receiver", &broadcast.last, ""));
        }
        if tally.connect.count() > 0 {
            rows.push(("connect", &tally.connect, ""));
        }
        text.table(&rows);
    }

    fn add_processes(&self, text: &mut Text) {
        let (outcome, tally) = (self.outcome, &self.outcome.tally);
        // What was looked at while connections stood is more exact.
        let per_connection =
            |usage: &Usage| usage.per_connection(self.connections()).filter(|_| outcome.held.is_none());
        let cpu = |usage: &Usage| Item::new(format!("CPU {}", numbers::percent(usage.cpus(outcome.elapsed))));
        let mut items = vec![
            cpu(&outcome.client),
            Item::new(format!("busiest thread {}", numbers::percent(outcome.client_busy))),
        ];
        if self.is_open_loop() {
            items.push(Item::new(format!("late sends {}", numbers::percent(tally.late_share()))));
        }
        if let Some(bytes) = per_connection(&outcome.client) {
            items.push(Item::new(format!("{}/conn", numbers::bytes(bytes))));
        }
        text.row("client", &items);
        if let Some(server) = &outcome.server {
            let mut items = vec![cpu(server)];
            if tally.completed > 0 {
                let each = server.cpu.as_secs_f64() * 1e6 / tally.completed as f64;
                items.push(Item::new(format!("{} µs a request", numbers::significant(each))));
            }
            items.push(Item::new(format!("memory {}", numbers::bytes(server.memory))));
            if let Some(bytes) = per_connection(server) {
                items.push(Item::new(format!("{}/conn", numbers::bytes(bytes))));
            }
            text.row("server", &items);
        }
    }

    fn add_failures(&self, text: &mut Text) {
        let failures = &self.outcome.tally.failures;
        let rows: Vec<_> = failures.causes().map(|(cause, count)| (cause, numbers::count(count))).collect();
        let counts = rows.iter().map(|(_, count)| count.len()).max().unwrap_or(0);
        let words = rows.iter().map(|(cause, _)| cause.text().len()).max().unwrap_or(0);
        for (cause, count) in rows {
            let _ = write!(text.out, "  {}", text.paint.bad(&format!("{count:>counts$}  {}", cause.text())));
            if let Some(example) = failures.example(cause) {
                let blank = words - cause.text().len();
                let room = COLUMNS - (2 + counts + 2 + words + 2);
                let example = text.paint.faint(&numbers::plain(example, room));
                let _ = write!(text.out, "{:blank$}  {example}", "");
            }
            text.out.push('\n');
        }
    }

    fn add_notes(&self, text: &mut Text) {
        if !self.is_open_loop() && self.outcome.tally.response.count() > 0 {
            text.note(CLOSED_LOOP, Paint::faint);
        }
        let tally = &self.outcome.tally;
        if tally.unsent > 0 {
            let note = format!(
                "response times hold those of {} unsent and {} unanswered, as long as they had waited",
                numbers::count(tally.unsent),
                numbers::count(tally.unanswered)
            );
            text.note(&note, Paint::faint);
        }
        if self.outcome.answered_nothing() {
            text.note("WARNING nothing was answered", Paint::warning);
        }
        let limits = self.outcome.client_limits();
        if !limits.is_empty() {
            text.note(
                &format!("WARNING the client may have been the limit: {}", limits.join("; ")),
                Paint::warning,
            );
        }
    }
}

/// The text so far.
struct Text {
    out: String,
    paint: Paint,
}

impl Text {
    /// A row with a name; it goes on in further lines if one is too short.
    fn row(&mut self, name: &str, items: &[Item]) {
        let _ = write!(self.out, "  {name:NAME$}");
        let mut column = 2 + NAME;
        for item in items {
            let width = item.text.chars().count() + GAP.len();
            if column + width > COLUMNS && column > 2 + NAME {
                let _ = write!(self.out, "\n  {:NAME$}", "");
                column = 2 + NAME;
            }
            let _ = write!(
                self.out,
                "{}{}",
                if column == 2 + NAME { " " } else { GAP },
                item.painted(self.paint)
            );
            column += width;
        }
        self.out.push('\n');
    }

    /// Rows of times: name, times, note.
    fn table(&mut self, rows: &[(&str, &Latency, &str)]) {
        let rows: Vec<_> = rows.iter().map(|(name, times, note)| (name, Cells::new(times), note)).collect();
        let names = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0).max(NAME);
        let heads = QUANTILES.iter().map(|(name, _)| *name).chain(["max"]);
        let widths: Vec<usize> = heads
            .clone()
            .enumerate()
            .map(|(at, head)| rows.iter().map(|(_, row, _)| row.width(at)).max().unwrap_or(0).max(head.len()))
            .collect();
        if rows.iter().any(|(_, row, _)| !row.cells.is_empty()) {
            let heads: String = heads.zip(&widths).map(|(head, width)| format!("  {head:>width$}")).collect();
            let _ = writeln!(self.out, "  {:names$}{}", "", self.paint.faint(&heads));
        }
        for (name, row, note) in rows {
            let mut line = format!("  {name:names$}");
            for (cell, width) in row.cells.iter().zip(&widths) {
                let _ = write!(line, "  {cell:>width$}");
            }
            let _ = if row.cells.is_empty() {
                write!(line, "  none was measured")
            } else {
                write!(line, " {}", row.unit)
            };
            self.out.push_str(&line);
            // Where the line is full, the note has one of its own.
            if line.chars().count() + 2 + note.len() > COLUMNS {
                let _ = write!(self.out, "\n  {:names$}", "");
            }
            if !note.is_empty() {
                let _ = write!(self.out, "  {}", self.paint.faint(note));
            }
            self.out.push('\n');
        }
    }

    /// A remark, in as many lines as it needs.
    fn note(&mut self, note: &str, paint: fn(Paint, &str) -> String) {
        let mut line = String::new();
        for word in note.split(' ') {
            if !line.is_empty() && 2 + line.chars().count() + 1 + word.chars().count() > COLUMNS {
                let _ = writeln!(self.out, "  {}", paint(self.paint, &line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(self.out, "  {}", paint(self.paint, &line));
    }
}

/// A row of times in one unit.
struct Cells {
    /// None if nothing was measured.
    cells: Vec<String>,
    unit: &'static str,
}

impl Cells {
    fn new(times: &Latency) -> Self {
        if times.count() == 0 {
            return Cells { cells: Vec::new(), unit: "" };
        }
        let unit = TimeUnit::of_row(times.quantile(0.5), times.max());
        let quantiles = QUANTILES.iter().map(|(_, share)| times.quantile(*share)).chain([times.max()]);
        Cells { cells: quantiles.map(|time| unit.number(time)).collect(), unit: unit.name() }
    }

    fn width(&self, at: usize) -> usize {
        self.cells.get(at).map_or(0, String::len)
    }
}

/// A part of a row.
struct Item {
    text: String,
    paint: Option<fn(Paint, &str) -> String>,
}

impl Item {
    fn new(text: String) -> Self {
        Item { text, paint: None }
    }

    fn strong(self) -> Self {
        Item { paint: Some(Paint::strong), ..self }
    }

    fn bad_if(self, bad: bool) -> Self {
        Item { paint: if bad { Some(Paint::bad) } else { self.paint }, ..self }
    }

    fn painted(&self, paint: Paint) -> String {
        self.paint.map_or_else(|| self.text.clone(), |how| how(paint, &self.text))
    }
}

#[cfg(test)]
mod tests;

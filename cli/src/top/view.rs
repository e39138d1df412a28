//! What `lakh top` shows, as lines. It knows no terminal.

use crate::terminal::{Colour, Paint};
use lakh_http::diagnostics::{LaneDocument, ShardDocument, SnapshotDocument};
use lakh_loadtest::numbers;
use std::{cmp::Reverse, time::Duration};

/// Of the tables, so that they fit a terminal of 80 columns.
const WIDTH: usize = 78;

/// Seconds after which a turn that is not over is told among those that are.
const STUCK: f64 = 0.1;

/// What comes first in the table of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Busy,
    Lag,
    Requests,
    Connections,
    Number,
}

impl Sort {
    pub(super) fn of_key(key: u8) -> Option<Self> {
        Some(match key {
            b'b' => Sort::Busy,
            b'l' => Sort::Lag,
            b'r' => Sort::Requests,
            b'c' => Sort::Connections,
            b'n' => Sort::Number,
            _ => return None,
        })
    }
}

/// A server, as it was asked last and the time before that.
pub(super) struct Top {
    target: String,
    before: Option<SnapshotDocument>,
    now: Option<SnapshotDocument>,
    lost: Option<String>,
}

/// What a shard has done since the last time.
struct Row<'a> {
    shard: &'a ShardDocument,
    busy: f64,
    lag: Duration,
    longest: Duration,
    requests: f64,
}

impl Top {
    pub(super) fn new(target: &str) -> Self {
        Top { target: target.to_owned(), before: None, now: None, lost: None }
    }

    pub(super) fn add(&mut self, snapshot: SnapshotDocument) {
        self.lost = None;
        // Another process knows nothing of what the last one has counted.
        let is_same =
            |old: &SnapshotDocument| old.process.id == snapshot.process.id && old.uptime < snapshot.uptime;
        self.before = self.now.take().filter(is_same);
        self.now = Some(snapshot);
    }

    pub(super) fn lose(&mut self, why: &str) {
        self.lost = Some(why.to_owned());
    }

    /// All of it, for a terminal of this size: lines are cut, and the longest table is.
    pub(super) fn fitted(&self, sort: Sort, columns: usize, rows: usize, paint: Paint) -> Vec<String> {
        // Lines are cut by what is seen of them: without colours first.
        let plain = self.lines(sort, Paint::default());
        let fits = plain.iter().all(|line| line.chars().count() < columns);
        let paint = if fits { paint } else { Paint::default() };
        let room = rows.checked_sub(3).unwrap_or(plain.len());
        // The table of shards is the one that grows with the machine; what is below it is to be seen, too.
        let shards = self.now.as_ref().map_or(0, |now| now.shards.len());
        let over = plain.len().saturating_sub(room);
        let shown = if over == 0 { shards } else { shards.saturating_sub(over + 1).max(1) };
        let mut lines = self.some_lines(sort, shown, paint);
        lines.truncate(room);
        lines.push(String::new());
        let keys = "  q ends   first: b busy  l lag  r requests  c connections  n number";
        lines.push(format!("{}{keys}{}", paint.begin(Colour::Dim), paint.end()));
        if fits { lines } else { lines.iter().map(|line| cut(line, columns.saturating_sub(1))).collect() }
    }

    /// Without a terminal: as long and as wide as it is.
    pub(super) fn lines(&self, sort: Sort, paint: Paint) -> Vec<String> {
        self.some_lines(sort, usize::MAX, paint)
    }

    /// With so many shards at most.
    fn some_lines(&self, sort: Sort, shards: usize, paint: Paint) -> Vec<String> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut lines = self.head(now, paint);
        lines.push(String::new());
        lines.extend(self.shards(now, sort, shards, paint));
        lines.push(String::new());
        lines.extend(self.lanes(now, paint));
        lines.push(String::new());
        lines.push(troubles(now, paint));
        lines
    }

    fn head(&self, now: &SnapshotDocument, paint: Paint) -> Vec<String> {
        let process = &now.process;
        let version = numbers::plain(&now.version, 20);
        let title = format!("  lakh {version}   process {}   up {}", process.id, uptime(now.uptime));
        let gap = WIDTH.saturating_sub(title.chars().count() + self.target.chars().count()).max(3);
        let (bold, end) = (paint.begin(Colour::Bold), paint.end());
        let mut lines = vec![format!("{bold}{title}{end}{:gap$}{}", "", self.target)];
        if let Some(lost) = &self.lost {
            lines.push(format!("  {}{}{}", paint.begin(Colour::Red), numbers::plain(lost, 200), paint.end()));
        }
        let total = |value: fn(&ShardDocument) -> u64| now.shards.iter().map(value).sum::<u64>();
        let failed =
            |snapshot: &SnapshotDocument| snapshot.shards.iter().map(|shard| shard.responses[4]).sum();
        let requests =
            self.per_second(now, |snapshot| snapshot.shards.iter().map(|shard| shard.requests).sum());
        lines.push(format!(
            "  requests/s {}   5xx/s {}   shed {}   connections {}   in flight {}",
            or_dash(requests),
            or_dash(self.per_second(now, failed)),
            numbers::count(total(|shard| shard.shed)),
            numbers::count(total(|shard| shard.connections)),
            numbers::count(total(|shard| shard.in_flight)),
        ));
        let cpu = self
            .before
            .as_ref()
            .and_then(|before| Some((process.cpu? - before.process.cpu?) / passed(before, now)));
        let known = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), numbers::count);
        lines.push(format!(
            "  CPU {}   memory {}   descriptors {} of {}   threads {}",
            cpu.map_or_else(|| "-".to_owned(), |share| numbers::percent(share.max(0.0))),
            process.resident_bytes.map_or_else(|| "-".to_owned(), numbers::bytes),
            known(process.open_descriptors),
            known(process.max_descriptors),
            known(process.threads),
        ));
        lines
    }

    /// `None` as long as there was no time before.
    fn per_second(&self, now: &SnapshotDocument, value: impl Fn(&SnapshotDocument) -> u64) -> Option<f64> {
        let before = self.before.as_ref()?;
        Some(value(now).saturating_sub(value(before)) as f64 / passed(before, now))
    }

    fn shards(&self, now: &SnapshotDocument, sort: Sort, most: usize, paint: Paint) -> Vec<String> {
        let mut rows: Vec<Row<'_>> = now.shards.iter().map(|shard| self.row(now, shard)).collect();
        rows.sort_by_key(|row| row.shard.shard);
        match sort {
            Sort::Number => {}
            Sort::Busy => rows.sort_by(|a, b| b.busy.total_cmp(&a.busy)),
            Sort::Lag => rows.sort_by_key(|row| Reverse(row.lag)),
            Sort::Requests => rows.sort_by(|a, b| b.requests.total_cmp(&a.requests)),
            Sort::Connections => rows.sort_by_key(|row| Reverse(row.shard.connections)),
        }
        let head = format!(
            "  {:<6}{:>7}{:>10}{:>10}{:>12}{:>13}{:>11}{:>7}",
            "shard", "busy", "lag p99", "longest", "requests/s", "connections", "in flight", "stalls"
        );
        let mut lines = vec![format!("{}{head}{}", paint.begin(Colour::Dim), paint.end())];
        let has_before = self.before.is_some();
        let time = |time: Duration| if has_before { numbers::time(time) } else { "-".to_owned() };
        lines.extend(rows.iter().take(most).map(|row| {
            let Row { shard, busy, requests, .. } = row;
            let colour = match busy {
                busy if *busy >= 0.9 => paint.begin(Colour::Red),
                busy if *busy >= 0.7 => paint.begin(Colour::Yellow),
                _ => "",
            };
            let end = if colour.is_empty() { "" } else { paint.end() };
            let busy = if has_before { numbers::percent(*busy) } else { "-".to_owned() };
            format!(
                "  {:<6}{colour}{busy:>7}{end}{:>10}{:>10}{:>12}{:>13}{:>11}{:>7}",
                shard.shard,
                time(row.lag),
                time(row.longest),
                if has_before { numbers::rate(*requests) } else { "-".to_owned() },
                numbers::count(shard.connections),
                numbers::count(shard.in_flight),
                numbers::count(shard.stalls),
            )
        }));
        if let Some(more) = rows.len().checked_sub(most).filter(|more| *more > 0) {
            lines.push(format!("  and {more} more"));
        }
        lines
    }

    fn row<'a>(&self, now: &SnapshotDocument, shard: &'a ShardDocument) -> Row<'a> {
        let Some((before, old)) = self
            .before
            .as_ref()
            .and_then(|before| Some((before, before.shards.iter().find(|old| old.shard == shard.shard)?)))
        else {
            return Row { shard, busy: 0.0, lag: Duration::ZERO, longest: Duration::ZERO, requests: 0.0 };
        };
        let (busy, idle) = (shard.busy - old.busy, shard.idle - old.idle);
        let lag = shard.lag.since(&old.lag);
        // A turn counts when it is over.
        let turn = shard.turn.unwrap_or(0.0);
        let blocked = turn / passed(before, now);
        let stuck = if turn > STUCK { seconds(turn) } else { Duration::ZERO };
        Row {
            shard,
            busy: (if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 }).max(blocked).clamp(0.0, 1.0),
            lag: Duration::from_nanos(lag.quantile(0.99)),
            longest: Duration::from_nanos(lag.quantile(1.0)).max(stuck),
            requests: shard.requests.saturating_sub(old.requests) as f64 / passed(before, now),
        }
    }

    fn lanes(&self, now: &SnapshotDocument, paint: Paint) -> Vec<String> {
        let head = format!(
            "  {:<10}{:>5}{:>8}{:>8}{:>9}{:>9}{:>10}{:>9}{:>8}",
            "lane", "kind", "queued", "running", "oldest", "jobs/s", "wait p99", "run p99", "refused"
        );
        let mut lines = vec![format!("{}{head}{}", paint.begin(Colour::Dim), paint.end())];
        lines.extend(now.lanes.iter().map(|lane| {
            let old =
                self.before.as_ref().and_then(|before| before.lanes.iter().find(|old| old.name == lane.name));
            let p99 = |times: fn(&LaneDocument) -> &lakh_http::diagnostics::TimesDocument| {
                let old = old.map(times)?;
                Some(numbers::time(Duration::from_nanos(times(lane).since(old).quantile(0.99))))
            };
            let dash = || "-".to_owned();
            let jobs = old.zip(self.before.as_ref()).map(|(old, before)| {
                numbers::rate(lane.finished.saturating_sub(old.finished) as f64 / passed(before, now))
            });
            format!(
                "  {:<10}{:>5}{:>8}{:>8}{:>9}{:>9}{:>10}{:>9}{:>8}",
                numbers::plain(&lane.name, 9),
                numbers::plain(&lane.kind, 4),
                numbers::count(lane.queued),
                numbers::count(lane.running),
                lane.oldest.map_or_else(dash, |oldest| numbers::time(seconds(oldest))),
                jobs.unwrap_or_else(dash),
                p99(|lane| &lane.wait).unwrap_or_else(dash),
                p99(|lane| &lane.run).unwrap_or_else(dash),
                numbers::count(lane.refused),
            )
        }));
        lines
    }
}

/// What should not have been, from the server's start on.
fn troubles(now: &SnapshotDocument, paint: Paint) -> String {
    let total = |value: fn(&ShardDocument) -> u64| now.shards.iter().map(value).sum::<u64>();
    let (stalls, panics) = (total(|shard| shard.stalls), total(|shard| shard.panics));
    let mut line = format!("  stalls {}   panics {}", numbers::count(stalls), numbers::count(panics));
    if let Some(stall) = now.stalls.last() {
        let name = stall.name.as_deref().unwrap_or("something without a name");
        let (name, ago) = (numbers::plain(name, 30), numbers::duration(seconds(stall.ago.floor())));
        let (yellow, end) = (paint.begin(Colour::Yellow), paint.end());
        line.push_str(&format!("   {yellow}last: {name} on shard {}, {ago} ago{end}", stall.shard));
    }
    line
}

/// Seconds between two moments, of which there are some.
fn passed(before: &SnapshotDocument, now: &SnapshotDocument) -> f64 {
    (now.uptime - before.uptime).max(1e-3)
}

fn or_dash(number: Option<f64>) -> String {
    number.map_or_else(
        || "-".to_owned(),
        |number| if number == 0.0 { "0".to_owned() } else { numbers::rate(number) },
    )
}

/// Of a number that came from elsewhere.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

fn uptime(number: f64) -> String {
    match seconds(number.floor()).as_secs() {
        long if long >= 48 * 3600 => format!("{}d {}h", long / 86400, long % 86400 / 3600),
        short => numbers::duration(Duration::from_secs(short)),
    }
}

fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(uptime: f64, shards: &[(u64, f64, u64)]) -> SnapshotDocument {
        let shards: Vec<_> = shards
            .iter()
            .enumerate()
            .map(|(number, (requests, busy, connections))| {
                serde_json::json!({
                    "shard": number, "requests": requests, "busy": busy, "idle": uptime - busy,
                    "connections": connections, "lag": [[1_000_000, 10 * requests]],
                })
            })
            .collect();
        let lanes = serde_json::json!([{"name": "file", "kind": "io", "finished": uptime as u64 * 7}]);
        let all = serde_json::json!({
            "version": "9.9", "uptime": uptime, "shards": shards, "lanes": lanes,
            "process": {"id": 42, "cpu": uptime * 1.5, "resident_bytes": 14_600_000},
            "stalls": [{"shard": 1, "name": "/slow", "lasted": 0.2, "ago": 3.7}],
        });
        serde_json::from_value(all).unwrap()
    }

    fn top() -> Top {
        let mut top = Top::new("127.0.0.1:9464");
        top.add(snapshot(10.0, &[(100, 1.0, 7), (100, 1.0, 3)]));
        top.add(snapshot(12.0, &[(300, 1.1, 3), (1100, 2.9, 7)]));
        top
    }

    #[test]
    fn rates_are_those_since_the_last_time() {
        let lines = top().lines(Sort::Number, Paint::default());
        assert!(
            lines[0].starts_with("  lakh 9.9   process 42   up 12s  ")
                && lines[0].ends_with(" 127.0.0.1:9464")
        );
        assert!(
            lines[1].starts_with("  requests/s 600   5xx/s 0   shed 0   connections 10   in flight 0"),
            "{}",
            lines[1]
        );
        assert!(lines[2].starts_with("  CPU 150%   memory 14.6 MB   descriptors - of -"), "{}", lines[2]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[5])[..6], ["0", "5.00%", "1.00ms", "1.00ms", "100", "3"]);
        assert_eq!(words(&lines[6])[..6], ["1", "95%", "1.00ms", "1.00ms", "500", "7"]);
        assert_eq!(words(&lines[9])[..6], ["file", "io", "0", "0", "-", "7.00"]);
        assert_eq!(lines[11], "  stalls 0   panics 0   last: /slow on shard 1, 3s ago");
        assert!(lines.iter().all(|line| line.chars().count() < 80), "{lines:?}");
    }

    #[test]
    fn a_shard_that_is_blocked_is_busy_and_says_for_how_long() {
        let mut top = top();
        let mut blocked = snapshot(13.0, &[(300, 1.1, 3), (1100, 2.9, 7)]);
        (blocked.shards[0].idle, blocked.shards[0].turn) = (10.9, Some(0.75));
        blocked.shards[1].turn = Some(0.05);
        top.add(blocked);
        let lines = top.lines(Sort::Number, Paint::default());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[5])[..4], ["0", "75%", "0µs", "750ms"]);
        assert_eq!(words(&lines[6])[..4], ["1", "5.00%", "0µs", "0µs"]);
    }

    #[test]
    fn the_table_is_sorted_by_what_is_asked_for() {
        let first = |sort| {
            let line = &top().lines(sort, Paint::default())[5];
            line.split_whitespace().next().unwrap().to_owned()
        };
        let orders = [Sort::Number, Sort::Busy, Sort::Requests, Sort::Connections, Sort::Lag].map(first);
        assert_eq!(orders, ["0", "1", "1", "1", "0"]);
        assert_eq!(b"blrcn".map(|key| Sort::of_key(key).is_some()), [true; 5]);
        assert_eq!(Sort::of_key(b'x'), None);
    }

    #[test]
    fn another_process_has_no_rates_yet_and_a_lost_one_is_told() {
        let mut top = top();
        let mut other = snapshot(1.0, &[(5, 0.5, 1)]);
        other.process.id = 43;
        top.add(other);
        let text = top.lines(Sort::Busy, Paint::default()).join("\n");
        assert!(text.contains("requests/s -   5xx/s -") && text.contains("process 43"), "{text}");
        top.lose("nothing listens");
        assert!(top.lines(Sort::Busy, Paint::default())[1].contains("nothing listens"));
    }

    #[test]
    fn many_shards_leave_the_lanes_and_the_troubles_on_the_screen() {
        let many =
            |uptime: f64| snapshot(uptime, &(0..64).map(|n| (n, n as f64 / 64.0, n)).collect::<Vec<_>>());
        let mut top = Top::new("127.0.0.1:9464");
        top.add(many(10.0));
        let lines = top.fitted(Sort::Connections, 80, 24, Paint::default());
        assert_eq!(lines.len(), 23, "{lines:#?}");
        let begin = lines.iter().position(|line| line.starts_with("  shard")).unwrap();
        assert!(lines[begin + 1].starts_with("  63 "), "{lines:#?}");
        let more = lines.iter().position(|line| line.starts_with("  and ")).unwrap();
        assert_eq!(lines[more], format!("  and {} more", 64 - (more - begin - 1)));
        assert!(lines.iter().any(|line| line.starts_with("  file ")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("last: /slow")), "{lines:#?}");
        assert_eq!(top.lines(Sort::Number, Paint::default()).len(), 64 + 11 - 1);
    }

    #[test]
    fn what_a_server_calls_things_does_nothing_to_the_terminal() {
        let mut top = Top::new("127.0.0.1:9464");
        let mut evil = snapshot(3.0, &[(1, 0.5, 1)]);
        let text = "\x1b]0;x\x07\x1b[2J\n";
        (evil.version, evil.lanes[0].name, evil.lanes[0].kind) = (text.into(), text.into(), text.into());
        evil.stalls[0].name = Some(text.into());
        top.add(evil);
        top.lose(text);
        let lines = top.lines(Sort::Number, Paint::default());
        assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
    }

    #[test]
    fn it_fits_the_terminal() {
        for (columns, rows) in [(200, 50), (80, 24), (40, 10), (20, 6), (5, 3)] {
            for paint in [Paint { on: true }, Paint::default()] {
                let lines = top().fitted(Sort::Busy, columns, rows, paint);
                assert!(lines.len() < rows.max(3), "{columns} {rows}: {}", lines.len());
                let plain = top().fitted(Sort::Busy, columns, rows, Paint::default());
                assert!(plain.iter().all(|line| line.chars().count() < columns), "{columns}");
                assert_eq!(lines.len(), plain.len());
            }
        }
    }
}

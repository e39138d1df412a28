//! The plot of latencies by percentile.

use super::{
    over_time::{latency, milliseconds},
    plot::{Axis, Line, Plot},
};
use crate::{Tally, numbers, report::hdr::by_nines};
use std::time::Duration;

/// Each step to the right leaves a tenth of what was left. `None` if nothing was measured.
pub(super) fn plot(tally: &Tally, is_open_loop: bool) -> Option<Plot<'static>> {
    let mut rows = vec![("response", "la", by_nines(&tally.response))];
    let mut title = "Latency by percentile";
    if is_open_loop {
        rows.push(("service", "lb", by_nines(&tally.service)));
    }
    rows.retain(|(.., points)| !points.is_empty());
    if let Some(broadcast) = tally.broadcast.as_ref().filter(|_| rows.is_empty()) {
        title = "Delay of broadcasts by percentile";
        rows = vec![
            ("last receiver", "la", by_nines(&broadcast.last)),
            ("median", "lb", by_nines(&broadcast.median)),
            ("first", "lc", by_nines(&broadcast.first)),
        ];
        rows.retain(|(.., points)| !points.is_empty());
    }
    if rows.is_empty() {
        title = "Time to connect by percentile";
        rows.push(("connect", "la", by_nines(&tally.connect)));
    }
    let points = &rows[0].2;
    let nines = points.last()?.0;
    let times = || rows.iter().flat_map(|(.., points)| points).map(|(_, time)| milliseconds(*time));
    let (least, most) = (times().reduce(f64::min)?, times().reduce(f64::max)?);
    Some(Plot {
        title: title.to_owned(),
        hints: points.iter().map(|(nines, time)| (*nines, hint(*nines, *time))).collect(),
        x: Axis::up_to(nines, &[1.0], |nines| match nines as usize {
            0 => "0%".to_owned(),
            1 => "90%".to_owned(),
            2 => "99%".to_owned(),
            nines => format!("99.{}%", "9".repeat(nines - 2)),
        }),
        y: Axis::logarithmic(least, most, latency),
        lines: rows.into_iter().map(|(name, class, points)| line(name, class, &points)).collect(),
    })
}

fn line(name: &'static str, class: &'static str, points: &[(f64, Duration)]) -> Line<'static> {
    Line { name, class, points: points.iter().map(|(nines, time)| (*nines, milliseconds(*time))).collect() }
}

fn hint(nines: f64, time: Duration) -> String {
    let percent = 100.0 - 10_f64.powf(2.0 - nines);
    let places = nines.ceil().max(1.0) as usize;
    format!("{percent:.places$}%: {}", numbers::time(time))
}

//! What a machine's limits allow a server: how many connections, by which limit, and the commands that raise it.
//!
//! [`Host::read`] finds out what there is, [`Host::diagnose`] judges it. Nothing is changed. A load test asks for something
//! more exact, and of the machine that it runs on: [`preflight`](crate::preflight).

mod host;
mod judge;
#[cfg(test)]
mod tests;

pub use host::Host;

use crate::{
    numbers,
    preflight::{Row, Verdict},
    report::Paint,
};
use serde::Serialize;

/// The number of the schema of [`Diagnosis::json`]: it changes when a name goes or changes its meaning.
pub const SCHEMA: u32 = 1;

/// For how many connections a machine is judged if nobody says it.
pub const USUAL: u64 = 100_000;

/// What [`Host::diagnose`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The connections that it was judged for.
    pub connections: u64,
    /// How many there can be.
    pub capacity: Capacity,
    /// One for each limit.
    pub rows: Vec<Row>,
}

/// How many connections a server on this machine can have at a time, as far as the limits tell: about as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// In one descriptor table, as a process has it.
    pub one_table: Option<u64>,
    /// With a table for each shard (`private_descriptors`), where the kernel has them.
    pub private_tables: Option<u64>,
    /// The shards that this takes.
    pub shards: Option<u64>,
}

impl Diagnosis {
    /// Whether nothing is known that keeps the machine from having so many connections.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Short)
    }

    /// As text of 80 columns, but for commands that are longer.
    pub fn text(&self, paint: Paint) -> String {
        let title = format!("for {} connections", numbers::count(self.connections));
        let about = |number: Option<u64>| match number {
            Some(number) => format!("about {}", numbers::count(round(number))),
            None => "unknown".to_owned(),
        };
        let one = about(self.capacity.one_table);
        let mut text = format!("{}\n{}", paint.strong(&title), Row::table(&self.rows, paint));
        text += &format!("\npossible now: {one} in one descriptor table");
        if let (Some(all), Some(shards)) = (self.capacity.private_tables, self.capacity.shards) {
            text += &format!(
                "\n              {} with private tables, {} of them",
                about(Some(all)),
                numbers::count(shards)
            );
        }
        text.push('\n');
        text
    }

    /// As JSON, ending with a new line.
    ///
    /// | name | what |
    /// |---|---|
    /// | `schema` | [`SCHEMA`] |
    /// | `connections` | the number that the machine was judged for |
    /// | `passed` | whether it allows them, as far as is known |
    /// | `possible` | `one_table`, `private_tables`, `shards`; `null` if not known |
    /// | `limits` | of each `name`, `text`, `verdict` (`ok`, `low`, `short`, `unknown`), `remedies` |
    pub fn json(&self) -> String {
        let limits = self.rows.iter().map(|row| Limit {
            name: row.name,
            text: &row.text,
            verdict: match row.verdict {
                Verdict::Enough => "ok",
                Verdict::Low => "low",
                Verdict::Short => "short",
                Verdict::Unknown => "unknown",
            },
            remedies: &row.remedies,
        });
        let document = Document {
            schema: SCHEMA,
            connections: self.connections,
            passed: self.passed(),
            possible: self.capacity,
            limits: limits.collect(),
        };
        // Numbers, texts and lists of them: nothing that JSON does not have.
        let mut text = serde_json::to_string_pretty(&document).expect("it has a form in JSON");
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    connections: u64,
    passed: bool,
    possible: Capacity,
    limits: Vec<Limit<'a>>,
}

#[derive(Serialize)]
struct Limit<'a> {
    name: &'static str,
    text: &'a str,
    verdict: &'static str,
    remedies: &'a [String],
}

/// Down to two digits: an estimate is no more exact than that.
fn round(number: u64) -> u64 {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(1));
    number / unit * unit
}

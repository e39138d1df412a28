//! Whether this machine can do what a run asks for, before it begins.
//!
//! [`Machine::read`] finds out what there is, [`Need`] is what the run takes, and [`check`] compares the two;
//! [`check_plan`] does all of it, and looks whether the plan's source addresses are this machine's. It says
//! what falls short and the command that mends it, and changes nothing itself.

mod addresses;
mod judge;
mod machine;
mod memory;

use crate::{Plan, numbers, report::Paint};
use std::fmt::Write as _;

pub(crate) use judge::{
    BACKLOG, KERNEL_PER_END, MAPPINGS_PER_THREAD, OTHER_DESCRIPTORS, OTHER_MAPPINGS, PROCESS,
};
pub use judge::{Need, check};
pub use machine::Machine;
pub(crate) use machine::numbers as numbers_in;

/// What came of [`check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// One for each thing that was looked at.
    pub rows: Vec<Row>,
}

/// A thing that a run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What.
    pub name: &'static str,
    /// How much is needed, and how much there is.
    pub text: String,
    /// Whether that is enough.
    pub verdict: Verdict,
    /// Commands, and what else to do.
    pub remedies: Vec<String>,
}

/// Whether there is enough of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is.
    Enough,
    /// It may become short: the run can begin.
    Low,
    /// There is not: the run would fail.
    Short,
    /// The machine does not say.
    Unknown,
}

/// Looks whether this machine can do what a plan asks for. Each source address that the plan names is bound for a moment,
/// to any port.
pub fn check_plan(plan: &Plan) -> Check {
    let mut check = check(&Need::of(plan), &Machine::read());
    check.rows.extend(addresses::sources(plan));
    check
}

impl Check {
    /// Whether the run can begin.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Short)
    }

    /// Whether anybody should be told.
    pub fn is_remarkable(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.verdict, Verdict::Low | Verdict::Short))
    }

    /// As text of 80 columns, but for commands that are longer.
    pub fn text(&self, paint: Paint) -> String {
        format!("{}\n{}", paint.strong("preflight"), Row::table(&self.rows, paint))
    }
}

impl Row {
    /// One line for each, and what to do beneath.
    pub(crate) fn table(rows: &[Row], paint: Paint) -> String {
        let mut text = String::new();
        let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let texts = rows.iter().map(|row| row.text.chars().count()).max().unwrap_or(0);
        for row in rows {
            let verdict = match row.verdict {
                Verdict::Enough => paint.good("ok"),
                Verdict::Low => paint.warning("LOW"),
                Verdict::Short => paint.bad("NOT ENOUGH"),
                Verdict::Unknown => paint.faint("unknown"),
            };
            let _ = writeln!(text, "  {:names$}  {:texts$}   {verdict}", row.name, row.text);
            for remedy in &row.remedies {
                let _ = writeln!(text, "    {}", paint.accent(remedy));
            }
        }
        text
    }

    pub(crate) fn new(name: &'static str, text: String, verdict: Verdict) -> Self {
        Row { name, text, verdict, remedies: Vec::new() }
    }

    /// Compares, where the machine says what it has.
    pub(crate) fn compare(name: &'static str, need: u64, have: Option<u64>, short: Verdict) -> Self {
        match have {
            Some(have) => {
                let text = format!("need {}  have {}", numbers::count(need), numbers::count(have));
                Row::new(name, text, if need <= have { Verdict::Enough } else { short })
            }
            None => Row::new(name, format!("need {}", numbers::count(need)), Verdict::Unknown),
        }
    }

    /// What to do if it is not enough.
    pub(crate) fn or(mut self, remedies: impl FnOnce() -> Vec<String>) -> Self {
        if matches!(self.verdict, Verdict::Low | Verdict::Short) {
            self.remedies = remedies();
        }
        self
    }
}

#[cfg(test)]
mod tests;

//! What processes use, as Linux tells: proc(5). Elsewhere nothing is known.

use crate::stats::Usage;
use std::{fs, time::Duration};

/// Of `utime` and `stime`, on every platform of Linux (`getconf CLK_TCK`).
const TICKS_A_SECOND: u64 = 100;

/// Follows a process from the beginning of a run.
pub(crate) struct Watched {
    /// `self`, or a number.
    name: String,
    usage: Usage,
    /// CPU time at the beginning of the measuring.
    cpu_before: Duration,
}

impl Watched {
    /// `None` is this process. Its memory now is what it takes without connections.
    pub(crate) fn new(process: Option<u32>) -> Self {
        let name = process.map_or_else(|| "self".to_owned(), |number| number.to_string());
        let memory = memory(&name).unwrap_or(0);
        let cpu_before = cpu(&name).unwrap_or_default();
        Watched { name, usage: Usage { memory, memory_before: memory, ..Usage::default() }, cpu_before }
    }

    /// CPU time counts from now on.
    pub(crate) fn begin(&mut self) {
        self.cpu_before = cpu(&self.name).unwrap_or_default();
    }

    /// Looks at it; what it was last stays if it has ended.
    pub(crate) fn look(&mut self) -> Usage {
        if let Some(cpu) = cpu(&self.name) {
            self.usage.cpu = cpu.saturating_sub(self.cpu_before);
        }
        self.usage.memory = self.usage.memory.max(memory(&self.name).unwrap_or(0));
        self.usage
    }
}

fn cpu(name: &str) -> Option<Duration> {
    cpu_of_stat(&fs::read_to_string(format!("/proc/{name}/stat")).ok()?)
}

fn memory(name: &str) -> Option<u64> {
    memory_of_status(&fs::read_to_string(format!("/proc/{name}/status")).ok()?)
}

/// User and system time of all threads: the name, in brackets, may hold anything.
fn cpu_of_stat(text: &str) -> Option<Duration> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * (1000 / TICKS_A_SECOND)))
}

/// Resident bytes.
fn memory_of_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 150 25 0 0 20 0 3 0 99 1 1 184467";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_of_stat("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(memory_of_status("Name:\tx\nVmRSS:\t   2048 kB\nThreads: 1\n"), Some(2 << 20));
        assert_eq!(memory_of_status("Name:\tx\n"), None);
    }
}

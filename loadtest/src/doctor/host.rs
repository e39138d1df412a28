//! What a machine has, for a server. Nothing here judges.

use crate::preflight::{Machine, numbers_in};
use lakh_core::sys::cpu;
use std::{fs, path::Path};

/// What a machine has, as far as it says so: what could not be read is `None`. Sources: `proc(5)`, `cgroups(7)`,
/// `inotify(7)`, `tcp(7)`, and the kernel's `ip-sysctl.rst`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// What load tests look at, too.
    pub machine: Machine,
    /// Open files that a process has without asking for more; Lakh raises this to the hard limit by itself.
    pub soft_descriptors: Option<u64>,
    /// CPUs that the process may run on.
    pub cpus: Option<u64>,
    /// Of these, what control groups leave in whole ones; `None` if they set no limit.
    pub cpu_quota: Option<u64>,
    /// Connections that are being opened and not yet answered (`net.ipv4.tcp_max_syn_backlog`).
    pub syn_backlog: Option<u64>,
    /// How the kernel keeps from sending too much at once (`net.ipv4.tcp_congestion_control`).
    pub congestion: Option<String>,
    /// Directories and files that a user can watch (`fs.inotify.max_user_watches`).
    pub watches: Option<u64>,
    /// By so many instances (`fs.inotify.max_user_instances`).
    pub watch_instances: Option<u64>,
    /// The kernel's release, its first two numbers.
    pub kernel: Option<(u64, u64)>,
}

impl Host {
    /// Reads `/proc` and `/sys`. Elsewhere than on Linux nothing is known.
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    /// As [`read`](Self::read), with another root than `/`.
    pub fn read_below(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let number = |path: &str| text(&format!("proc/sys/{path}")).and_then(|text| numbers_in(&text).next());
        let word = |text: String| text.split_whitespace().next().map(str::to_owned);
        Host {
            machine: Machine::read_below(root),
            soft_descriptors: text("proc/self/limits").as_deref().and_then(soft_limit),
            cpus: text("proc/self/status").as_deref().and_then(allowed_cpus),
            cpu_quota: cpu::group_quota_below(root).map(|cpus| cpus.get() as u64),
            syn_backlog: number("net/ipv4/tcp_max_syn_backlog"),
            congestion: text("proc/sys/net/ipv4/tcp_congestion_control").and_then(word),
            watches: number("fs/inotify/max_user_watches"),
            watch_instances: number("fs/inotify/max_user_instances"),
            kernel: text("proc/sys/kernel/osrelease").as_deref().and_then(release),
        }
    }
}

/// The first number of `Max open files`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The length of a list as `0-3,8`.
fn allowed_cpus(status: &str) -> Option<u64> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum()
}

/// `6.1` of `6.1.0-13-amd64`.
fn release(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

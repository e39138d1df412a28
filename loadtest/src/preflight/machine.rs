//! What a machine has. Nothing here judges.

use super::memory;
use std::{fs, path::Path};

/// What a machine has, as far as it says so: what could not be read is `None`. Sources: `proc(5)`, `cgroups(7)`, and
/// the kernel's `ip-sysctl.rst` and `nf_conntrack-sysctl.rst`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Open files that a process, or one with private tables each table, may have: the hard limit.
    pub descriptors: Option<u64>,
    /// To which that limit can be raised (`fs.nr_open`).
    pub nr_open: Option<u64>,
    /// Open files of all processes (`fs.file-max`).
    pub file_max: Option<u64>,
    /// Those that are open now.
    pub files_open: Option<u64>,
    /// First and last of the ports that the kernel gives (`net.ipv4.ip_local_port_range`).
    pub ports: Option<(u16, u16)>,
    /// Memory that can be had without swapping, in bytes.
    pub memory_available: Option<u64>,
    /// Memory that the control groups leave, in bytes; `None` if they set no limit.
    pub memory_allowed: Option<u64>,
    /// Bytes of a page.
    pub page: Option<u64>,
    /// Pages of all TCP buffers: from which on the kernel saves, and the most (`net.ipv4.tcp_mem`).
    pub tcp_pages: Option<(u64, u64)>,
    /// The longest backlog of a listener (`net.core.somaxconn`).
    pub somaxconn: Option<u64>,
    /// Connections that the firewall keeps at most (`net.netfilter.nf_conntrack_max`); `None` without one.
    pub conntrack_max: Option<u64>,
    /// Those that it keeps now.
    pub conntrack_used: Option<u64>,
    /// Mappings of a process (`vm.max_map_count`).
    pub max_map_count: Option<u64>,
}

impl Machine {
    /// Reads `/proc` and `/sys`. Elsewhere than on Linux nothing is known.
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    /// As [`read`](Self::read), with another root than `/`.
    pub fn read_below(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let number = |path: &str| text(&format!("proc/sys/{path}")).and_then(|text| numbers(&text).next());
        let several = |path: &str| -> Vec<u64> {
            text(&format!("proc/sys/{path}")).map(|text| numbers(&text).collect()).unwrap_or_default()
        };
        Machine {
            descriptors: text("proc/self/limits").as_deref().and_then(hard_limit),
            nr_open: number("fs/nr_open"),
            file_max: number("fs/file-max"),
            files_open: number("fs/file-nr"),
            ports: match *several("net/ipv4/ip_local_port_range") {
                [first, last, ..] => u16::try_from(first).ok().zip(u16::try_from(last).ok()),
                _ => None,
            },
            memory_available: text("proc/meminfo").as_deref().and_then(memory::available),
            memory_allowed: memory::allowed(root),
            page: text("proc/self/smaps").as_deref().and_then(page_size),
            tcp_pages: match *several("net/ipv4/tcp_mem") {
                [_, pressure, most] => Some((pressure, most)),
                _ => None,
            },
            somaxconn: number("net/core/somaxconn"),
            conntrack_max: number("net/netfilter/nf_conntrack_max"),
            conntrack_used: number("net/netfilter/nf_conntrack_count"),
            max_map_count: number("vm/max_map_count"),
        }
    }

    /// Memory that a process can have, in bytes: of the machine, and of its control groups.
    pub fn memory_left(&self) -> Option<u64> {
        match (self.memory_available, self.memory_allowed) {
            (Some(available), Some(allowed)) => Some(available.min(allowed)),
            (available, allowed) => available.or(allowed),
        }
    }

    /// Bytes of a page; 4,096 if the machine does not say.
    pub fn page_size(&self) -> u64 {
        self.page.unwrap_or(4096)
    }
}

pub(crate) fn numbers(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split_whitespace().map_while(|number| number.parse().ok())
}

/// The second number of `Max open files`.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn page_size(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"))?;
    numbers(line).next().map(|kilobytes| kilobytes * 1024)
}

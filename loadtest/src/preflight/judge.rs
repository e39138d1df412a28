//! Comparing what a run needs with what a machine has. Nothing here reads anything.

use super::{Check, Machine, Row, Verdict};
use crate::{Plan, numbers, plan::Scheme, sources::PORTS};

/// Descriptors of a process that are no connections: standard streams, loops, files, and some in reserve.
pub(crate) const OTHER_DESCRIPTORS: u64 = 512;
/// Bytes that the kernel takes for one end of an idle TCP connection, descriptor and all: measured with a million.
pub(crate) const KERNEL_PER_END: u64 = 3300;
/// Bytes that a process takes for a connection.
const USER_PER_END: u64 = 320;
/// Bytes that a process takes without connections.
pub(crate) const PROCESS: u64 = 60_000_000;
/// Ports that can be made usable: from 1024 on.
const MOST_PORTS: u64 = 65_535 - 1024 + 1;
/// More places in a backlog than this are of little use.
pub(crate) const BACKLOG: u64 = 4096;
/// Mappings of a thread: its stack, the page that guards it, and what it allocates.
pub(crate) const MAPPINGS_PER_THREAD: u64 = 4;
pub(crate) const OTHER_MAPPINGS: u64 = 2000;

/// What a run takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Connections at a time.
    pub connections: u64,
    /// Threads with an event loop.
    pub shards: u64,
    /// Whether each shard has a table of descriptors of its own.
    pub private_tables: bool,
    /// Source addresses.
    pub sources: u64,
    /// Addresses and ports of the server.
    pub destinations: u64,
    /// Ports of each source address, if the client chooses them itself; else those that the kernel gives.
    pub ports: Option<u64>,
    /// Whether the server runs on this machine, too.
    pub local: bool,
    /// Whether the kernel keeps a connection for each (TCP).
    pub stream: bool,
}

impl Need {
    /// What a plan takes.
    pub fn of(plan: &Plan) -> Self {
        let network = plan.source.network(&plan.target.addrs, plan.connections);
        Need {
            connections: plan.connections as u64,
            shards: plan.shards as u64,
            private_tables: plan.private_descriptors,
            sources: network.map_or(1, |network| network.len().into()),
            destinations: plan.target.addrs.len().max(1) as u64,
            ports: network.map(|_| PORTS),
            local: plan.target.addrs.iter().all(|addr| addr.ip().is_loopback()),
            stream: plan.target.scheme != Scheme::Udp,
        }
    }

    /// Both ends are on this machine, or one.
    fn ends(&self) -> u64 {
        if self.local { 2 } else { 1 }
    }

    /// Bytes of memory, for the kernel and the processes.
    fn memory(&self) -> u64 {
        let connections = self.connections.saturating_mul(self.ends() * (KERNEL_PER_END + USER_PER_END));
        connections.saturating_add(PROCESS)
    }
}

/// Compares what a run needs with what a machine has.
///
/// ```
/// use lakh_loadtest::preflight::{Machine, Need, check};
///
/// let need = Need {
///     connections: 1_000_000,
///     shards: 2,
///     private_tables: false,
///     sources: 1,
///     destinations: 1,
///     ports: None,
///     local: false,
///     stream: true,
/// };
/// let machine = Machine { descriptors: Some(20_000), ..Machine::default() };
/// assert!(!check(&need, &machine).passed());
/// ```
pub fn check(need: &Need, machine: &Machine) -> Check {
    let mut rows = vec![
        open_files(need, machine),
        all_open_files(need, machine),
        local_ports(need, machine),
        memory(need, machine),
    ];
    if need.stream {
        rows.push(tcp_memory(need, machine));
    }
    if need.stream && need.local {
        rows.push(backlog(need, machine));
    }
    rows.extend(tracked(need, machine));
    rows.extend(mappings(need, machine));
    Check { rows }
}

/// The limit of one table, and there may be one for each shard.
fn open_files(need: &Need, machine: &Machine) -> Row {
    let shards = need.shards.max(1);
    let (tables, each) = if need.private_tables {
        (shards, need.connections.div_ceil(shards).saturating_add(OTHER_DESCRIPTORS))
    } else {
        (1, need.connections.saturating_add(OTHER_DESCRIPTORS))
    };
    let wanted = if tables == 1 {
        numbers::count(each)
    } else {
        format!("{} × {tables} tables", numbers::count(each))
    };
    let Some(limit) = machine.descriptors else {
        return Row::new("open files", format!("need {wanted}"), Verdict::Unknown);
    };
    let verdict = if each <= limit { Verdict::Enough } else { Verdict::Short };
    let unit = if tables == 1 { "" } else { " each" };
    let text = format!("need {wanted}  have {}{unit}", numbers::count(limit));
    Row::new("open files", text, verdict).or(|| {
        let mut remedies = Vec::new();
        if machine.nr_open.is_some_and(|most| most < each) {
            remedies.push(format!("sudo sysctl -w fs.nr_open={each}"));
        }
        remedies.push(format!("sudo prlimit --pid $$ --nofile={each}:{each}"));
        if let Some(room) = limit.checked_sub(OTHER_DESCRIPTORS).filter(|room| *room > 0) {
            let shards = need.connections.div_ceil(room);
            remedies.push(format!("or give each of {shards} shards a table of its own: -t {shards}"));
        }
        remedies
    })
}

/// The limit of the whole machine.
fn all_open_files(need: &Need, machine: &Machine) -> Row {
    let all = need.connections.saturating_mul(need.ends()).saturating_add(need.ends() * OTHER_DESCRIPTORS);
    let have = machine.file_max.map(|most| most.saturating_sub(machine.files_open.unwrap_or(0)));
    Row::compare("all files", all, have, Verdict::Short).or(|| {
        let wanted = all.saturating_add(machine.files_open.unwrap_or(0));
        vec![format!("sudo sysctl -w fs.file-max={wanted}")]
    })
}

fn local_ports(need: &Need, machine: &Machine) -> Row {
    let given = machine.ports.map(|(first, last)| u64::from(last.saturating_sub(first)) + 1);
    let Some(ports) = need.ports.or(given) else {
        return Row::new(
            "local ports",
            format!("need {}", numbers::count(need.connections)),
            Verdict::Unknown,
        );
    };
    let pairs = need.sources.max(1).saturating_mul(need.destinations.max(1));
    let total = ports.saturating_mul(pairs);
    let have = match (need.sources, need.destinations) {
        (..=1, ..=1) => numbers::count(total),
        (sources, ..=1) => {
            format!("{} × {sources} addresses = {}", numbers::count(ports), numbers::count(total))
        }
        (..=1, to) => format!("{} × {to} destinations = {}", numbers::count(ports), numbers::count(total)),
        (sources, to) => {
            format!("{} × {sources} × {to} addresses = {}", numbers::count(ports), numbers::count(total))
        }
    };
    let text = format!("need {}  have {have}", numbers::count(need.connections));
    let verdict = if need.connections <= total { Verdict::Enough } else { Verdict::Short };
    Row::new("local ports", text, verdict).or(|| {
        let mut remedies = Vec::new();
        let mut each = ports;
        if need.ports.is_none() && ports < MOST_PORTS {
            remedies.push("sudo sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"".to_owned());
            each = MOST_PORTS;
        }
        let sources = need.connections.div_ceil(each.saturating_mul(need.destinations.max(1)).max(1));
        if sources > need.sources {
            // A subnet has so many addresses as a power of two.
            let bits = u64::BITS - (sources - 1).leading_zeros();
            let then = if remedies.is_empty() { "" } else { "and " };
            remedies.push(if need.local {
                format!("{then}give {sources} source addresses: --src auto")
            } else if bits <= 16 {
                format!("{then}give {sources} source addresses of this machine: --src 10.0.1.0/{}", 32 - bits)
            } else {
                format!(
                    "{then}give {sources} source addresses: more than a machine has; take fewer connections"
                )
            });
        }
        remedies
    })
}

/// An estimate: only more than the machine itself has is refused.
fn memory(need: &Need, machine: &Machine) -> Row {
    let wanted = need.memory();
    let text = format!("about {} kernel+user (estimate)", numbers::bytes(wanted));
    let Some(have) = machine.memory_left() else { return Row::new("memory", text, Verdict::Unknown) };
    let verdict = match machine.memory_available {
        Some(available) if wanted > available => Verdict::Short,
        _ if wanted > have => Verdict::Low,
        _ => Verdict::Enough,
    };
    Row::new("memory", format!("{text}  have {}", numbers::bytes(have)), verdict).or(|| {
        let mut remedies = Vec::new();
        if machine.memory_allowed.is_some_and(|allowed| allowed < wanted) {
            remedies.push("raise the memory limit of this container (control group)".to_owned());
        }
        let each = need.ends() * (KERNEL_PER_END + USER_PER_END);
        let possible = have.saturating_sub(PROCESS) / each;
        // Rounded down to two digits: an estimate is no more exact than that.
        let unit = 10_u64.pow(possible.checked_ilog10().unwrap_or(0).saturating_sub(1));
        if possible > 0 {
            remedies.push(format!("or take fewer connections: -c {}", possible / unit * unit));
        }
        remedies
    })
}

/// What sockets may hold in their buffers, all together. Idle ones hold nothing.
fn tcp_memory(need: &Need, machine: &Machine) -> Row {
    let bytes = need.connections.saturating_mul(need.ends()).saturating_mul(machine.page_size());
    let have = machine.tcp_pages.map(|(_, pages)| pages.saturating_mul(machine.page_size()));
    let text = format!("up to {} if all have data on their way", numbers::bytes(bytes));
    let Some(have) = have else { return Row::new("tcp buffers", text, Verdict::Unknown) };
    let verdict = if bytes <= have { Verdict::Enough } else { Verdict::Low };
    Row::new("tcp buffers", format!("{text}  have {}", numbers::bytes(have)), verdict).or(|| {
        let pages = bytes.div_ceil(machine.page_size());
        let pressure = pages / 4 * 3;
        vec![format!("sudo sysctl -w net.ipv4.tcp_mem=\"{} {pressure} {pages}\"", pages / 2)]
    })
}

/// Connections that a server on this machine can have waiting to be accepted.
fn backlog(need: &Need, machine: &Machine) -> Row {
    let wanted = need.connections.min(BACKLOG);
    Row::compare("backlog", wanted, machine.somaxconn, Verdict::Low)
        .or(|| vec![format!("sudo sysctl -w net.core.somaxconn={BACKLOG}, before the server starts")])
}

/// What a firewall keeps of connections. One that keeps none at all has most likely no rules that ask for it.
fn tracked(need: &Need, machine: &Machine) -> Option<Row> {
    let most = machine.conntrack_max?;
    let used = machine.conntrack_used.unwrap_or(0);
    let short = if used > 0 { Verdict::Short } else { Verdict::Low };
    let row = Row::compare("conntrack", need.connections, Some(most.saturating_sub(used)), short);
    Some(row.or(|| {
        vec![format!(
            "sudo sysctl -w net.netfilter.nf_conntrack_max={}",
            need.connections.saturating_add(used)
        )]
    }))
}

/// Only with very many threads is it near.
fn mappings(need: &Need, machine: &Machine) -> Option<Row> {
    let wanted = need.shards.saturating_mul(MAPPINGS_PER_THREAD).saturating_add(OTHER_MAPPINGS);
    let row = Row::compare("mappings", wanted, Some(machine.max_map_count?), Verdict::Short);
    (row.verdict == Verdict::Short)
        .then(|| row.or(|| vec![format!("sudo sysctl -w vm.max_map_count={wanted}")]))
}

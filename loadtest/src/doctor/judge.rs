//! What the limits allow. Nothing here reads anything.

use super::{Capacity, Diagnosis, Host, round};
use crate::{
    numbers,
    preflight::{
        BACKLOG, KERNEL_PER_END, MAPPINGS_PER_THREAD, OTHER_DESCRIPTORS, OTHER_MAPPINGS, PROCESS, Row,
        Verdict,
    },
};

/// Bytes that a server takes for an idle connection, as README.md has them, rounded up.
const USER_PER_CONNECTION: u64 = 200;
/// As many as shards can be.
const MOST_TABLES: u64 = 1024;
/// Fewer directories than a project has are watched with less.
const FEW_WATCHES: u64 = 8192;
/// One for each `Watch`.
const FEW_INSTANCES: u64 = 128;
/// `close_range(CLOSE_RANGE_UNSHARE)`.
const PRIVATE_TABLES_FROM: (u64, u64) = (5, 9);
/// What the kernel has by default, and what nobody should go below.
const FEW_PORTS: u64 = 28_232;
/// SYNs of clients that come together.
const FEW_SYNS: u64 = 1024;

impl Host {
    /// Judges it for a number of connections to a server.
    ///
    /// ```
    /// use lakh_loadtest::{doctor::Host, preflight::Machine};
    ///
    /// let host = Host { machine: Machine { descriptors: Some(20_000), ..Machine::default() }, ..Host::default() };
    /// assert!(host.diagnose(10_000).passed());
    /// let found = host.diagnose(1_000_000);
    /// assert!(!found.passed() && found.rows[0].remedies[0].contains("ulimit"));
    /// ```
    pub fn diagnose(&self, connections: u64) -> Diagnosis {
        let capacity = self.capacity();
        let mut rows = vec![
            self.open_files(connections),
            self.all_files(connections),
            self.memory(connections),
            self.cpus(),
            self.backlog(connections),
            self.syn_backlog(),
            self.tcp_buffers(connections),
        ];
        rows.extend(self.tracked(connections));
        rows.extend(self.mappings(connections));
        rows.extend([self.ports(), self.watches(), self.kernel(), self.congestion()]);
        Diagnosis { connections, capacity, rows }
    }

    /// The least of what is known.
    fn capacity(&self) -> Capacity {
        let machine = &self.machine;
        let files_left = machine.file_max.map(|most| {
            most.saturating_sub(machine.files_open.unwrap_or(0)).saturating_sub(OTHER_DESCRIPTORS)
        });
        let tracked_left =
            machine.conntrack_max.map(|most| most.saturating_sub(machine.conntrack_used.unwrap_or(0)));
        let in_memory = machine.memory_left().map(connections_in);
        // One that tracks nothing has most likely no rules that ask for it.
        let tracked_left = tracked_left.filter(|_| machine.conntrack_used.is_some_and(|used| used > 0));
        let others = [files_left, in_memory, tracked_left].into_iter().flatten().min();
        let table = machine.descriptors.map(|limit| limit.saturating_sub(OTHER_DESCRIPTORS));
        let least = |one: Option<u64>| one.into_iter().chain(others).min();
        let one_table = table.and_then(|room| least(Some(room)));
        let mut capacity = Capacity { one_table, private_tables: None, shards: None };
        if let (Some(room @ 1..), Some(one)) = (table, one_table)
            && self.has_private_tables() == Some(true)
        {
            let all = least(Some(room.saturating_mul(MOST_TABLES))).unwrap_or(0);
            if all > one {
                capacity.private_tables = Some(all);
                capacity.shards = Some(all.div_ceil(room));
            }
        }
        capacity
    }

    fn has_private_tables(&self) -> Option<bool> {
        self.kernel.map(|kernel| kernel >= PRIVATE_TABLES_FROM)
    }

    fn open_files(&self, connections: u64) -> Row {
        let need = connections.saturating_add(OTHER_DESCRIPTORS);
        let Some(hard) = self.machine.descriptors else {
            return Row::new("open files", format!("need {}", numbers::count(need)), Verdict::Unknown);
        };
        // The soft limit is what Lakh begins with, and raises by itself.
        let soft = self.soft_descriptors.map(|soft| format!(" (soft {})", limit(soft))).unwrap_or_default();
        let text = format!("need {}  have {}{soft}", numbers::count(need), limit(hard));
        let verdict = if need <= hard { Verdict::Enough } else { Verdict::Short };
        Row::new("open files", text, verdict).or(|| {
            let mut remedies = Vec::new();
            if self.machine.nr_open.is_some_and(|most| most < need) {
                remedies.push(format!("sudo sysctl -w fs.nr_open={need}"));
            }
            remedies.push(format!(
                "ulimit -Hn {need} && ulimit -Sn {need}, as root, in the shell that starts it"
            ));
            remedies.push(format!("LimitNOFILE={need} in [Service] of its systemd unit"));
            if let Some(room @ 1..) = hard.checked_sub(OTHER_DESCRIPTORS)
                && self.has_private_tables() != Some(false)
                && connections.div_ceil(room) <= MOST_TABLES
            {
                let shards = connections.div_ceil(room);
                remedies.push(format!("or a table for each of {shards} shards: private_descriptors(true)"));
            }
            remedies
        })
    }

    fn all_files(&self, connections: u64) -> Row {
        let machine = &self.machine;
        let need = connections.saturating_add(OTHER_DESCRIPTORS);
        let open = machine.files_open.unwrap_or(0);
        let have = machine.file_max.map(|most| most.saturating_sub(open));
        let row = match have {
            // "None", in the words of the kernel.
            Some(have) if have >= i64::MAX as u64 / 2 => {
                Row::new("all files", "no limit on the machine's (fs.file-max)".to_owned(), Verdict::Enough)
            }
            have => Row::compare("all files", need, have, Verdict::Short),
        };
        row.or(|| vec![format!("sudo sysctl -w fs.file-max={}", need.saturating_add(open))])
    }

    fn memory(&self, connections: u64) -> Row {
        let need = connections.saturating_mul(KERNEL_PER_END + USER_PER_CONNECTION).saturating_add(PROCESS);
        let text = format!("about {} if all are idle", numbers::bytes(need));
        let Some(have) = self.machine.memory_left() else {
            return Row::new("memory", text, Verdict::Unknown);
        };
        let is_grouped = self.machine.memory_allowed.is_some_and(|allowed| allowed == have);
        let of_what = if is_grouped { " (control group)" } else { "" };
        let verdict = if need <= have { Verdict::Enough } else { Verdict::Short };
        let text = format!("{text}  have {}{of_what}", numbers::bytes(have));
        Row::new("memory", text, verdict).or(|| {
            let mut remedies = Vec::new();
            if is_grouped {
                remedies.push(format!(
                    "MemoryMax={need} in its systemd unit, or --memory {need} of its container"
                ));
            }
            remedies.push(format!("or about {} connections", numbers::count(round(connections_in(have)))));
            remedies
        })
    }

    /// Of CPUs there is no number that would be enough.
    fn cpus(&self) -> Row {
        let Some(cpus) = self.cpus else {
            return Row::new("cpus", "one shard for each".to_owned(), Verdict::Unknown);
        };
        let text = match self.cpu_quota {
            Some(quota) if quota < cpus => {
                format!("{cpus}, of which control groups leave {quota}: {quota} shards")
            }
            _ => format!("{cpus}: as many shards"),
        };
        Row::new("cpus", text, Verdict::Enough)
    }

    fn backlog(&self, connections: u64) -> Row {
        Row::compare("backlog", connections.min(BACKLOG), self.machine.somaxconn, Verdict::Low)
            .or(|| vec![format!("sudo sysctl -w net.core.somaxconn={BACKLOG}, before the server starts")])
    }

    fn syn_backlog(&self) -> Row {
        Row::compare("syn backlog", FEW_SYNS, self.syn_backlog, Verdict::Low)
            .or(|| vec![format!("sudo sysctl -w net.ipv4.tcp_max_syn_backlog={BACKLOG}")])
    }

    /// What sockets may hold in their buffers, all together. Idle ones hold nothing.
    fn tcp_buffers(&self, connections: u64) -> Row {
        let page = self.machine.page_size();
        let need = connections.saturating_mul(page);
        let text = format!("up to {} if all have data on their way", numbers::bytes(need));
        let Some((_, pages)) = self.machine.tcp_pages else {
            return Row::new("tcp buffers", text, Verdict::Unknown);
        };
        let have = pages.saturating_mul(page);
        let verdict = if need <= have { Verdict::Enough } else { Verdict::Low };
        Row::new("tcp buffers", format!("{text}  have {}", numbers::bytes(have)), verdict).or(|| {
            let pages = need.div_ceil(page);
            vec![format!("sudo sysctl -w net.ipv4.tcp_mem=\"{} {} {pages}\"", pages / 2, pages / 4 * 3)]
        })
    }

    /// What a firewall keeps of connections.
    fn tracked(&self, connections: u64) -> Option<Row> {
        let most = self.machine.conntrack_max?;
        let used = self.machine.conntrack_used.unwrap_or(0);
        let short = if used > 0 { Verdict::Short } else { Verdict::Low };
        let row = Row::compare("conntrack", connections, Some(most.saturating_sub(used)), short);
        let wanted = connections.saturating_add(used);
        Some(row.or(|| vec![format!("sudo sysctl -w net.netfilter.nf_conntrack_max={wanted}")]))
    }

    /// Only with very many threads is it near.
    fn mappings(&self, connections: u64) -> Option<Row> {
        let have = self.machine.max_map_count?;
        let room = self.machine.descriptors?.checked_sub(OTHER_DESCRIPTORS).filter(|room| *room > 0)?;
        let shards = connections.div_ceil(room).min(MOST_TABLES);
        let need = shards.saturating_mul(MAPPINGS_PER_THREAD).saturating_add(OTHER_MAPPINGS);
        let row = Row::compare("mappings", need, Some(have), Verdict::Short);
        (need > have).then(|| row.or(|| vec![format!("sudo sysctl -w vm.max_map_count={need}")]))
    }

    /// Of a server's own connections to others: those that come in need none.
    fn ports(&self) -> Row {
        let Some((first, last)) = self.machine.ports else {
            return Row::new("local ports", "for connections to other servers".to_owned(), Verdict::Unknown);
        };
        let ports = u64::from(last.saturating_sub(first)) + 1;
        let text = format!("{} connections out, to each address and port", numbers::count(ports));
        let verdict = if ports < FEW_PORTS { Verdict::Low } else { Verdict::Enough };
        Row::new("local ports", text, verdict)
            .or(|| vec!["sudo sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"".to_owned()])
    }

    fn watches(&self) -> Row {
        let (Some(watches), Some(instances)) = (self.watches, self.watch_instances) else {
            return Row::new("file watches", "for fs::watch".to_owned(), Verdict::Unknown);
        };
        let text =
            format!("{} directories, by {} of fs::watch", numbers::count(watches), numbers::count(instances));
        let is_low = watches < FEW_WATCHES || instances < FEW_INSTANCES;
        Row::new("file watches", text, if is_low { Verdict::Low } else { Verdict::Enough }).or(|| {
            let mut remedies = Vec::new();
            if watches < FEW_WATCHES {
                remedies.push("sudo sysctl -w fs.inotify.max_user_watches=524288".to_owned());
            }
            if instances < FEW_INSTANCES {
                remedies.push("sudo sysctl -w fs.inotify.max_user_instances=1024".to_owned());
            }
            remedies
        })
    }

    fn kernel(&self) -> Row {
        let Some((major, minor)) = self.kernel else {
            return Row::new("kernel", "private tables from 5.9 on".to_owned(), Verdict::Unknown);
        };
        let features = [((5, 6), "openat2"), (PRIVATE_TABLES_FROM, "private tables"), ((6, 5), "cachestat")];
        let has = |wanted: bool| {
            let names: Vec<_> = features
                .into_iter()
                .filter(|(from, _)| ((major, minor) >= *from) == wanted)
                .map(|(_, name)| name)
                .collect();
            names.join(", ")
        };
        let (here, missing) = (has(true), has(false));
        let mut text = format!("{major}.{minor}");
        if !here.is_empty() {
            text += &format!("  with {here}");
        }
        if !missing.is_empty() {
            text += &format!("  without {missing}");
        }
        let verdict = if (major, minor) < PRIVATE_TABLES_FROM { Verdict::Low } else { Verdict::Enough };
        Row::new("kernel", text, verdict)
            .or(|| vec!["a kernel from 5.9 on has a descriptor table for each shard".to_owned()])
    }

    fn congestion(&self) -> Row {
        match &self.congestion {
            Some(name) => Row::new("congestion", name.clone(), Verdict::Enough),
            None => Row::new("congestion", "control of TCP".to_owned(), Verdict::Unknown),
        }
    }
}

fn limit(number: u64) -> String {
    if number == u64::MAX { "unlimited".to_owned() } else { numbers::count(number) }
}

fn connections_in(memory: u64) -> u64 {
    memory.saturating_sub(PROCESS) / (KERNEL_PER_END + USER_PER_CONNECTION)
}

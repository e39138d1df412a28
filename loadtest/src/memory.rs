//! Memory of processes and of the kernel, as Linux tells: proc(5). Elsewhere nothing is known.
//!
//! To look at a process costs it time by its memory, so this is done twice in a run and not each second.

use crate::stats::{Growth, Held};
use std::{fs, time::Duration};

/// Bytes; `None` where nothing is said of it.
#[derive(Clone, Copy, Debug)]
struct Memory {
    client: Option<u64>,
    server: Option<u64>,
    slab: Option<u64>,
    sockets: Option<u64>,
}

/// What there was before the first connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    server: Option<u32>,
    memory: Memory,
}

impl Before {
    pub(crate) fn look(server: Option<u32>) -> Self {
        Before { server, memory: Memory::look(server) }
    }

    /// Looks again, at connections that have stood for a while.
    pub(crate) fn held(&self, time: Duration, open: u64, lost: u64) -> Held {
        let now = Memory::look(self.server);
        let growth = |before: Option<u64>, held: Option<u64>| Some(Growth { before: before?, held: held? });
        Held {
            time,
            open,
            lost,
            client: growth(self.memory.client, now.client),
            server: growth(self.memory.server, now.server),
            slab: growth(self.memory.slab, now.slab),
            sockets: growth(self.memory.sockets, now.sockets),
        }
    }
}

impl Memory {
    fn look(server: Option<u32>) -> Self {
        Memory {
            client: anonymous("self"),
            server: server.and_then(|number| anonymous(&number.to_string())),
            slab: read("/proc/meminfo").and_then(|text| kilobytes(&text, "Slab:")),
            sockets: read("/proc/net/sockstat").and_then(|text| pages(&text)?.checked_mul(page_size()?)),
        }
    }
}

/// Anonymous memory of a process. What it shares with a parent counts by half, which only its owner may know; anybody
/// may know the rest.
fn anonymous(process: &str) -> Option<u64> {
    let exact = read(&format!("/proc/{process}/smaps_rollup")).and_then(|text| kilobytes(&text, "Pss_Anon:"));
    exact.or_else(|| read(&format!("/proc/{process}/status")).and_then(|text| kilobytes(&text, "RssAnon:")))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// In bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// Those in the buffers of TCP and UDP.
fn pages(sockstat: &str) -> Option<u64> {
    let lines = sockstat.lines().filter(|line| line.starts_with("TCP:") || line.starts_with("UDP:"));
    let pages = |line: &str| line.split_once(" mem ")?.1.split(' ').next()?.parse::<u64>().ok();
    lines.map(pages).sum()
}

fn page_size() -> Option<u64> {
    #[cfg(unix)]
    return u64::try_from(rustix::param::page_size()).ok();
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_name() {
        let text = "Pss:  900 kB\nPss_Dirty:  5 kB\nPss_Anon:     2048 kB\n";
        assert_eq!(kilobytes(text, "Pss_Anon:"), Some(2 << 20));
        assert_eq!((kilobytes(text, "Slab:"), kilobytes("Slab: many kB", "Slab:")), (None, None));
    }

    #[test]
    fn buffers_are_those_of_tcp_and_udp() {
        let text = "sockets: used 9\nTCP: inuse 4 orphan 0 tw 0 alloc 5 mem 7\nUDP: inuse 2 mem 3\nUDPLITE: inuse 0\n\
                    RAW: inuse 0\nFRAG: inuse 0 memory 0\n";
        assert_eq!(pages(text), Some(10));
        assert_eq!(pages("TCP: inuse 4\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_added_is_seen() {
        let before = Before::look(Some(std::process::id()));
        let added = vec![1_u8; 64 << 20];
        let held = before.held(Duration::ZERO, 1, 0);
        drop(added);
        // Other tests may give back what they had.
        for growth in [held.client, held.server] {
            assert!(growth.is_some_and(|growth| growth.added() >= 32 << 20), "{held:?}");
        }
        assert!(held.kernel().is_some_and(|kernel| kernel.held > 0));
    }
}

//! Servers as child processes: started on one CPU, measured through /proc, ended by their id.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Context, Error, Result, sys};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    pub argv: Vec<String>,
    /// For servers that do not print their address.
    pub address: Option<SocketAddr>,
}

impl Spec {
    /// Parses `NAME=COMMAND…` or `NAME@ADDRESS=COMMAND…`.
    pub fn parse(text: &str) -> Result<Spec> {
        let usage = || Error::new(format!("{text:?} should be NAME=COMMAND… or NAME@ADDRESS=COMMAND…"));
        let (left, command) = text.split_once('=').ok_or_else(usage)?;
        let (name, address) = match left.split_once('@') {
            Some((name, address)) => (name, Some(address.parse().map_err(|_| usage())?)),
            None => (left, None),
        };
        let argv = crate::flags::split_command(command)?;
        if name.is_empty() || argv.is_empty() {
            return Err(usage());
        }
        Ok(Spec { name: name.to_owned(), argv, address })
    }
}

/// Whether servers with mimalloc may use huge pages. They make resident memory grow in steps of 2 MiB, which over
/// 10,000 connections is 210 B each: too coarse where memory is what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    AsUsual,
    Off,
}

/// A running server; dropping it ends it.
pub struct Server {
    child: Child,
    name: String,
    pub address: SocketAddr,
}

/// Time on a CPU, of a server and its child processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// From the processes' clocks, exact.
    pub exact: Duration,
    /// From /proc/PID/stat, in ticks: what `time` and `top` show, read to check the other.
    pub ticks: Duration,
}

/// Resident memory in bytes, of a server and its child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Heap and stacks: user memory without mapped files.
    pub anonymous: u64,
    pub resident: u64,
    pub peak: u64,
}

const MAX_PROCESSES: usize = 1024;

impl Server {
    /// Starts the server on `cpu` and waits until it has an address.
    pub fn start(
        spec: &Spec,
        cpu: Option<usize>,
        huge_pages: HugePages,
        patience: Duration,
    ) -> Result<Server> {
        let mut command = Command::new(&spec.argv[0]);
        command.args(&spec.argv[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        if huge_pages == HugePages::Off {
            // mimalloc asks the kernel for none, then.
            command.env("MIMALLOC_ALLOW_THP", "0");
        }
        sys::bind_child(&mut command, cpu);
        let mut child =
            command.spawn().context(|| format!("cannot start {} ({})", spec.name, spec.argv[0]))?;
        let printed = watch_stdout(&mut child);
        let mut server =
            Server { child, name: spec.name.clone(), address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let deadline = Instant::now() + patience;
        server.address = match spec.address {
            Some(address) => server.wait_until_connectable(address, deadline)?,
            None => server.wait_until_printed(&printed, deadline)?,
        };
        Ok(server)
    }

    pub fn cpu(&self) -> Result<CpuTime> {
        let tick = sys::tick();
        let mut sum = CpuTime::default();
        for pid in self.pids() {
            let read = || format!("cannot read the CPU time of {}", self.name);
            sum.exact += sys::process_cpu(pid).context(read)?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context(read)?;
            let ticks = stat_ticks(&stat).ok_or_else(|| Error::new(read()))?;
            sum.ticks += tick * ticks.try_into().unwrap_or(u32::MAX);
        }
        Ok(sum)
    }

    pub fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in self.pids() {
            let read = || format!("cannot read the memory of {}", self.name);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context(read)?;
            let memory = status_memory(&status).ok_or_else(|| Error::new(read()))?;
            sum.anonymous += memory.anonymous;
            sum.resident += memory.resident;
            sum.peak += memory.peak;
        }
        Ok(sum)
    }

    /// Asks the server to end, and returns its status.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        sys::terminate(self.child.id());
        match wait(&mut self.child, patience) {
            Some(status) => Ok(status),
            None => Err(Error::new(format!("{} did not end within {patience:?} of SIGTERM", self.name))),
        }
    }

    fn wait_until_printed(
        &mut self,
        printed: &mpsc::Receiver<SocketAddr>,
        deadline: Instant,
    ) -> Result<SocketAddr> {
        match printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(address) => Ok(address),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(Error::new(format!("{} printed no line with http://127.0.0.1:PORT in time", self.name)))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(self.ended_early()),
        }
    }

    fn wait_until_connectable(&mut self, address: SocketAddr, deadline: Instant) -> Result<SocketAddr> {
        while Instant::now() < deadline {
            if TcpStream::connect(address).is_ok() {
                return Ok(address);
            }
            if wait(&mut self.child, Duration::from_millis(20)).is_some() {
                return Err(self.ended_early());
            }
        }
        Err(Error::new(format!("{} does not listen on {address}", self.name)))
    }

    fn ended_early(&mut self) -> Error {
        match wait(&mut self.child, Duration::from_secs(1)) {
            Some(status) => Error::new(format!("{} ended before it was ready: {status}", self.name)),
            None => Error::new(format!("{} closed its stdout before it printed an address", self.name)),
        }
    }

    /// The server's process and all below it (workers of a pre-forking server).
    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while next < pids.len() && pids.len() < MAX_PROCESSES {
            pids.extend(children(pids[next]));
            next += 1;
        }
        pids
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if wait(&mut self.child, Duration::ZERO).is_some() {
            return;
        }
        self.pids().into_iter().for_each(sys::terminate); // workers too: a shell would leave its child behind
        if wait(&mut self.child, Duration::from_secs(2)).is_none() {
            let _ = self.child.kill(); // fails only if it has just ended
            let _ = self.child.wait();
        }
    }
}

/// The status, if the child ends in time.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}

/// Sends the first address that appears, then reads on so that the server is never blocked by a full pipe.
fn watch_stdout(child: &mut Child) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if let Some(address) = sender.as_ref().and_then(|_| address_in(&line)) {
                    let _ = sender.take().map(|sender| sender.try_send(address));
                }
            }
        });
    }
    receiver
}

/// The last `127.0.0.1:PORT` in a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let start = line.rfind("127.0.0.1:")?;
    let rest = &line[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
    rest[..end].trim_end_matches([':', '.']).parse().ok()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// utime + stime: fields 14 and 15, counted after the name, which may hold spaces and brackets.
fn stat_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory { anonymous: bytes("RssAnon")?, resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_where_servers_print_them() {
        let port = |line| address_in(line).map(|address| address.port());
        assert_eq!(port("listening on http://127.0.0.1:4711"), Some(4711));
        assert_eq!(port("  http://127.0.0.1:80/ (was 127.0.0.1:1), 2 shards"), Some(1));
        assert_eq!(port("at 127.0.0.1:8080."), Some(8080));
        assert_eq!(port("127.0.0.1:"), None);
        assert_eq!(port("listening on [::1]:80"), None);
    }

    #[test]
    fn specs_have_a_name_a_command_and_maybe_an_address() {
        let spec = Spec::parse("nginx@127.0.0.1:81=nginx -g 'daemon off;'").unwrap();
        assert_eq!((spec.name.as_str(), spec.argv.len()), ("nginx", 3));
        assert_eq!(spec.address.unwrap().port(), 81);
        assert_eq!(Spec::parse("mine=./a --x=1").unwrap().argv, ["./a", "--x=1"]);
        assert!(Spec::parse("mine").is_err());
        assert!(Spec::parse("mine=").is_err());
        assert!(Spec::parse("mine@here=./a").is_err());
    }

    #[test]
    fn proc_files_are_read() {
        let stat = "12 (a ) b) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(stat_ticks(stat), Some(300));
        let status = "VmHWM:\t  30 kB\nVmRSS:\t  20 kB\nRssAnon:\t  10 kB\n";
        let memory = Memory { anonymous: 10240, resident: 20480, peak: 30720 };
        assert_eq!(status_memory(status), Some(memory));
    }

    #[test]
    fn both_sources_of_cpu_time_agree() {
        let spec = Spec::parse("busy=sh -c 'echo 127.0.0.1:1; while :; do :; done'").unwrap();
        let server = Server::start(&spec, None, HugePages::AsUsual, Duration::from_secs(5)).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        let cpu = server.cpu().unwrap();
        let apart = cpu.exact.abs_diff(cpu.ticks);
        assert!(cpu.exact > Duration::from_millis(50), "{cpu:?}");
        assert!(apart <= 3 * sys::tick() + cpu.exact / 50, "{cpu:?}");
    }

    #[test]
    fn dropping_a_server_ends_it() {
        let spec = Spec::parse("deaf=sh -c 'trap \"\" TERM; echo 127.0.0.1:1; while :; do sleep 0.1; done'")
            .unwrap();
        let server = Server::start(&spec, None, HugePages::AsUsual, Duration::from_secs(5)).unwrap();
        let pid = server.child.id();
        drop(server);
        assert!(sys::process_cpu(pid).is_err());
    }

    #[test]
    fn dropping_a_server_ends_its_children() {
        let spec = Spec::parse("shell=sh -c 'echo 127.0.0.1:1; sleep 60; true'").unwrap();
        let server = Server::start(&spec, None, HugePages::AsUsual, Duration::from_secs(5)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while server.pids().len() < 2 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let sleep = server.pids()[1];
        drop(server);
        while sys::process_cpu(sleep).is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(sys::process_cpu(sleep).is_err());
    }

    #[test]
    fn a_server_that_cannot_start_is_one_clear_line() {
        let start = |text| {
            Server::start(&Spec::parse(text).unwrap(), None, HugePages::AsUsual, Duration::from_secs(5))
        };
        let error = start("gone=/nonexistent/server").err().unwrap().to_string();
        assert!(error.starts_with("cannot start gone (/nonexistent/server)"), "{error}");
        assert!(start("short=true").err().unwrap().to_string().contains("ended before it was ready"));
    }
}

//! `lakh doctor`: what it reads of a machine, and what the command prints of this one.

use lakh_loadtest::{
    doctor::Host,
    preflight::{Machine, Verdict},
};
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

fn doctor(options: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    let Output { status, stdout, stderr } =
        command.arg("doctor").args(options).stdin(Stdio::null()).output().unwrap();
    let text = if stderr.is_empty() { stdout } else { stderr };
    (status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A small container.
const CONTAINER: [(&str, &str); 21] = [
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             96041                96041                processes \n\
         Max open files            1024                 20000                files     \n",
    ),
    ("proc/self/smaps", "55 r--p\nKernelPageSize:        4 kB\n"),
    ("proc/self/status", "Name:\tlakh\nCpus_allowed_list:\t0-2,8\n"),
    ("proc/self/cgroup", "0::/run\n"),
    ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"),
    ("sys/fs/cgroup/run/cpu.max", "150000 100000\n"),
    ("sys/fs/cgroup/run/memory.max", "1000000000\n"),
    ("sys/fs/cgroup/run/memory.current", "100000000\n"),
    ("proc/meminfo", "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "2764\t0\t9223372036854775807\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/tcp_mem", "287901\t383868\t575802\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n"),
    ("proc/sys/net/ipv4/tcp_congestion_control", "bbr\n"),
    ("proc/sys/net/core/somaxconn", "128\n"),
    ("proc/sys/fs/inotify/max_user_watches", "192536\n"),
    ("proc/sys/fs/inotify/max_user_instances", "128\n"),
    ("proc/sys/kernel/osrelease", "6.18.44-fc-v657\n"),
    ("proc/sys/vm/max_map_count", "65530\n"),
];

#[cfg(target_os = "linux")]
#[test]
fn a_container_is_read_and_judged() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Host::read_below(root.path()), Host::default());
    write(root.path(), &CONTAINER);
    let host = Host::read_below(root.path());
    assert_eq!((host.soft_descriptors, host.machine.descriptors), (Some(1024), Some(20_000)));
    assert_eq!((host.cpus, host.cpu_quota), (Some(4), Some(2)));
    assert_eq!((host.syn_backlog, host.congestion.as_deref()), (Some(512), Some("bbr")));
    assert_eq!((host.watches, host.watch_instances), (Some(192_536), Some(128)));
    assert_eq!(host.kernel, Some((6, 18)));
    assert_eq!(
        host.machine,
        Machine { memory_allowed: Some(900_000_000), ..Machine::read_below(root.path()) }
    );

    let found = host.diagnose(100_000);
    let verdict = |name| found.rows.iter().find(|row| row.name == name).unwrap().verdict;
    assert!(!found.passed());
    assert_eq!(verdict("open files"), Verdict::Short);
    assert_eq!(["all files", "memory", "cpus", "kernel"].map(verdict), [Verdict::Enough; 4]);
    assert_eq!(["backlog", "syn backlog"].map(verdict), [Verdict::Low; 2]);
    // As many as the table has, or as the group's memory has, in 13 tables.
    assert_eq!((found.capacity.one_table, found.capacity.private_tables), (Some(19_488), Some(240_000)));
    assert_eq!(found.capacity.shards, Some(13));
    assert!(host.diagnose(19_488).passed());
}

#[test]
fn this_machine_is_told_about_in_words_and_in_json() {
    let (status, text) = doctor(&[]);
    assert_eq!(status, 0, "without --for it only tells");
    assert!(text.starts_with("for 100,000 connections\n"), "{text}");
    for name in ["open files", "memory", "backlog", "kernel", "possible now: "] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    let (_, json) = doctor(&["--for", "64", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["connections"], 64);
    let known = json["limits"].as_array().unwrap().iter().filter(|limit| limit["verdict"] != "unknown");
    assert_eq!(known.count() > 5, cfg!(target_os = "linux"));
}

#[test]
fn for_a_number_the_status_says_whether_it_is_allowed() {
    assert_eq!(doctor(&["--for", "1"]).0, 0);
    let (status, text) = doctor(&["--for", "4000m"]);
    assert_eq!(status, if cfg!(target_os = "linux") { 1 } else { 0 }, "{text}");
    let (status, text) = doctor(&["--for", "many"]);
    assert_eq!((status, text.lines().count()), (2, 1), "{text}");
    assert!(text.contains("many") && text.contains("20k"), "{text}");
}

use super::*;
use crate::{made_up::write, preflight::Machine};

/// One that allows a million.
fn big() -> Host {
    Host {
        machine: Machine {
            descriptors: Some(1_048_576),
            nr_open: Some(1_048_576),
            file_max: Some(10_000_000),
            files_open: Some(2000),
            ports: Some((32_768, 60_999)),
            memory_available: Some(64_000_000_000),
            memory_allowed: None,
            page: Some(4096),
            tcp_pages: Some((3_000_000, 4_000_000)),
            somaxconn: Some(4096),
            conntrack_max: None,
            conntrack_used: None,
            max_map_count: Some(65_530),
        },
        soft_descriptors: Some(1024),
        cpus: Some(8),
        cpu_quota: None,
        syn_backlog: Some(4096),
        congestion: Some("cubic".to_owned()),
        watches: Some(190_000),
        watch_instances: Some(128),
        kernel: Some((6, 1)),
    }
}

fn row(host: &Host, connections: u64, name: &str) -> Row {
    let rows = host.diagnose(connections).rows;
    rows.into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
fn a_big_machine_reads_as_one() {
    let found = big().diagnose(1_000_000);
    assert!(found.passed());
    assert_eq!(
        found.text(Paint::PLAIN),
        "\
for 1,000,000 connections
  open files    need 1,000,512  have 1,048,576 (soft 1,024)                 ok
  all files     need 1,000,512  have 9,998,000                              ok
  memory        about 3.56 GB if all are idle  have 64.0 GB                 ok
  cpus          8: as many shards                                           ok
  backlog       need 4,096  have 4,096                                      ok
  syn backlog   need 1,024  have 4,096                                      ok
  tcp buffers   up to 4.10 GB if all have data on their way  have 16.4 GB   ok
  local ports   28,232 connections out, to each address and port            ok
  file watches  190,000 directories, by 128 of fs::watch                    ok
  kernel        6.1  with openat2, private tables  without cachestat        ok
  congestion    cubic                                                       ok

possible now: about 1,000,000 in one descriptor table
              about 9,900,000 with private tables, 10 of them
"
    );
}

#[test]
fn few_descriptors_are_raised_in_three_ways_or_multiplied() {
    let host = Host { machine: Machine { descriptors: Some(20_000), ..big().machine }, ..big() };
    let found = row(&host, 1_000_000, "open files");
    assert_eq!(found.verdict, Verdict::Short);
    assert_eq!(
        found.remedies,
        [
            "ulimit -Hn 1000512 && ulimit -Sn 1000512, as root, in the shell that starts it",
            "LimitNOFILE=1000512 in [Service] of its systemd unit",
            "or a table for each of 52 shards: private_descriptors(true)",
        ]
    );
    let found = host.diagnose(10_000);
    assert!(found.passed());
    assert_eq!(
        found.capacity,
        Capacity { one_table: Some(19_488), private_tables: Some(9_997_488), shards: Some(514) }
    );
    let old = Host { kernel: Some((5, 4)), ..host };
    assert_eq!(old.diagnose(1).capacity.private_tables, None);
    assert_eq!(row(&old, 1_000_000, "open files").remedies.len(), 2);
    assert_eq!(row(&old, 1, "kernel").verdict, Verdict::Low);
    let capped = Host { machine: Machine { nr_open: Some(65_536), ..old.machine }, ..old };
    assert_eq!(row(&capped, 1_000_000, "open files").remedies[0], "sudo sysctl -w fs.nr_open=1000512");
}

#[test]
fn memory_is_what_the_group_leaves() {
    let host = Host { machine: Machine { memory_allowed: Some(410_000_000), ..big().machine }, ..big() };
    let found = row(&host, 1_000_000, "memory");
    assert_eq!(
        (found.verdict, &*found.text),
        (Verdict::Short, "about 3.56 GB if all are idle  have 410 MB (control group)")
    );
    assert_eq!(
        found.remedies,
        [
            "MemoryMax=3560000000 in its systemd unit, or --memory 3560000000 of its container",
            "or about 100,000 connections"
        ]
    );
    assert_eq!(host.diagnose(1).capacity.one_table, Some(100_000));
}

#[test]
fn what_only_slows_down_is_low_and_no_reason_to_fail() {
    let machine = Machine {
        somaxconn: Some(128),
        ports: Some((50_000, 59_999)),
        tcp_pages: Some((1000, 2000)),
        conntrack_max: Some(65_536),
        conntrack_used: Some(0),
        ..big().machine
    };
    let host =
        Host { machine, syn_backlog: Some(128), watches: Some(1000), watch_instances: Some(8), ..big() };
    let found = host.diagnose(1_000_000);
    assert!(found.passed());
    let low: Vec<_> = found.rows.iter().filter(|row| row.verdict == Verdict::Low).collect();
    let names: Vec<_> = low.iter().map(|row| row.name).collect();
    assert_eq!(names, ["backlog", "syn backlog", "tcp buffers", "conntrack", "local ports", "file watches"]);
    assert!(low.iter().all(|row| row.remedies.iter().all(|remedy| remedy.contains("sysctl -w"))));
    // One that tracks is full when it is full.
    let machine = Machine { conntrack_used: Some(1), ..host.machine };
    let host = Host { machine, ..host };
    assert!(!host.diagnose(1_000_000).passed());
    assert_eq!(host.diagnose(1).capacity.one_table, Some(65_535));
}

#[test]
fn the_remedies_are_enough() {
    let host = Host { machine: Machine { descriptors: Some(1_000_512), ..big().machine }, ..big() };
    assert_eq!(row(&host, 1_000_000, "open files").verdict, Verdict::Enough);
    assert_eq!(row(&host, 1_000_001, "open files").verdict, Verdict::Short);
}

#[test]
fn a_machine_that_says_nothing_is_unknown_and_absurd_numbers_do_not_overflow() {
    let found = Host::default().diagnose(1_000_000);
    assert!(found.passed() && found.rows.iter().all(|row| row.verdict == Verdict::Unknown), "{found:?}");
    assert_eq!(found.capacity, Capacity::default());
    assert!(found.text(Paint::COLOUR).contains("unknown"));
    for machine in [big().machine, Machine { descriptors: Some(513), ..big().machine }] {
        Host { machine, ..big() }.diagnose(u64::MAX).text(Paint::PLAIN);
    }
}

#[test]
fn json_has_what_the_text_has() {
    let host = Host { machine: Machine { descriptors: Some(20_000), ..big().machine }, ..big() };
    let json: serde_json::Value = serde_json::from_str(&host.diagnose(100_000).json()).unwrap();
    assert_eq!(
        (&json["schema"], &json["connections"], &json["passed"]),
        (&1.into(), &100_000.into(), &false.into())
    );
    assert_eq!(json["possible"]["one_table"], 19_488);
    let first = &json["limits"][0];
    assert_eq!((&first["name"], &first["verdict"]), (&"open files".into(), &"short".into()));
    assert!(first["remedies"][0].as_str().unwrap().starts_with("ulimit -Hn 100512"));
    let nothing: serde_json::Value = serde_json::from_str(&Host::default().diagnose(1).json()).unwrap();
    assert!(nothing["possible"]["one_table"].is_null());
}

#[test]
fn garbage_in_proc_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("proc/self/limits", "Max open files\n"),
        ("proc/self/status", "Cpus_allowed_list:\t3-1\n"),
        ("proc/sys/kernel/osrelease", "six\n"),
        ("proc/sys/net/ipv4/tcp_congestion_control", " \n"),
        ("proc/sys/fs/inotify/max_user_watches", "-1\n"),
    ] {
        write(folder.path(), path, text);
    }
    assert_eq!(Host::read_below(folder.path()), Host::default());
}

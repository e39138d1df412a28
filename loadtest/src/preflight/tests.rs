use super::*;
use crate::made_up::{self, write};

/// A machine with room for everything.
fn big() -> Machine {
    Machine {
        descriptors: Some(1_048_576),
        nr_open: Some(1_048_576),
        file_max: Some(10_000_000),
        files_open: Some(2000),
        ports: Some((1024, 65_535)),
        memory_available: Some(64_000_000_000),
        memory_allowed: None,
        page: Some(4096),
        tcp_pages: Some((3_000_000, 4_000_000)),
        somaxconn: Some(4096),
        conntrack_max: None,
        conntrack_used: None,
        max_map_count: Some(65_530),
    }
}

fn million() -> Need {
    Need {
        connections: 1_000_000,
        shards: 2,
        private_tables: false,
        sources: 16,
        destinations: 1,
        ports: None,
        local: false,
        stream: true,
    }
}

fn row(need: &Need, machine: &Machine, name: &str) -> Row {
    let rows = check(need, machine).rows;
    rows.into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
fn a_big_machine_has_enough_of_everything() {
    let found = check(&million(), &big());
    assert!(found.passed() && !found.is_remarkable(), "{found:?}");
    assert!(
        found.rows.iter().all(|row| row.verdict == Verdict::Enough && row.remedies.is_empty()),
        "{found:?}"
    );
}

#[test]
fn what_falls_short_is_said_with_the_command_that_mends_it() {
    let machine = Machine { ports: Some((32_768, 60_999)), ..big() };
    let found = check(&Need { sources: 4, ..million() }, &machine);
    assert!(!found.passed());
    assert_eq!(
        found.text(Paint::PLAIN),
        "\
preflight
  open files   need 1,000,512  have 1,048,576                              ok
  all files    need 1,000,512  have 9,998,000                              ok
  local ports  need 1,000,000  have 28,232 × 4 addresses = 112,928         NOT ENOUGH
    sudo sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"
    and give 16 source addresses of this machine: --src 10.0.1.0/28
  memory       about 3.68 GB kernel+user (estimate)  have 64.0 GB          ok
  tcp buffers  up to 4.10 GB if all have data on their way  have 16.4 GB   ok
"
    );
}

#[test]
fn sixty_four_connections_fit_anywhere() {
    let machine = Machine {
        descriptors: Some(1024),
        ports: Some((32_768, 60_999)),
        memory_available: Some(500_000_000),
        memory_allowed: Some(250_000_000),
        tcp_pages: Some((3000, 4000)),
        conntrack_max: Some(65_536),
        somaxconn: Some(128),
        ..big()
    };
    let found = check(&Need::of(&made_up::plan()), &machine);
    assert!(!found.is_remarkable(), "{}", found.text(Paint::PLAIN));
}

#[test]
fn a_low_limit_of_files_can_be_raised_or_got_around() {
    let machine = Machine { descriptors: Some(20_000), ..big() };
    let found = row(&million(), &machine, "open files");
    assert_eq!((found.verdict, &*found.text), (Verdict::Short, "need 1,000,512  have 20,000"));
    assert_eq!(
        found.remedies,
        [
            "sudo prlimit --pid $$ --nofile=1000512:1000512",
            "or give each of 52 shards a table of its own: -t 52"
        ]
    );
    let machine = Machine { nr_open: Some(65_536), ..machine };
    assert_eq!(row(&million(), &machine, "open files").remedies[0], "sudo sysctl -w fs.nr_open=1000512");
}

#[test]
fn private_tables_multiply_the_limit() {
    let machine = Machine { descriptors: Some(20_000), ..big() };
    let need = Need { shards: 54, private_tables: true, ..million() };
    let found = row(&need, &machine, "open files");
    assert_eq!((found.verdict, &*found.text), (Verdict::Enough, "need 19,031 × 54 tables  have 20,000 each"));
    let need = Need { shards: 50, ..need };
    let found = row(&need, &machine, "open files");
    assert_eq!(found.verdict, Verdict::Short);
    assert!(found.remedies.contains(&"or give each of 52 shards a table of its own: -t 52".to_owned()));
}

#[test]
fn the_remedies_are_enough() {
    // Whatever is short, a machine that did as it was told is not.
    let machine = Machine { descriptors: Some(20_000), ports: Some((40_000, 49_999)), ..big() };
    let need = Need { shards: 52, private_tables: true, ..million() };
    assert_eq!(row(&need, &machine, "open files").verdict, Verdict::Enough);
    let widened = Machine { ports: Some((1024, 65_535)), ..machine };
    assert_eq!(row(&need, &widened, "local ports").verdict, Verdict::Enough);
    assert_eq!(row(&Need { sources: 15, ..need }, &widened, "local ports").verdict, Verdict::Short);
}

#[test]
fn both_ends_on_one_machine_take_twice_as_much() {
    let need = Need { local: true, ..million() };
    assert_eq!(row(&need, &big(), "all files").text, "need 2,001,024  have 9,998,000");
    assert!(row(&need, &big(), "memory").text.starts_with("about 7.30 GB"));
    let short = Machine { file_max: Some(1_500_000), somaxconn: Some(128), ..big() };
    assert_eq!(row(&need, &short, "all files").remedies, ["sudo sysctl -w fs.file-max=2003024"]);
    assert_eq!(row(&need, &short, "backlog").verdict, Verdict::Low);
    assert!(check(&million(), &short).rows.iter().all(|row| row.name != "backlog"));
}

#[test]
fn ports_count_for_each_source_and_destination() {
    let need = Need { sources: 2, destinations: 3, ports: Some(50_000), connections: 300_000, ..million() };
    let found = row(&need, &big(), "local ports");
    assert_eq!(
        (found.verdict, &*found.text),
        (Verdict::Enough, "need 300,000  have 50,000 × 2 × 3 addresses = 300,000")
    );
    let found = row(&Need { connections: 300_001, ..need.clone() }, &big(), "local ports");
    // The client chooses its ports: the kernel's range is no remedy.
    assert_eq!(found.remedies, ["give 3 source addresses of this machine: --src 10.0.1.0/30"]);
    let loopback = Need { local: true, sources: 1, destinations: 1, ..need };
    assert_eq!(row(&loopback, &big(), "local ports").remedies, ["give 6 source addresses: --src auto"]);
}

#[test]
fn memory_is_what_machine_and_container_leave() {
    let machine = Machine { memory_available: Some(3_000_000_000), ..big() };
    let found = row(&million(), &machine, "memory");
    assert_eq!(
        (found.verdict, &*found.text),
        (Verdict::Short, "about 3.68 GB kernel+user (estimate)  have 3.00 GB")
    );
    assert_eq!(found.remedies, ["or take fewer connections: -c 810000"]);
    let machine = Machine { memory_allowed: Some(1_000_000_000), ..big() };
    let found = row(&million(), &machine, "memory");
    assert_eq!(found.verdict, Verdict::Low, "an estimate, and the machine has it");
    assert_eq!(found.remedies[0], "raise the memory limit of this container (control group)");
    assert_eq!(
        row(&million(), &Machine { memory_available: None, ..big() }, "memory").verdict,
        Verdict::Unknown
    );
}

#[test]
fn a_firewall_counts_only_if_there_is_one() {
    let machine = Machine { conntrack_max: Some(262_144), conntrack_used: Some(1000), ..big() };
    let found = row(&million(), &machine, "conntrack");
    assert_eq!(found.verdict, Verdict::Short);
    assert_eq!(found.remedies, ["sudo sysctl -w net.netfilter.nf_conntrack_max=1001000"]);
    // One that keeps nothing is there, and not in use.
    let machine = Machine { conntrack_used: Some(0), ..machine };
    assert_eq!(row(&million(), &machine, "conntrack").verdict, Verdict::Low);
    assert!(check(&million(), &machine).passed());
}

#[test]
fn tcp_buffers_that_are_small_are_no_reason_not_to_begin() {
    let machine = Machine { tcp_pages: Some((383_868, 575_802)), ..big() };
    let found = check(&million(), &machine);
    assert!(found.passed() && found.is_remarkable());
    let row = row(&million(), &machine, "tcp buffers");
    assert_eq!(row.remedies, ["sudo sysctl -w net.ipv4.tcp_mem=\"500000 750000 1000000\""]);
}

#[test]
fn a_machine_that_says_nothing_keeps_nobody_from_trying() {
    let found = check(&million(), &Machine::default());
    assert!(found.passed() && found.rows.iter().all(|row| row.verdict == Verdict::Unknown), "{found:?}");
}

#[test]
fn absurd_needs_do_not_overflow() {
    let need = Need {
        connections: u64::MAX,
        shards: u64::MAX,
        sources: u64::MAX,
        destinations: u64::MAX,
        local: true,
        ..million()
    };
    for private_tables in [false, true] {
        check(&Need { private_tables, ..need.clone() }, &big()).text(Paint::COLOUR);
    }
    let need = Need { connections: u64::MAX, shards: 0, sources: 0, destinations: 0, ..need };
    check(&need, &big()).text(Paint::PLAIN);
    check(&need, &Machine { descriptors: Some(0), ports: Some((9, 1)), ..big() }).text(Paint::PLAIN);
}

#[test]
fn many_threads_need_mappings() {
    let need = Need { shards: 20_000, ..million() };
    assert_eq!(row(&need, &big(), "mappings").remedies, ["sudo sysctl -w vm.max_map_count=82000"]);
}

#[test]
fn what_there_is_stands_in_proc() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(Machine::read_below(root), Machine::default());
    for (path, text) in [
        (
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            1024                 20000                files     \n",
        ),
        ("proc/self/smaps", "55 r--p\nSize: 4 kB\nKernelPageSize:       16 kB\n"),
        ("proc/meminfo", "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n"),
        ("proc/self/cgroup", "0::/user/run\n"),
        ("sys/fs/cgroup/user/run/memory.max", "max\n"),
        ("sys/fs/cgroup/user/memory.max", "4000\n"),
        ("sys/fs/cgroup/user/memory.current", "3000\n"),
        ("sys/fs/cgroup/user/memory.stat", "anon 2000\ninactive_file 1000\n"),
        ("proc/sys/fs/nr_open", "1048576\n"),
        ("proc/sys/fs/file-max", "9223372036854775807\n"),
        ("proc/sys/fs/file-nr", "2764\t0\t9223372036854775807\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        ("proc/sys/net/ipv4/tcp_mem", "287901\t383868\t575802\n"),
        ("proc/sys/net/core/somaxconn", "4096\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
        ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
        ("proc/sys/vm/max_map_count", "65530\n"),
    ] {
        write(root, path, text);
    }
    assert_eq!(
        Machine::read_below(root),
        Machine {
            descriptors: Some(20_000),
            nr_open: Some(1_048_576),
            file_max: Some(i64::MAX as u64),
            files_open: Some(2764),
            ports: Some((32_768, 60_999)),
            memory_available: Some(20_480_000_000),
            memory_allowed: Some(2000),
            page: Some(16_384),
            tcp_pages: Some((383_868, 575_802)),
            somaxconn: Some(4096),
            conntrack_max: Some(262_144),
            conntrack_used: Some(12),
            max_map_count: Some(65_530),
        }
    );
}

#[test]
fn the_tightest_group_counts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "proc/self/cgroup", "0::/outer/inner\n");
    for (group, limit) in [("outer", 3000), ("outer/inner", 5000)] {
        write(root, &format!("sys/fs/cgroup/{group}/memory.max"), &limit.to_string());
        write(root, &format!("sys/fs/cgroup/{group}/memory.current"), "1000");
    }
    assert_eq!(Machine::read_below(root).memory_allowed, Some(2000));
    write(root, "sys/fs/cgroup/outer/inner/memory.max", "1500");
    assert_eq!(Machine::read_below(root).memory_allowed, Some(500));
}

#[test]
fn groups_of_the_first_version_set_limits_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "proc/self/cgroup", "5:cpu,memory:/docker/abc\n0::/\n");
    // In a container the group itself is the top.
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1500\n");
    write(root, "sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
    assert_eq!(Machine::read_below(root).memory_allowed, Some(4000));
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(Machine::read_below(root).memory_allowed, None);
}

#[test]
fn garbage_in_proc_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("proc/self/limits", "Max open files lots more files\n"),
        ("proc/meminfo", "MemAvailable: much\n"),
        ("proc/self/cgroup", "what\n0::/../..\n:memory\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "1 99999999\n"),
        ("proc/sys/net/ipv4/tcp_mem", "1 2\n"),
        ("proc/sys/fs/nr_open", "-1\n"),
    ] {
        write(folder.path(), path, text);
    }
    assert_eq!(Machine::read_below(folder.path()), Machine::default());
}

#[test]
fn this_machine_can_be_read() {
    let machine = Machine::read();
    if cfg!(target_os = "linux") {
        assert!(machine.descriptors.is_some() && machine.memory_available.is_some(), "{machine:?}");
    }
    check(&Need::of(&made_up::plan()), &machine);
}

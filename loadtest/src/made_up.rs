//! Runs and machines that never were, for tests of what is said about them.

use crate::{
    Outcome, Plan, Tally,
    plan::{Pace, Scheme, Target},
    stats::{Connections, Ended, Sample, Usage},
};
use std::{fs, path::Path, time::Duration};

/// Ten seconds in a closed loop over HTTP, with 64 connections.
pub(crate) fn plan() -> Plan {
    let target = Target {
        scheme: Scheme::Http,
        authority: "127.0.0.1:8080".to_owned(),
        path: "/".to_owned(),
        addrs: vec!["127.0.0.1:8080".parse().expect("an address")],
    };
    Plan { shards: 2, ..Plan::new(target) }
}

/// [`plan`] in an open loop.
pub(crate) fn open_plan(rate: f64) -> Plan {
    Plan { pace: Pace::Open { rate }, ..plan() }
}

/// So many requests in ten seconds, all of them well: 300 µs to 2 ms, and the last one 12 ms.
pub(crate) fn outcome(requests: u64) -> Outcome {
    let mut tally = Tally {
        connections: Connections {
            requested: 64,
            established: 64,
            failed: 0,
            under_way: 0,
            lost: 0,
            answered: 64,
            renewed: 0,
        },
        sent: requests,
        completed: requests,
        statuses: [0, 0, requests, 0, 0, 0],
        bytes_sent: requests * 40,
        bytes_received: requests * 120,
        ..Tally::default()
    };
    let recorded = requests.min(10_000);
    for number in 0..recorded {
        let share = number as f64 / recorded as f64;
        let service = Duration::from_secs_f64(0.0003 + 0.0017 * share.powi(20));
        tally.service.record(service);
        tally.response.record(if number + 1 == recorded { service * 6 } else { service });
    }
    for _ in 0..64 {
        tally.connect.record(Duration::from_micros(150));
    }
    Outcome {
        tally,
        connecting: Duration::from_millis(20),
        elapsed: Duration::from_secs(10),
        asked: Duration::from_secs(10),
        ended: Ended::Done,
        samples: samples(10, 64, requests / 10),
        client: Usage { cpu: Duration::from_secs(4), memory: 3_121_600, memory_before: 3_000_000 },
        server: None,
        held: None,
        client_busy: 0.41,
    }
}

/// So many seconds that differ a little.
pub(crate) fn samples(seconds: u64, open: u64, completed: u64) -> Vec<Sample> {
    let second = |at: u64| Sample {
        at: Duration::from_secs(at),
        open,
        completed: completed + completed * (at * 7 % 11) / 100,
        failed: 0,
        received: 0,
        p50: Duration::from_micros(310 + at % 5),
        p99: Duration::from_micros(1900 + at * 37 % 400),
        max: Duration::from_micros(6000 + at * 101 % 3000),
    };
    (1..=seconds).map(second).collect()
}

/// A million WebSockets that are held, of which three broke.
pub(crate) fn million() -> (Plan, Outcome) {
    let mut plan = Plan { connections: 1_000_000, shards: 54, duration: Duration::from_secs(60), ..plan() };
    plan.target.scheme = Scheme::Ws;
    let mut outcome = Outcome {
        elapsed: Duration::from_secs(60),
        asked: Duration::ZERO,
        client: Usage { cpu: Duration::from_secs(30), memory: 350_000_000, memory_before: 40_000_000 },
        samples: samples(60, 1_000_000, 0),
        ..outcome(0)
    };
    outcome.tally.connections = Connections {
        requested: 1_000_000,
        established: 1_000_000,
        failed: 0,
        under_way: 0,
        lost: 3,
        answered: 0,
        renewed: 0,
    };
    (plan, outcome)
}

/// Writes a file of a machine's below `root`, as `proc/meminfo`.
pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

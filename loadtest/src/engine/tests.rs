//! What tests of the engine share.

use crate::plan::{Pace, Plan, Target};
use std::time::Duration;

/// One connection, one shard, a closed loop of a second.
pub(super) fn plan() -> Plan {
    Plan {
        duration: Duration::from_secs(1),
        pace: Pace::Closed { pipelined: 1 },
        ..Plan::new(Target::parse("http://127.0.0.1:1/").unwrap())
    }
}

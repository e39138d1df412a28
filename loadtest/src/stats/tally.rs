//! Counts of one shard, or of several.

use super::{Failures, Latency};

/// What has become of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// That were begun, each counted once, however often it was tried.
    pub requested: u64,
    /// That stood (for WebSocket: after the upgrade), each counted once.
    pub established: u64,
    /// That never stood: known at the end of a run.
    pub failed: u64,
    /// How often one that stood broke before the run's end.
    pub lost: u64,
    /// Made anew after one that was lost, or that its server had ended in order.
    pub renewed: u64,
}

/// What one shard counts; those of all shards are merged.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What has become of the connections.
    pub connections: Connections,
    /// Why connections and requests failed.
    pub failures: Failures,
    /// Requests (messages, datagrams) sent.
    pub sent: u64,
    /// Requests that were answered, whatever the answer.
    pub completed: u64,
    /// Answers by the first digit of their status; 0 is anything else.
    pub statuses: [u64; 6],
    /// Bytes sent, without those of TCP and below.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Open loop: requests that left more than a millisecond after their time.
    pub late: u64,
    /// Open loop: requests that were due by the end and for which no connection was free.
    pub unsent: u64,
    /// Requests that were on their way at the end.
    pub unanswered: u64,
    /// UDP and broadcasts: messages that never came.
    pub missing: u64,
    /// UDP and broadcasts: messages that came more than once.
    pub duplicated: u64,
    /// UDP: datagrams that came after a later one.
    pub reordered: u64,
    /// From the beginning of a connection until it stands.
    pub connect: Latency,
    /// From the time at which a request was to be sent (open loop), or was sent (closed loop), to its whole answer.
    pub response: Latency,
    /// From the time at which a request was sent to its whole answer.
    pub service: Latency,
}

impl Tally {
    /// Adds another's.
    pub fn merge(&mut self, other: &Tally) {
        let (own, others) = (&mut self.connections, &other.connections);
        own.requested += others.requested;
        own.established += others.established;
        own.failed += others.failed;
        own.lost += others.lost;
        own.renewed += others.renewed;
        self.failures.merge(&other.failures);
        self.sent += other.sent;
        self.completed += other.completed;
        for (own, other) in self.statuses.iter_mut().zip(other.statuses) {
            *own += other;
        }
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.late += other.late;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.connect.merge(&other.connect);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }
}

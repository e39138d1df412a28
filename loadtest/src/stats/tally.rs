//! Counts of one shard, or of several.

use super::{Cause, Failures, Latency};

/// What has become of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// That were begun, each counted once, however often it was tried.
    pub requested: u64,
    /// That stood (for WebSocket: after the upgrade), each counted once.
    pub established: u64,
    /// That were tried to the end and never stood: known at the end of a run.
    pub failed: u64,
    /// That were under way when the run ended, for the first time.
    pub under_way: u64,
    /// How often one that stood broke before the run's end.
    pub lost: u64,
    /// That have had an answer at least once, each counted once.
    pub answered: u64,
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
    /// Answers by the first digit of their status, where the protocol has one; 0 is anything else.
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
    /// From the time at which a request was to be sent (open loop), or was sent (closed loop), to its whole answer. Those
    /// that are [`unsent`](Self::unsent), and those of an open loop that are [`unanswered`](Self::unanswered), are among
    /// them, with the time for which they had waited at the end.
    pub response: Latency,
    /// From the time at which a request was sent to its whole answer.
    pub service: Latency,
    /// Broadcasts, if the run was about them.
    pub broadcast: Option<Box<Broadcast>>,
}

impl Tally {
    /// Adds another's.
    pub fn merge(&mut self, other: &Tally) {
        let (own, others) = (&mut self.connections, &other.connections);
        own.requested += others.requested;
        own.established += others.established;
        own.failed += others.failed;
        own.under_way += others.under_way;
        own.lost += others.lost;
        own.answered += others.answered;
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
        match (&mut self.broadcast, &other.broadcast) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
    }

    /// The share of what was tried that failed, 0 to 1: connections and requests, and answers that were not as
    /// expected. 0 if nothing was tried.
    pub fn error_rate(&self) -> f64 {
        let answered = Cause::ALL.into_iter().filter(|cause| cause.is_answered());
        let answered: u64 = answered.map(|cause| self.failures.count(cause)).sum();
        let tried = self.completed.max(answered) + self.failures.total() - answered;
        if tried == 0 { 0.0 } else { self.failures.total() as f64 / tried as f64 }
    }

    /// The share of the requests that left late, 0 to 1.
    pub fn late_share(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.late as f64 / self.sent as f64 }
    }
}

/// Messages that the server gives to many at once. Each time is counted once a message and not once a receiver.
#[derive(Clone, Debug, Default)]
pub struct Broadcast {
    /// Messages that were published.
    pub published: u64,
    /// How often one of them should have come: for each message, so many as there were connections.
    pub expected: u64,
    /// How often one of them came, without those that came again.
    pub received: u64,
    /// From publishing to the first receiver.
    pub first: Latency,
    /// From publishing to the receiver in the middle.
    pub median: Latency,
    /// From publishing to the last receiver.
    pub last: Latency,
}

impl Broadcast {
    /// Adds another's.
    pub fn merge(&mut self, other: &Broadcast) {
        self.published += other.published;
        self.expected += other.expected;
        self.received += other.received;
        self.first.merge(&other.first);
        self.median.merge(&other.median);
        self.last.merge(&other.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn merging_adds_everything() {
        let mut tally = Tally {
            connections: Connections {
                requested: 1,
                established: 2,
                failed: 3,
                under_way: 18,
                lost: 4,
                answered: 17,
                renewed: 14,
            },
            sent: 5,
            completed: 6,
            statuses: [7; 6],
            bytes_sent: 8,
            bytes_received: 9,
            late: 10,
            unsent: 15,
            unanswered: 16,
            missing: 11,
            duplicated: 12,
            reordered: 13,
            ..Tally::default()
        };
        tally.failures.add(Cause::Reset);
        let mut broadcast = Broadcast { published: 1, expected: 2, received: 3, ..Broadcast::default() };
        for (latency, microseconds) in
            [(&mut broadcast.first, 1), (&mut broadcast.median, 2), (&mut broadcast.last, 3)]
        {
            latency.record(Duration::from_micros(microseconds));
        }
        tally.broadcast = Some(Box::new(broadcast));
        for (latency, microseconds) in
            [(&mut tally.connect, 1), (&mut tally.response, 2), (&mut tally.service, 3)]
        {
            latency.record(Duration::from_micros(microseconds));
        }
        let mut both = Tally::default();
        both.merge(&tally);
        both.merge(&tally);
        both.merge(&Tally::default());

        assert_eq!(
            both.connections,
            Connections {
                requested: 2,
                established: 4,
                failed: 6,
                under_way: 36,
                lost: 8,
                answered: 34,
                renewed: 28
            }
        );
        assert_eq!((both.sent, both.completed, both.statuses), (10, 12, [14; 6]));
        assert_eq!((both.bytes_sent, both.bytes_received, both.late), (16, 18, 20));
        assert_eq!((both.unsent, both.unanswered), (30, 32));
        assert_eq!((both.missing, both.duplicated, both.reordered), (22, 24, 26));
        assert_eq!(both.failures.total(), 2);
        let broadcast = both.broadcast.unwrap();
        assert_eq!((broadcast.published, broadcast.expected, broadcast.received), (2, 4, 6));
        let latencies =
            [both.connect, both.response, both.service, broadcast.first, broadcast.median, broadcast.last];
        for (latency, microseconds) in latencies.iter().zip([1, 2, 3, 1, 2, 3]) {
            assert_eq!((latency.count(), latency.mean()), (2, Duration::from_micros(microseconds)));
        }
    }

    #[test]
    fn errors_are_a_share_of_what_was_tried() {
        let mut tally = Tally::default();
        assert_eq!(tally.error_rate(), 0.0);
        tally.completed = 6;
        tally.failures.add(Cause::Timeout);
        tally.failures.add(Cause::Refused);
        // This one is among those that were answered.
        tally.failures.add(Cause::Status);
        assert_eq!(tally.error_rate(), 3.0 / 8.0);
        assert_eq!(tally.late_share(), 0.0);
    }

    #[test]
    fn everything_failing_is_all_of_it() {
        let mut tally = Tally::default();
        tally.failures.add(Cause::Refused);
        assert_eq!(tally.error_rate(), 1.0);
    }
}

//! Why something failed.

/// Why a connection or a request failed; the report counts by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Nobody listens at the address (ECONNREFUSED).
    Refused,
    /// No connection within the timeout.
    ConnectTimeout,
    /// No route, or the network is down.
    Unreachable,
    /// The client had no descriptor, port or memory left for it.
    ClientLimit,
    /// The peer reset the connection (ECONNRESET, EPIPE).
    Reset,
    /// The peer closed the connection though an answer was due.
    Closed,
    /// No answer within the timeout.
    Timeout,
    /// What came is not the protocol.
    Garbage,
    /// The server did not upgrade to WebSocket.
    Handshake,
    /// An answer with another status than `--expect-status`.
    Status,
    /// An answer with another body than `--expect-body`, or an echo that differs.
    Body,
    /// Anything else.
    Other,
}

impl Cause {
    /// All, in the order of the report.
    pub const ALL: [Cause; 12] = [
        Cause::Refused,
        Cause::ConnectTimeout,
        Cause::Unreachable,
        Cause::ClientLimit,
        Cause::Reset,
        Cause::Closed,
        Cause::Timeout,
        Cause::Garbage,
        Cause::Handshake,
        Cause::Status,
        Cause::Body,
        Cause::Other,
    ];
}

/// How often what happened, and one example of each in words.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    counts: [u64; Cause::ALL.len()],
}

impl Failures {
    /// Counts one.
    #[inline]
    pub fn add(&mut self, cause: Cause) {
        self.counts[cause as usize] += 1;
    }

    /// How many there were of it.
    pub fn count(&self, cause: Cause) -> u64 {
        self.counts[cause as usize]
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Failures) {
        for (own, other) in self.counts.iter_mut().zip(other.counts) {
            *own += other;
        }
    }
}

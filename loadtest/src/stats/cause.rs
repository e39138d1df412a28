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

    /// In the words of the report.
    pub fn text(self) -> &'static str {
        match self {
            Cause::Refused => "connection refused",
            Cause::ConnectTimeout => "connect timed out",
            Cause::Unreachable => "unreachable",
            Cause::ClientLimit => "limit of this client",
            Cause::Reset => "reset by the server",
            Cause::Closed => "closed by the server",
            Cause::Timeout => "answer timed out",
            Cause::Garbage => "not the protocol",
            Cause::Handshake => "handshake refused",
            Cause::Status => "unexpected status",
            Cause::Body => "unexpected body",
            Cause::Other => "other",
        }
    }

    /// As programs name it, in JSON; it does not change.
    pub fn id(self) -> &'static str {
        match self {
            Cause::Refused => "refused",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::Unreachable => "unreachable",
            Cause::ClientLimit => "client_limit",
            Cause::Reset => "reset",
            Cause::Closed => "closed",
            Cause::Timeout => "timeout",
            Cause::Garbage => "garbage",
            Cause::Handshake => "handshake",
            Cause::Status => "status",
            Cause::Body => "body",
            Cause::Other => "other",
        }
    }

    /// Whether the request was answered all the same, only not as expected.
    pub fn is_answered(self) -> bool {
        matches!(self, Cause::Status | Cause::Body)
    }
}

/// How often what happened, and one example of each in words.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    counts: [u64; Cause::ALL.len()],
    /// At most one for each cause.
    examples: Vec<(Cause, Box<str>)>,
}

impl Failures {
    /// The longest example that is kept, in bytes.
    pub const LONGEST_EXAMPLE: usize = 200;

    /// Counts one.
    #[inline]
    pub fn add(&mut self, cause: Cause) {
        self.counts[cause as usize] += 1;
    }

    /// Counts one, and keeps what is said of it if it is the first of its cause: up to
    /// [`LONGEST_EXAMPLE`](Self::LONGEST_EXAMPLE) bytes. `example` is called for that one alone.
    pub fn add_with(&mut self, cause: Cause, example: impl FnOnce() -> String) {
        self.add(cause);
        if self.example(cause).is_none() {
            let mut text = example();
            text.truncate(text.floor_char_boundary(Self::LONGEST_EXAMPLE));
            self.examples.push((cause, text.into_boxed_str()));
        }
    }

    /// How many there were of it.
    pub fn count(&self, cause: Cause) -> u64 {
        self.counts[cause as usize]
    }

    /// What was said of the first of it, if anything was. It may come from the peer: who prints it has to escape it.
    pub fn example(&self, cause: Cause) -> Option<&str> {
        self.examples.iter().find(|(of, _)| *of == cause).map(|(_, text)| &**text)
    }

    /// The causes that there were, with their counts, in the order of the report.
    pub fn causes(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().map(|cause| (cause, self.count(cause))).filter(|(_, count)| *count > 0)
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
        for (cause, text) in &other.examples {
            if self.example(*cause).is_none() {
                self.examples.push((*cause, text.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_at_their_places() {
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
            let others = Cause::ALL.into_iter().filter(|other| *other != cause);
            assert!(others.clone().all(|other| other.id() != cause.id() && other.text() != cause.text()));
        }
    }

    #[test]
    fn the_first_example_of_each_cause_is_kept() {
        let mut failures = Failures::default();
        failures.add_with(Cause::Reset, || "first".to_owned());
        failures.add_with(Cause::Reset, || unreachable!("one is enough"));
        failures.add(Cause::Closed);
        assert_eq!((failures.count(Cause::Reset), failures.example(Cause::Reset)), (2, Some("first")));
        assert_eq!((failures.count(Cause::Closed), failures.example(Cause::Closed)), (1, None));
        let found: Vec<_> = failures.causes().collect();
        assert_eq!(found, [(Cause::Reset, 2), (Cause::Closed, 1)]);
    }

    #[test]
    fn an_example_is_cut_between_characters() {
        let mut failures = Failures::default();
        failures.add_with(Cause::Other, || "€".repeat(1000));
        let example = failures.example(Cause::Other).unwrap();
        assert!(example.len() <= Failures::LONGEST_EXAMPLE && example.chars().all(|c| c == '€'));
    }

    #[test]
    fn merging_adds_counts_and_fills_in_examples() {
        let (mut one, mut other) = (Failures::default(), Failures::default());
        one.add(Cause::Refused);
        one.add_with(Cause::Reset, || "mine".to_owned());
        other.add_with(Cause::Refused, || "theirs".to_owned());
        other.add_with(Cause::Reset, || "theirs".to_owned());
        one.merge(&other);
        assert_eq!((one.total(), one.count(Cause::Refused), one.count(Cause::Reset)), (4, 2, 2));
        assert_eq!((one.example(Cause::Refused), one.example(Cause::Reset)), (Some("theirs"), Some("mine")));
    }
}

//! What a run is to do.

use crate::{RequestList, sources::Network, template::Template};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The protocol of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// WebSocket.
    Ws,
    /// Bytes that come back.
    Tcp,
    /// Datagrams that come back.
    Udp,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The protocol.
    pub scheme: Scheme,
    /// Host and port as written, for the `Host` field.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The host's addresses; connections are spread over them.
    pub addrs: Vec<SocketAddr>,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection sends its next request when the last one is answered: `pipelined` at a time. Latencies leave out
    /// the time that requests would have waited for their turn.
    Closed {
        /// Requests that are on their way at a time on one connection.
        pipelined: usize,
    },
    /// So many a second over all connections, at times that are fixed beforehand; latencies count from these.
    Open {
        /// Requests a second.
        rate: f64,
    },
    /// Nothing is asked once a connection stands.
    Silent,
}

/// What requests ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Asked {
    /// The target's path, as it is.
    #[default]
    Target,
    /// A path and query with placeholders.
    Template(Template),
    /// The lines of a list, in turn; for HTTP alone.
    List(Arc<RequestList>),
}

/// What an HTTP request says.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// The method; a list's lines may name others.
    pub method: String,
    /// What is asked for; also by the handshakes of WebSockets.
    pub asked: Asked,
    /// Fields beside `Host` and `Content-Length`, which are made up if they are not among these.
    pub headers: Vec<(String, Template)>,
    /// The body. Lines of a list that name a method which means nothing with a body are sent without it.
    pub body: Template,
    /// A connection for each request: says `Connection: close`.
    pub close: bool,
    /// Another status is a failure.
    pub expect_status: Option<u16>,
    /// Another body is a failure.
    pub expect_body: Option<Vec<u8>>,
}

impl Default for HttpRequest {
    /// A GET that expects nothing.
    fn default() -> Self {
        HttpRequest {
            method: "GET".to_owned(),
            asked: Asked::Target,
            headers: Vec::new(),
            body: Template::default(),
            close: false,
            expect_status: None,
            expect_body: None,
        }
    }
}

/// A stretch of time, at whose end there are so many connections; their number changes evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// How long.
    pub time: Duration,
    /// Connections at its end.
    pub connections: usize,
}

/// What is special about WebSockets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WsPlan {
    /// The text that is sent first on each of them; its placeholders become what they become in the handshake.
    pub open: Option<Template>,
    /// How often each of them pings; one whose pong has not come by the next ping is lost.
    pub ping: Option<Duration>,
    /// Messages that the server is to give to all of them.
    pub publish: Option<Publish>,
}

/// Messages that a server gives to many. One more connection sends them as text, and all others receive them.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Messages a second.
    pub rate: f64,
    /// How long.
    pub time: Duration,
    /// Messages at most.
    pub messages: Option<u64>,
    /// What is sent, with the message in the place of [`Publish::MESSAGE`]; `None` sends the message alone. What comes
    /// to the receivers has to contain the message, within its first 1024 bytes.
    pub trigger: Option<String>,
}

impl Publish {
    /// The place of the message in a [trigger](Publish::trigger).
    pub const MESSAGE: &str = "{message}";

    /// Without its message, nobody would know what was received.
    fn loses_its_message(&self) -> bool {
        let place = self.trigger.as_ref().map(|trigger| trigger.find(Publish::MESSAGE));
        place.is_some_and(|place| place.is_none_or(|place| place > 512))
    }
}

/// What is done with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// They are made, in stages.
    Grow,
    /// Nothing.
    Hold,
    /// Requests are sent and answered.
    Ask,
    /// Messages are published and received.
    Publish,
}

/// Bytes of the longest datagram.
const UDP_AT_MOST: usize = 65_507;
/// Bytes of the longest message.
const SIZE_AT_MOST: usize = 16 << 20;

/// Where connections come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The kernel chooses address and port; for more than 10,000 connections to this machine's loopback, addresses of
    /// 127.77.0.0/16 are taken in turn.
    #[default]
    Auto,
    /// Addresses of this machine, in turn, with ports from 10,000 on.
    Network(Network),
}

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub target: Target,
    /// The most connections at a time.
    pub connections: usize,
    /// How their number grows and shrinks; none for all at once.
    pub stages: Vec<Stage>,
    /// Connections that are begun a second at most.
    pub connect_rate: Option<f64>,
    /// Event loops, each on a thread of its own.
    pub shards: usize,
    /// How long to measure.
    pub duration: Duration,
    /// Ends the run after so many requests.
    pub requests: Option<u64>,
    /// Time before the measuring begins.
    pub warmup: Duration,
    /// How requests follow each other.
    pub pace: Pace,
    /// What a request says, if the target speaks HTTP.
    pub http: HttpRequest,
    /// For a connection to stand, and for an answer.
    pub timeout: Duration,
    /// Where connections come from.
    pub source: Source,
    /// Gives each thread a descriptor table of its own, so that the limit on open files holds for each of them; Linux
    /// only.
    pub private_descriptors: bool,
    /// Bytes of a message or datagram that is to come back.
    pub size: usize,
    /// How long connections only stand before anything is asked of them; with stages, from the end of these on.
    pub hold: Duration,
    /// What is special about WebSockets.
    pub ws: WsPlan,
    /// Counts the CPU time and memory of this process, the server's.
    pub server: Option<u32>,
}

impl Plan {
    /// 64 connections on one shard for ten seconds, each with one request at a time.
    pub fn new(target: Target) -> Self {
        Plan {
            target,
            connections: 64,
            stages: Vec::new(),
            connect_rate: None,
            shards: 1,
            duration: Duration::from_secs(10),
            requests: None,
            warmup: Duration::ZERO,
            pace: Pace::Closed { pipelined: 1 },
            http: HttpRequest::default(),
            timeout: Duration::from_secs(10),
            source: Source::Auto,
            private_descriptors: false,
            size: 64,
            hold: Duration::ZERO,
            ws: WsPlan::default(),
            server: None,
        }
    }

    /// What is done once connections stand, one after the other.
    pub(crate) fn parts(&self) -> Vec<(Part, Duration)> {
        let staged: Duration = self.stages.iter().map(|stage| stage.time).sum();
        let ask = (self.pace != Pace::Silent).then_some((Part::Ask, self.duration));
        let publish = self.ws.publish.as_ref().map(|publish| (Part::Publish, publish.time));
        let hold = match (ask, publish) {
            // It is all that they do.
            (None, None) if self.hold.is_zero() => self.duration.saturating_sub(staged),
            _ => self.hold,
        };
        // Requests are sent in the stages, too, unless something comes before.
        let grows = !staged.is_zero() && (!hold.is_zero() || (ask, publish) == (None, None));
        let grow = grows.then_some((Part::Grow, staged));
        let hold = (!hold.is_zero()).then_some((Part::Hold, hold));
        [grow, hold, ask, publish].into_iter().flatten().collect()
    }

    /// What is wrong with it, and what to write instead: [`Run::start`](crate::Run::start) refuses such a plan.
    pub fn fault(&self) -> Option<&'static str> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        match self.pace {
            _ if self.connections == 0 => Some("a run has at least one connection"),
            _ if u32::try_from(self.connections).is_err() => {
                Some("a run has at most 4,294,967,295 connections")
            }
            _ if self.shards == 0 => Some("a run has at least one thread"),
            _ if self.shards > self.connections => Some("a thread needs at least one connection"),
            _ if self.target.addrs.is_empty() => Some("a target has at least one address"),
            _ if self.connect_rate.is_some_and(|rate| !positive(rate)) => {
                Some("connections are begun at a rate above zero")
            }
            _ if !self.hold.is_zero() && self.stages.last().is_some_and(|stage| stage.connections == 0) => {
                Some("connections that are to stand after the stages are there in the last one")
            }
            _ if self.stages.iter().any(|stage| stage.connections > self.connections) => {
                Some("a stage has no more connections than the run")
            }
            _ if self.target.scheme != Scheme::Http && matches!(self.http.asked, Asked::List(_)) => {
                Some("a list of requests is for HTTP")
            }
            _ if self.timeout.is_zero() => Some("a timeout is longer than zero"),
            _ if self.target.scheme == Scheme::Udp && !(4..=UDP_AT_MOST).contains(&self.size) => {
                Some("a datagram has 4 to 65,507 bytes")
            }
            _ if self.size > SIZE_AT_MOST => Some("a message has at most 16 MiB"),
            _ if self.ws.ping.is_some_and(|every| every < Duration::from_millis(1)) => {
                Some("pings are at least a millisecond apart")
            }
            _ if self.ws.publish.as_ref().is_some_and(|publish| !positive(publish.rate)) => {
                Some("messages are published at a rate above zero")
            }
            _ if self.ws.publish.as_ref().is_some_and(Publish::loses_its_message) => {
                Some("what makes the server publish has {message} among its first 512 bytes")
            }
            Pace::Open { rate } if !positive(rate) => Some("requests are sent at a rate above zero"),
            Pace::Closed { pipelined: 0 } => Some("a connection has at least one request at a time"),
            _ => None,
        }
    }
}

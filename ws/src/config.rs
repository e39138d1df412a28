//! What a route asks of its connections.

use crate::{
    SocketMetrics, Topics,
    proto::{MessageKind, Rules, deflate::DeflateOptions},
};
use std::time::Duration;

/// Limits, deadlines and protocols of a route's connections, or of a client's.
///
/// ```
/// use lakh_ws::{Config, SlowConsumer};
/// use std::time::Duration;
///
/// let config = Config::new()
///     .max_message(64 * 1024)
///     .idle_timeout(Some(Duration::from_secs(120)))
///     .protocols(["chat.v2", "chat.v1"])
///     .slow_consumer(SlowConsumer::KeepLatest);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) only: Option<MessageKind>,
    pub(crate) max_frame: usize,
    pub(crate) max_message: usize,
    pub(crate) queue: usize,
    pub(crate) shard_queue: usize,
    pub(crate) shard_inbox: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) close_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) message_timeout: Duration,
    pub(crate) rate: u32,
    pub(crate) protocols: Vec<String>,
    pub(crate) origins: Origins,
    pub(crate) deflate: Option<DeflateOptions>,
    pub(crate) compress_from: usize,
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) max_subscriptions: usize,
    pub(crate) topics: Option<Topics>,
    pub(crate) metrics: Option<SocketMetrics>,
}

/// Which web pages may connect. Only browsers send the field (RFC 6455, 10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Those of the host that is asked (of the proxy, if that is trusted), and whoever says nothing.
    Same,
    Any,
    Listed(Vec<String>),
}

/// What becomes of a topic's message for a socket whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The socket does not get it.
    Drop,
    /// It takes the place of the topic's messages that the socket has not been sent yet: right for states, of which
    /// only the last one counts.
    KeepLatest,
    /// The socket is closed with 1013 (try again later), so that the client can start afresh.
    #[default]
    Close,
}

impl Config {
    /// The default: messages of 1 MiB, no subprotocol, pages of the same host, no compression, a queue of 1 MiB for each
    /// socket, 256 MiB for all of a shard in each direction, 60 s without a sign of life, peers that move 1,024 bytes a
    /// second.
    pub fn new() -> Self {
        let rules = Rules::server();
        Config {
            only: None,
            max_frame: rules.max_frame,
            max_message: rules.max_message,
            queue: 1 << 20,
            shard_queue: 256 << 20,
            shard_inbox: 256 << 20,
            idle_timeout: Some(Duration::from_secs(60)),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(20),
            rate: 1024,
            protocols: Vec::new(),
            origins: Origins::Same,
            deflate: None,
            compress_from: 64,
            slow_consumer: SlowConsumer::default(),
            max_subscriptions: 64,
            topics: None,
            metrics: None,
        }
    }

    /// Takes text and nothing else: whoever begins a binary message is closed with 1003 (RFC 6455, 7.4.1).
    pub fn text_only(mut self) -> Self {
        self.only = Some(MessageKind::Text);
        self
    }

    /// Takes binary messages and nothing else: whoever begins a text is closed with 1003.
    pub fn binary_only(mut self) -> Self {
        self.only = Some(MessageKind::Binary);
        self
    }

    /// The longest frame that is taken, in bytes of payload; more closes with 1009. By default as long as a message.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// The longest message that is taken, in bytes, inflated if it was compressed; more closes with 1009. 1 MiB by
    /// default.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Bytes that wait for a socket's peer at most, beside what the kernel holds. Sending goes on waiting, or fails,
    /// while there are as many; the last message may go beyond it. Topics' messages count with 40 bytes more for each that
    /// was not published together with others.
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Bytes of memory that wait for the peers of all sockets of a shard at most; the last message may go beyond it. A
    /// topic's message counts once, however many sockets it waits for. All routes of a shard fill the same measure, and
    /// each compares it with its own.
    pub fn shard_queue(mut self, bytes: usize) -> Self {
        self.shard_queue = bytes;
        self
    }

    /// A connection that has been silent for so long is cut; after half of that it is sent a ping, which every peer
    /// answers. In whole seconds, two at least. The pings take the place of TCP keepalive
    /// ([`Keepalive`](lakh_net::Keepalive)), which a server's socket turns off: a peer that has vanished is known to be gone
    /// after this time, whatever the listener's options say, as long as its messages are received. While a handler has not
    /// taken what has come, nothing more is read and nobody is pinged; only writing finds out then. `None`: it may be
    /// silent for ever, and a peer that has vanished is noticed by writing, or by the listener's keepalive.
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a peer has for its answer to a close frame, once it has taken that and all that is before it. In whole
    /// seconds, two at least.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Bytes of memory that what has come on a shard takes at most, as long as it is not received: messages of which a
    /// part has come, and whole ones whose handlers are busy. A socket with more than 1 KiB of it that would go beyond
    /// that is closed with 1013 (try again later). All routes of a shard fill the same measure, and each compares it with
    /// its own.
    pub fn shard_inbox(mut self, bytes: usize) -> Self {
        self.shard_inbox = bytes;
        self
    }

    /// How long a peer may fall behind [`rate`](Config::rate) in taking what waits for it; then the connection is cut. In
    /// whole seconds, two at least. 30 s by default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long a peer may fall behind [`rate`](Config::rate) in sending a message, from its first byte on; then it is
    /// closed with 1008 (policy). Pings between its frames do not count, nor does the time in which it is not read from.
    /// In whole seconds, two at least. 20 s by default.
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = timeout;
        self
    }

    /// The slowest peer that is waited for, in bytes per second: of a message that it has begun to send, and of what
    /// waits for it. 1,024 by default; with 0, any byte within [`message_timeout`](Config::message_timeout) or
    /// [`write_timeout`](Config::write_timeout) will do.
    pub fn rate(mut self, bytes_per_second: u32) -> Self {
        self.rate = bytes_per_second;
        self
    }

    /// The subprotocols that are spoken. The first of the client's that is among them is agreed on; a client that
    /// asks for none of them is served without one ([`Socket::protocol`](crate::Socket::protocol)).
    pub fn protocols<P: Into<String>>(mut self, names: impl IntoIterator<Item = P>) -> Self {
        self.protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The web pages that may connect, as `https://example.com`, in place of those of the same host; others are
    /// answered with 403. What sends no `Origin`, as no browser does, may connect all the same: this protects users
    /// of browsers, and is no authentication.
    pub fn origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.origins = Origins::Listed(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Lets pages of every origin connect: for what holds no user's data, or does not take cookies for a proof.
    pub fn any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    /// Agrees on permessage-deflate (RFC 7692) with peers that offer it.
    pub fn deflate(mut self, options: DeflateOptions) -> Self {
        self.deflate = Some(options);
        self
    }

    /// The shortest message that is compressed, in bytes: short ones grow. By default 64, which is what it always is for
    /// a topic's.
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.compress_from = bytes;
        self
    }

    /// What becomes of a topic's message for a socket whose queue is full.
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = policy;
        self
    }

    /// The topics that sockets of the route subscribe and publish to.
    pub fn topics(mut self, topics: &Topics) -> Self {
        self.topics = Some(topics.clone());
        self
    }

    /// What counts the route's sockets and their messages. Give it to one route, or to several that are to be counted
    /// together; without it nothing is counted.
    pub fn metrics(mut self, metrics: &SocketMetrics) -> Self {
        self.metrics = Some(metrics.clone());
        self
    }

    /// Topics that a socket may subscribe to at most.
    pub fn max_subscriptions(mut self, count: usize) -> Self {
        self.max_subscriptions = count;
        self
    }

    pub(crate) fn rules(&self, base: Rules, deflate: bool) -> Rules {
        Rules { only: self.only, deflate, max_frame: self.max_frame, max_message: self.max_message, ..base }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

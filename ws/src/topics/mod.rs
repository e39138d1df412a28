//! Messages for many: whoever is subscribed to a topic gets what is published to it.

mod frame;
mod local;
mod rounds;

use crate::{Message, Socket};
use frame::Encoded;
pub(crate) use frame::{Frame, QueuedFrame, WINDOW_BITS};
use lakh_core::ShardHandle;
use local::Topic;
pub(crate) use local::{LocalTopics, Subscriptions};
pub(crate) use rounds::Batch;
use std::{
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Topics that the sockets of all shards subscribe to, and anybody publishes to: a socket, a handler, any thread.
///
/// A message is made into a frame once (and compressed once, for sockets that take that), each shard with subscribers
/// is told once, and all sockets share the frame's bytes. What a socket's peer does not take waits in the socket's
/// queue; [`Config::queue`](crate::Config::queue), [`Config::shard_queue`](crate::Config::shard_queue) and
/// [`Config::slow_consumer`](crate::Config::slow_consumer) bound that.
///
/// The messages of one publisher come in its order, and those of its own shard before whatever it sends to a subscriber
/// after them. A socket that subscribes gets what reaches its shard from then on.
///
/// Make it outside of the server's factory, and give a clone to each shard:
///
/// ```
/// use lakh_http::{App, Server};
/// use lakh_ws::{Config, Topics, WebSocket, WebSocketRoutes};
///
/// let topics = Topics::new();
/// let config = Config::new().topics(&topics);
/// let server = Server::new(move |_shard| {
///     App::new().ws_with("/news", config.clone(), async |mut socket: WebSocket| {
///         if socket.subscribe("news").is_ok() {
///             while socket.recv().await.is_some() {}
///         }
///     })
/// });
/// topics.publish("news", "here it is");
/// ```
#[derive(Clone)]
pub struct Topics(Arc<Central>);

/// What all shards share.
pub(crate) struct Central {
    id: u64,
    state: Mutex<State>,
    relay: Option<Box<dyn Relay>>,
    /// There are sockets that take compressed messages.
    compresses: AtomicBool,
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct State {
    shards: Vec<Option<ShardHandle>>,
    /// Subscribers by shard.
    subscribers: HashMap<Arc<str>, Vec<usize>>,
}

/// Takes messages to other machines: what a message broker implements to join theirs to ours.
///
/// What comes back from there goes to [`Topics::deliver`].
pub trait Relay: Send + Sync + 'static {
    /// A message was published here. Called on the publisher's thread, which may be a shard's: it must not block.
    fn relay(&self, topic: &str, message: &Message);
}

/// Why a socket was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// It has as many subscriptions as it may: [`Config::max_subscriptions`](crate::Config::max_subscriptions).
    TooMany,
    /// Its route has no topics: [`Config::topics`](crate::Config::topics).
    NoTopics,
    /// It is closing or closed.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubscribeError::TooMany => "as many subscriptions as may be",
            SubscribeError::NoTopics => "the route has no topics",
            SubscribeError::Closed => "the connection is closed",
        })
    }
}

impl std::error::Error for SubscribeError {}

/// What has become of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicsMetrics {
    /// Messages published or delivered from elsewhere.
    pub published: u64,
    /// Queued for a socket, each counted for itself.
    pub delivered: u64,
    /// Not queued, since the socket or its shard had too much waiting or was closing.
    pub dropped: u64,
    /// Not taken by a shard whose mailbox was full.
    pub refused: u64,
}

impl Topics {
    /// Topics of this process alone.
    pub fn new() -> Self {
        Self::build(None)
    }

    /// Topics that other machines share through `relay`.
    pub fn with_relay(relay: impl Relay) -> Self {
        Self::build(Some(Box::new(relay)))
    }

    fn build(relay: Option<Box<dyn Relay>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Topics(Arc::new(Central {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            relay,
            compresses: AtomicBool::new(false),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Sends a message to all subscribers of a topic, and to the relay if there is one.
    ///
    /// It does not block: a shard whose mailbox is full misses the message, which [`TopicsMetrics::refused`] counts.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        let message = message.into();
        if let Some(relay) = &self.0.relay {
            relay.relay(topic, &message);
        }
        self.deliver(topic, message);
    }

    /// Sends a message to the subscribers in this process alone: what a relay does with those of other machines.
    pub fn deliver(&self, topic: &str, message: impl Into<Message>) {
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let own = LocalTopics::find(&self.0);
        let shards = self.0.shards_of(topic);
        if shards.is_empty() {
            return;
        }
        let encoded = Encoded::new(&message.into(), self.0.compresses.load(Ordering::Relaxed));
        let name: Arc<str> = topic.into();
        for (at, shard) in shards {
            match &own {
                Some(own) if own.shard() == at => own.deliver(topic, encoded.clone()),
                _ => {
                    let (central, name, encoded) = (Arc::clone(&self.0), Arc::clone(&name), encoded.clone());
                    let sent = shard.send(move |_| {
                        if let Some(local) = LocalTopics::find(&central) {
                            local.deliver(&name, encoded);
                        }
                    });
                    if sent.is_err() {
                        self.0.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// How many sockets are subscribed to a topic, on all shards.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0.lock().subscribers.get(topic).map_or(0, |shards| shards.iter().sum())
    }

    /// All topics that have subscribers, with how many. While it counts, it holds up whoever publishes or subscribes.
    pub fn counts(&self) -> Vec<(String, usize)> {
        let counts: Vec<(Arc<str>, usize)> = {
            let state = self.0.lock();
            state.subscribers.iter().map(|(name, shards)| (Arc::clone(name), shards.iter().sum())).collect()
        };
        counts.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    }

    /// What has become of the messages so far.
    pub fn metrics(&self) -> TopicsMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TopicsMetrics {
            published: read(&self.0.published),
            delivered: read(&self.0.delivered),
            dropped: read(&self.0.dropped),
            refused: read(&self.0.refused),
        }
    }

    /// This shard's part.
    pub(crate) fn local(&self, compresses: bool) -> Rc<LocalTopics> {
        if compresses {
            self.0.compresses.store(true, Ordering::Relaxed);
        }
        LocalTopics::of(&self.0)
    }
}

impl Default for Topics {
    fn default() -> Self {
        Topics::new()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("topics", &self.0.lock().subscribers.len()).finish_non_exhaustive()
    }
}

impl Central {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_shard(&self, handle: ShardHandle) -> usize {
        let mut state = self.lock();
        let at = state.shards.iter().position(Option::is_none).unwrap_or(state.shards.len());
        let len = state.shards.len().max(at + 1);
        state.shards.resize_with(len, || None);
        state.shards[at] = Some(handle);
        at
    }

    fn remove_shard(&self, at: usize) {
        let gone = self.lock().shards.get_mut(at).and_then(Option::take);
        drop(gone);
    }

    /// The shards with subscribers.
    fn shards_of(&self, topic: &str) -> Vec<(usize, ShardHandle)> {
        let state = self.lock();
        let Some(counts) = state.subscribers.get(topic) else { return Vec::new() };
        let has_any = |(at, count): (usize, &usize)| {
            if *count == 0 { None } else { Some((at, state.shards.get(at)?.clone()?)) }
        };
        counts.iter().enumerate().filter_map(has_any).collect()
    }

    fn count_subscriber(&self, topic: &Arc<str>, shard: usize, change: isize) {
        let mut state = self.lock();
        let counts = state.subscribers.entry(Arc::clone(topic)).or_default();
        counts.resize(counts.len().max(shard + 1), 0);
        counts[shard] = counts[shard].saturating_add_signed(change);
        if counts.iter().all(|count| *count == 0) {
            state.subscribers.remove(topic);
        }
    }

    fn count(&self, delivered: u64, dropped: u64) {
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
}

impl Socket {
    /// Publishes to the route's topics; its own subscription gets the message too. Nothing happens on a route without
    /// topics.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        if let Some(topics) = &self.0.terms.config.topics {
            topics.publish(topic, message);
        }
    }
}

/// What its [`Socket`] does with topics.
impl crate::WebSocket {
    /// See [`Socket::subscribe`].
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn subscribe(&self, topic: &str) -> Result<bool, SubscribeError> {
        self.socket().subscribe(topic)
    }

    /// See [`Socket::unsubscribe`].
    pub fn unsubscribe(&self, topic: &str) -> bool {
        self.socket().unsubscribe(topic)
    }

    /// See [`Socket::publish`].
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        self.socket().publish(topic, message);
    }
}

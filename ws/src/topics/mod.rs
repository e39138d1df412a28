//! Messages for many: whoever is subscribed to a topic gets what is published to it.

mod central;
mod frame;
mod local;
mod outbox;
mod pending;
mod rounds;
mod subscriptions;

use crate::{Message, Socket};
use central::Central;
use frame::Encoded;
pub(crate) use frame::{Frame, PLACE, QueuedFrame, WINDOW_BITS};
pub(crate) use local::LocalTopics;
use outbox::Letter;
use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
pub(crate) use subscriptions::Subscriptions;

/// Topics that the sockets of all shards subscribe to, and anybody publishes to: a socket, a handler, any thread.
///
/// A message is made into a frame once (and compressed once, for sockets that take that), each shard with subscribers
/// is told once, and all sockets share the frame's bytes. What a socket's peer does not take waits in the socket's
/// queue; [`Config::queue`](crate::Config::queue), [`Config::shard_queue`](crate::Config::shard_queue) and
/// [`Config::slow_consumer`](crate::Config::slow_consumer) bound that.
///
/// The messages of one publisher come in its order, also those of several topics at a socket that is subscribed to
/// them, and those of its own shard before whatever it sends to a subscriber after them. A socket that subscribes gets
/// what reaches its shard from then on.
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
/// topics.publish("news", "here it is")?;
/// # Ok::<(), lakh_ws::PublishError>(())
/// ```
#[derive(Clone)]
pub struct Topics(Arc<Central>);

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

/// Why a message was not published, or not to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// A shard has as many messages waiting as it may have, and misses this one; [`TopicsMetrics::refused`] counts it.
    /// The subscribers of the other shards get it: who publishes it again sends it to them twice.
    Refused,
    /// The socket's route has no topics: [`Config::topics`](crate::Config::topics).
    NoTopics,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::Refused => "too many messages wait for a shard already",
            PublishError::NoTopics => "the route has no topics",
        })
    }
}

impl std::error::Error for PublishError {}

/// What has become of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicsMetrics {
    /// Messages published or delivered from elsewhere.
    pub published: u64,
    /// Sent to a socket or queued for it, each counted for itself.
    pub delivered: u64,
    /// Not sent, since the socket or its shard had too much waiting or was closing.
    pub dropped: u64,
    /// Not taken by a shard that had too much waiting, whoever is subscribed there: see [`Topics::publish`].
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
        Topics(Arc::new(Central::new(relay)))
    }

    /// Sends a message to all subscribers of a topic, and to the relay if there is one.
    ///
    /// It does not block. What is published on a shard of these topics goes to the others once a turn. While the mailbox of
    /// one is full, or 16 MiB are in it, up to 16 MiB more wait here. Elsewhere (on a thread of one's own) nothing can
    /// wait: then the message is refused. So it is by a shard that gets more than it gives out, once 64 MiB wait there
    /// and none of them is an older message of the same topic, that this one could replace; if that is not the publisher's
    /// own shard, it can only count it.
    ///
    /// # Errors
    /// [`PublishError::Refused`] if a shard misses the message. The others have it, and so has the relay.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<(), PublishError> {
        let message = message.into();
        if let Some(relay) = &self.0.relay {
            relay.relay(topic, &message);
        }
        self.deliver(topic, message)
    }

    /// Sends a message to the subscribers in this process alone: what a relay does with those of other machines.
    ///
    /// # Errors
    /// As [`Topics::publish`].
    pub fn deliver(&self, topic: &str, message: impl Into<Message>) -> Result<(), PublishError> {
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let shards = self.0.shards_of(topic);
        if shards.is_empty() {
            return Ok(());
        }
        let encoded = Encoded::new(&message.into(), self.0.compresses.load(Ordering::Relaxed));
        let letter = Letter { topic: topic.into(), encoded };
        let local = LocalTopics::find(&self.0);
        let (mut is_here, mut refused) = (false, 0);
        for (at, target) in shards {
            let is_taken = match &local {
                Some(local) if local.shard() == at => {
                    is_here = true;
                    continue;
                }
                Some(local) => local.post(at, target, letter.clone()),
                None => outbox::send(&self.0, &target, vec![letter.clone()]).is_ok(),
            };
            refused += u64::from(!is_taken);
        }
        // At last, so that the others need not wait for what is given out here.
        if let Some(local) = local.filter(|_| is_here) {
            refused += u64::from(!local.deliver(letter));
        }
        if refused == 0 {
            return Ok(());
        }
        self.0.count_refused(refused);
        Err(PublishError::Refused)
    }

    /// How many sockets are subscribed to a topic, on all shards.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0.subscribers(topic)
    }

    /// All topics that have subscribers, with how many. While it counts, it holds up whoever publishes or subscribes.
    pub fn counts(&self) -> Vec<(String, usize)> {
        self.0.all_subscribers().into_iter().map(|(name, count)| (name.to_string(), count)).collect()
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
        f.debug_struct("Topics").field("topics", &self.0.topics()).finish_non_exhaustive()
    }
}

impl Socket {
    /// Publishes to the route's topics; its own subscription gets the message too. See [`Topics::publish`].
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<(), PublishError> {
        let Some(topics) = &self.0.terms.config.topics else { return Err(PublishError::NoTopics) };
        topics.publish(topic, message)
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
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<(), PublishError> {
        self.socket().publish(topic, message)
    }
}

//! What a socket is subscribed to.

use super::{LocalTopics, SubscribeError, local::Topic, pending::Unseen};
use crate::{Socket, local::Local, socket::Flag};
use smallvec::SmallVec;
use std::rc::Rc;

/// A socket's subscriptions. They end when this is dropped.
pub(crate) struct Subscriptions {
    local: Rc<LocalTopics>,
    /// Each with the socket's place among the topic's subscribers.
    /// Most sockets have one.
    topics: SmallVec<[(Rc<Topic>, usize); 1]>,
}

// A subscriber keeps it for as long as it is subscribed; see ARCHITECTURE.md for the sum.
const _: () = assert!(size_of::<Subscriptions>() <= 32);

impl Subscriptions {
    fn new(local: &Rc<LocalTopics>) -> Self {
        Subscriptions { local: Rc::clone(local), topics: SmallVec::new() }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|(topic, _)| &*topic.name == name)
    }

    fn join(&mut self, topic: &Rc<Topic>, socket: &Socket) {
        let place = topic.enter(socket);
        self.topics.push((Rc::clone(topic), place));
        socket.0.flags.set(Flag::OneTopic, self.topics.len() == 1);
        self.local.central().count_subscriber(&topic.name, self.local.shard(), 1);
    }

    fn leave(&mut self, at: usize) {
        let (topic, place) = self.topics.swap_remove(at);
        self.local.count(0, topic.exit(place));
        self.local.central().count_subscriber(&topic.name, self.local.shard(), -1);
        self.local.drop_if_empty(&topic);
    }

    fn take_unseen(&self, unseen: &mut Vec<Unseen>) {
        self.topics.iter().for_each(|(topic, place)| topic.take_unseen(*place, unseen));
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        while !self.topics.is_empty() {
            self.leave(self.topics.len() - 1);
        }
    }
}

impl Socket {
    /// Subscribes to a topic of the route's [`Topics`](super::Topics). False if it was subscribed already.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn subscribe(&self, topic: &str) -> Result<bool, SubscribeError> {
        let terms = &self.0.terms;
        let Some(local) = &terms.topics else { return Err(SubscribeError::NoTopics) };
        if !self.is_open() {
            return Err(SubscribeError::Closed);
        }
        let mut subscriptions =
            self.take_subscriptions().unwrap_or_else(|| Box::new(Subscriptions::new(local)));
        let result = if subscriptions.position(topic).is_some() {
            Ok(false)
        } else if subscriptions.topics.len() >= terms.config.max_subscriptions {
            Err(SubscribeError::TooMany)
        } else {
            subscriptions.join(&local.topic(topic), self);
            Ok(true)
        };
        self.put_subscriptions(subscriptions);
        result
    }

    /// Ends a subscription; false if there was none. What has been published before still comes.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        let position = |subscriptions: &mut Subscriptions| subscriptions.position(topic);
        let Some(at) = self.peek_subscriptions(position).flatten() else { return false };
        self.settle_topic();
        if let Some(mut subscriptions) = self.take_subscriptions() {
            subscriptions.leave(at);
            self.0.flags.set(Flag::OneTopic, subscriptions.topics.len() == 1);
            self.put_subscriptions(subscriptions);
        }
        true
    }

    /// Taken out while they change.
    fn take_subscriptions(&self) -> Option<Box<Subscriptions>> {
        self.0.subscriptions.take()
    }

    fn put_subscriptions(&self, subscriptions: Box<Subscriptions>) {
        if !subscriptions.topics.is_empty() {
            self.0.subscriptions.set(Some(subscriptions));
        }
    }

    /// Calls `f` with its subscriptions, if it has any. `f` runs nobody else's code.
    fn peek_subscriptions<R>(&self, f: impl FnOnce(&mut Subscriptions) -> R) -> Option<R> {
        let mut subscriptions = self.0.subscriptions.take()?;
        let value = f(&mut subscriptions);
        self.0.subscriptions.set(Some(subscriptions));
        Some(value)
    }

    /// Queues what its topics have to give out for it, before something else is sent.
    #[inline]
    pub(crate) fn settle_topic(&self) {
        if Local::with(|local| local.topics_waiting.get() > 0)
            && let Some(topics) = &self.0.terms.topics
        {
            topics.settle(self);
        }
    }

    /// Collects what it has not got of its topics' messages, as which they count from now on. How many topics it has.
    pub(super) fn take_unseen(&self, unseen: &mut Vec<Unseen>) -> usize {
        let take = |subscriptions: &mut Subscriptions| {
            subscriptions.take_unseen(unseen);
            subscriptions.topics.len()
        };
        self.peek_subscriptions(take).unwrap_or(0)
    }

    /// The topics that it is subscribed to.
    pub fn subscriptions(&self) -> Vec<String> {
        let names = |subscriptions: &mut Subscriptions| {
            subscriptions.topics.iter().map(|(topic, _)| topic.name.to_string()).collect()
        };
        self.peek_subscriptions(names).unwrap_or_default()
    }

    /// Ends all subscriptions: nothing is sent any more, and the peer may take its time for the connection's end.
    pub(crate) fn leave_topics(&self) {
        drop(self.take_subscriptions());
    }

    pub(super) fn set_place(&self, topic: &Rc<Topic>, place: usize) {
        self.peek_subscriptions(|subscriptions| {
            for (own, own_place) in &mut subscriptions.topics {
                if Rc::ptr_eq(own, topic) {
                    *own_place = place;
                }
            }
        });
    }
}

//! A shard's part of the topics: who is subscribed to what.

use super::{Central, Encoded, Frame, SubscribeError};
use crate::Socket;
use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
};

thread_local! {
    /// By the numbers of their [`Topics`](super::Topics).
    static LOCALS: RefCell<HashMap<u64, Weak<LocalTopics>>> = RefCell::new(HashMap::new());
}

/// The topics that have subscribers on this shard.
pub(crate) struct LocalTopics {
    central: Arc<Central>,
    /// The shard's place among those of the topics.
    shard: usize,
    topics: RefCell<HashMap<Arc<str>, Rc<Topic>>>,
}

/// A topic's subscribers on this shard.
pub(crate) struct Topic {
    name: Arc<str>,
    subscribers: RefCell<Vec<Socket>>,
}

impl LocalTopics {
    /// This shard's part, made if there is none.
    pub(super) fn of(central: &Arc<Central>) -> Rc<Self> {
        LOCALS.with(|locals| {
            let mut locals = locals.borrow_mut();
            if let Some(local) = locals.get(&central.id).and_then(Weak::upgrade) {
                return local;
            }
            let shard = central.add_shard(lakh_core::current().handle());
            let local =
                Rc::new(LocalTopics { central: Arc::clone(central), shard, topics: RefCell::default() });
            locals.insert(central.id, Rc::downgrade(&local));
            local
        })
    }

    /// This shard's part, if there is one.
    pub(super) fn find(central: &Central) -> Option<Rc<Self>> {
        LOCALS.try_with(|locals| locals.borrow().get(&central.id).and_then(Weak::upgrade)).ok().flatten()
    }

    pub(super) fn shard(&self) -> usize {
        self.shard
    }

    /// Gives a message to all subscribers on this shard.
    pub(super) fn deliver(&self, name: &str, encoded: Encoded) {
        let topic = self.topics.borrow().get(name).map(Rc::clone);
        let Some(topic) = topic else { return };
        let frame = Frame::new(&topic, encoded);
        let (mut delivered, mut dropped) = (0, 0);
        for socket in topic.subscribers.borrow().iter() {
            if socket.deliver(&frame) { delivered += 1 } else { dropped += 1 }
        }
        self.central.count(delivered, dropped);
    }

    fn topic(&self, name: &str) -> Rc<Topic> {
        let mut topics = self.topics.borrow_mut();
        if let Some(topic) = topics.get(name) {
            return Rc::clone(topic);
        }
        let name: Arc<str> = name.into();
        let topic = Rc::new(Topic { name: Arc::clone(&name), subscribers: RefCell::default() });
        topics.insert(name, Rc::clone(&topic));
        topic
    }
}

impl Drop for LocalTopics {
    fn drop(&mut self) {
        self.central.remove_shard(self.shard);
    }
}

/// A socket's subscriptions. They end when this is dropped.
pub(crate) struct Subscriptions {
    local: Rc<LocalTopics>,
    /// Each with the socket's place among the topic's subscribers.
    topics: Vec<(Rc<Topic>, usize)>,
}

impl Subscriptions {
    fn leave(&mut self, at: usize) {
        let (topic, place) = self.topics.swap_remove(at);
        let mut subscribers = topic.subscribers.borrow_mut();
        // The last one takes the place.
        let leaver = subscribers.swap_remove(place);
        let moved = subscribers.get(place).cloned();
        let is_empty = subscribers.is_empty();
        drop(subscribers);
        if let Some(moved) = moved {
            moved.set_place(&topic, place);
        }
        self.local.central.count_subscriber(&topic.name, self.local.shard, -1);
        if is_empty {
            self.local.topics.borrow_mut().remove(&topic.name);
        }
        drop(leaver);
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
        let topic = local.topic(topic);
        let is_new = self.with_extra(|extra| {
            let subscriptions = extra.subscriptions.get_or_insert_with(|| {
                Box::new(Subscriptions { local: Rc::clone(local), topics: Vec::new() })
            });
            if subscriptions.topics.iter().any(|(own, _)| Rc::ptr_eq(own, &topic)) {
                return Ok(false);
            }
            if subscriptions.topics.len() >= terms.config.max_subscriptions {
                return Err(SubscribeError::TooMany);
            }
            let mut subscribers = topic.subscribers.borrow_mut();
            subscriptions.topics.push((Rc::clone(&topic), subscribers.len()));
            subscribers.push(self.clone());
            Ok(true)
        });
        match is_new {
            Ok(true) => local.central.count_subscriber(&topic.name, local.shard, 1),
            // It may have been made for nothing.
            _ if topic.subscribers.borrow().is_empty() => {
                local.topics.borrow_mut().remove(&topic.name);
            }
            _ => {}
        }
        is_new
    }

    /// Ends a subscription; false if there was none.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        // Taken out meanwhile, since leaving may move others of the topic's subscribers.
        let Some(mut subscriptions) = self.peek(|extra| extra.subscriptions.take()).flatten() else {
            return false;
        };
        let at = subscriptions.topics.iter().position(|(own, _)| &*own.name == topic);
        if let Some(at) = at {
            subscriptions.leave(at);
        }
        if !subscriptions.topics.is_empty() {
            self.with_extra(|extra| extra.subscriptions = Some(subscriptions));
        }
        at.is_some()
    }

    /// The topics that it is subscribed to.
    pub fn subscriptions(&self) -> Vec<String> {
        let names = |extra: &mut crate::socket::Extra| {
            extra.subscriptions.as_ref().map(|subscriptions| {
                subscriptions.topics.iter().map(|(topic, _)| topic.name.to_string()).collect()
            })
        };
        self.peek(names).flatten().unwrap_or_default()
    }

    /// Ends all subscriptions: nothing is sent any more, and the peer may take its time for the connection's end.
    pub(crate) fn leave_topics(&self) {
        drop(self.peek(|extra| extra.subscriptions.take()));
    }

    fn set_place(&self, topic: &Rc<Topic>, place: usize) {
        self.peek(|extra| {
            let topics = extra.subscriptions.iter_mut().flat_map(|subscriptions| &mut subscriptions.topics);
            for (own, own_place) in topics {
                if Rc::ptr_eq(own, topic) {
                    *own_place = place;
                }
            }
        });
    }
}

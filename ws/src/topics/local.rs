//! A shard's part of the topics: who is subscribed to what.

use super::{
    Central, Encoded, SubscribeError,
    rounds::{Pending, Rounds},
};
use crate::{Socket, local::Local, socket::Flag};
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
    pub(super) rounds: Rounds,
}

/// A topic's subscribers on this shard.
pub(crate) struct Topic {
    name: Arc<str>,
    /// Those who are subscribed to nothing else: they wait for the next round.
    pub(super) singles: RefCell<Vec<Socket>>,
    /// Those who are: their queues keep the topics' order.
    pub(super) others: RefCell<Vec<Socket>>,
    /// For `singles`.
    pub(super) pending: RefCell<Pending>,
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
            let local = Rc::new(LocalTopics {
                central: Arc::clone(central),
                shard,
                topics: RefCell::default(),
                rounds: Rounds::default(),
            });
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

    /// Lets all subscribers on this shard have a message soon.
    pub(super) fn deliver(self: &Rc<Self>, name: &str, encoded: Encoded) {
        let topic = self.topics.borrow().get(name).map(Rc::clone);
        if let Some(topic) = topic {
            self.add(&topic, encoded);
        }
    }

    pub(super) fn count(&self, delivered: u64, dropped: u64) {
        self.central.count(delivered, dropped);
    }

    fn drop_if_empty(&self, topic: &Topic) {
        if topic.is_empty() {
            self.topics.borrow_mut().remove(&topic.name);
        }
    }

    fn topic(&self, name: &str) -> Rc<Topic> {
        let mut topics = self.topics.borrow_mut();
        if let Some(topic) = topics.get(name) {
            return Rc::clone(topic);
        }
        let name: Arc<str> = name.into();
        let topic = Rc::new(Topic {
            name: Arc::clone(&name),
            singles: RefCell::default(),
            others: RefCell::default(),
            pending: RefCell::default(),
        });
        topics.insert(name, Rc::clone(&topic));
        topic
    }
}

impl Drop for LocalTopics {
    fn drop(&mut self) {
        self.central.remove_shard(self.shard);
        let _ended = LOCALS.try_with(|locals| locals.borrow_mut().remove(&self.central.id));
    }
}

/// A socket's subscriptions. They end when this is dropped.
pub(crate) struct Subscriptions {
    local: Rc<LocalTopics>,
    /// Each with the socket's place among the topic's subscribers.
    topics: Vec<(Rc<Topic>, usize)>,
}

impl Topic {
    fn is_empty(&self) -> bool {
        self.singles.borrow().is_empty() && self.others.borrow().is_empty()
    }
}

impl Subscriptions {
    /// Where a socket with so many subscriptions is.
    fn list(topic: &Topic, subscriptions: usize) -> &RefCell<Vec<Socket>> {
        if subscriptions == 1 { &topic.singles } else { &topic.others }
    }

    /// Puts the socket, which has so many subscriptions, among a topic's subscribers; says where.
    fn enter(&self, topic: &Rc<Topic>, socket: &Socket, subscriptions: usize) -> usize {
        if subscriptions == 1 {
            self.local.settle(topic);
        }
        let mut list = Self::list(topic, subscriptions).borrow_mut();
        list.push(socket.clone());
        list.len() - 1
    }

    /// Takes the socket, which has so many subscriptions, out from a place among a topic's subscribers.
    fn exit(&self, topic: &Rc<Topic>, place: usize, subscriptions: usize) -> Socket {
        if subscriptions == 1 {
            self.local.settle(topic);
        }
        let mut list = Self::list(topic, subscriptions).borrow_mut();
        let socket = list.swap_remove(place);
        // The last one takes the place.
        if let Some(moved) = list.get(place) {
            moved.set_place(topic, place);
        }
        socket
    }

    /// Subscribes to one more topic.
    fn join(&mut self, topic: &Rc<Topic>, socket: &Socket) {
        let count = self.topics.len() + 1;
        if let [(first, place)] = &self.topics[..] {
            let (first, place) = (Rc::clone(first), *place);
            self.exit(&first, place, 1);
            self.topics[0].1 = self.enter(&first, socket, count);
        }
        let place = self.enter(topic, socket, count);
        self.topics.push((Rc::clone(topic), place));
        socket.0.flags.set(Flag::OneTopic, count == 1);
        self.local.central.count_subscriber(&topic.name, self.local.shard, 1);
    }

    fn leave(&mut self, at: usize) {
        let count = self.topics.len();
        let (topic, place) = self.topics.swap_remove(at);
        let socket = self.exit(&topic, place, count);
        if let [(last, place)] = &self.topics[..] {
            let (last, place) = (Rc::clone(last), *place);
            self.exit(&last, place, count);
            self.topics[0].1 = self.enter(&last, &socket, 1);
        }
        socket.0.flags.set(Flag::OneTopic, self.topics.len() == 1);
        self.local.central.count_subscriber(&topic.name, self.local.shard, -1);
        self.local.drop_if_empty(&topic);
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
        let mut subscriptions = self
            .take_subscriptions()
            .unwrap_or_else(|| Box::new(Subscriptions { local: Rc::clone(local), topics: Vec::new() }));
        let is_subscribed = subscriptions.topics.iter().any(|(own, _)| &*own.name == topic);
        let result = if is_subscribed {
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

    /// Ends a subscription; false if there was none.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        let Some(mut subscriptions) = self.take_subscriptions() else { return false };
        let at = subscriptions.topics.iter().position(|(own, _)| &*own.name == topic);
        if let Some(at) = at {
            subscriptions.leave(at);
        }
        self.put_subscriptions(subscriptions);
        at.is_some()
    }

    /// Taken out while they change, which may queue messages for this socket.
    fn take_subscriptions(&self) -> Option<Box<Subscriptions>> {
        self.peek(|extra| extra.subscriptions.take()).flatten()
    }

    fn put_subscriptions(&self, subscriptions: Box<Subscriptions>) {
        if !subscriptions.topics.is_empty() {
            self.with_extra(|extra| extra.subscriptions = Some(subscriptions));
        }
    }

    /// Queues what its topic has to give out, before something else is sent.
    #[inline]
    pub(crate) fn settle_topic(&self) {
        if self.0.flags.is_set(Flag::OneTopic) && Local::with(|local| local.topics_waiting.get() > 0) {
            self.settle_own();
        }
    }

    #[cold]
    fn settle_own(&self) {
        let topic = self.peek(|extra| {
            let subscriptions = extra.subscriptions.as_ref()?;
            let (topic, _) = subscriptions.topics.first()?;
            Some((Rc::clone(&subscriptions.local), Rc::clone(topic)))
        });
        if let Some((local, topic)) = topic.flatten() {
            local.settle(&topic);
        }
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

//! A shard's part of the topics: who is subscribed to what.

use super::{
    Central, Letter, central,
    outbox::Outbox,
    pending::{Pending, Unseen},
    rounds::Rounds,
};
use crate::Socket;
use lakh_core::WorkName;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering},
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
    /// Topics that there have been.
    numbers: Cell<u64>,
    /// What the watchdog calls the task that gives messages out.
    pub(super) work: WorkName,
    pub(super) rounds: Rounds,
    pub(super) outbox: Outbox,
}

/// A topic's subscribers on this shard.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// No other topic of this shard has it, or had it.
    pub(super) number: u64,
    /// A round goes through them by their places.
    pub(super) subscribers: RefCell<Vec<Subscriber>>,
    pub(super) pending: RefCell<Pending>,
}

/// A socket in a topic.
pub(super) struct Subscriber {
    pub(super) socket: Socket,
    /// The number of the last message that it has got or missed.
    pub(super) seen: Cell<u64>,
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
                numbers: Cell::new(0),
                work: WorkName::new("topics"),
                rounds: Rounds::default(),
                outbox: Outbox::default(),
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

    pub(super) fn central(&self) -> &Arc<Central> {
        &self.central
    }

    /// Lets all subscribers on this shard have a message soon; false if there is no room for it.
    pub(super) fn deliver(self: &Rc<Self>, letter: Letter) -> bool {
        let topic = self.topics.borrow().get(&letter.topic).map(Rc::clone);
        topic.is_none_or(|topic| self.add(&topic, letter.encoded))
    }

    /// What another shard or thread has sent.
    pub(super) fn receive(self: &Rc<Self>, letters: Vec<Letter>) {
        let refused = letters.into_iter().map(|letter| u64::from(!self.deliver(letter))).sum();
        self.central.count_refused(refused);
    }

    pub(super) fn count(&self, delivered: u64, dropped: u64) {
        self.central.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.central.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(super) fn drop_if_empty(&self, topic: &Topic) {
        if topic.subscribers.borrow().is_empty() {
            let mut topics = self.topics.borrow_mut();
            topics.remove(&topic.name);
            central::shrink(&mut topics);
        }
    }

    pub(super) fn topic(&self, name: &str) -> Rc<Topic> {
        let mut topics = self.topics.borrow_mut();
        if let Some(topic) = topics.get(name) {
            return Rc::clone(topic);
        }
        let name: Arc<str> = name.into();
        let topic = Rc::new(Topic {
            name: Arc::clone(&name),
            number: self.numbers.replace(self.numbers.get() + 1),
            subscribers: RefCell::default(),
            pending: RefCell::default(),
        });
        topics.insert(name, Rc::clone(&topic));
        topic
    }
}

impl Drop for LocalTopics {
    fn drop(&mut self) {
        self.close_outbox();
        self.central.remove_shard(self.shard);
        let _ended = LOCALS.try_with(|locals| locals.borrow_mut().remove(&self.central.id));
    }
}

impl Topic {
    /// Puts a socket among the subscribers, for what is published from now on; says where.
    pub(super) fn enter(&self, socket: &Socket) -> usize {
        let seen = Cell::new(self.pending.borrow().newest());
        let mut subscribers = self.subscribers.borrow_mut();
        subscribers.push(Subscriber { socket: socket.clone(), seen });
        subscribers.len() - 1
    }

    /// Takes the socket at a place out; how many messages it has not got.
    pub(super) fn exit(self: &Rc<Self>, place: usize) -> u64 {
        let (newest, hole) = {
            let mut pending = self.pending.borrow_mut();
            (pending.newest(), pending.leave(place))
        };
        let mut subscribers = self.subscribers.borrow_mut();
        if hole != place {
            subscribers.swap(place, hole);
            subscribers[place].socket.set_place(self, place);
        }
        let gone = subscribers.swap_remove(hole);
        if subscribers.capacity() > central::KEPT && subscribers.len() < subscribers.capacity() / 8 {
            let kept = 2 * subscribers.len();
            subscribers.shrink_to(kept);
        }
        if let Some(moved) = subscribers.get(hole) {
            moved.socket.set_place(self, hole);
        }
        newest - gone.seen.get()
    }

    /// Collects what the subscriber at a place has not got, as which it counts from now on.
    pub(super) fn take_unseen(&self, place: usize, unseen: &mut Vec<Unseen>) {
        let pending = self.pending.borrow();
        if let Some(subscriber) = self.subscribers.borrow().get(place) {
            let seen = subscriber.seen.replace(pending.newest());
            pending.collect_unseen(seen, unseen);
        }
    }
}

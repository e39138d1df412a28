//! Giving a topic's messages to its subscribers.
//!
//! What is published waits until the shard's tasks have had their turn; then the messages of a topic that have come
//! meanwhile go to each of its subscribers in one call of send(2), from the memory that all share. A subscriber whose
//! peer takes less has the rest in its queue, where its own task goes on.
//!
//! Nobody can see that they have waited. A socket with more than one subscription has each message queued at once, so
//! that the topics' order is kept; and the messages that wait are queued for all before a subscriber is sent anything
//! else, and before anybody comes or leaves ([`LocalTopics::settle`]).

use super::{Encoded, Frame, LocalTopics, local::Topic};
use crate::{Socket, local::Local};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Subscribers that are given messages before the shard's other tasks have their turn: about a millisecond.
const AT_ONCE: usize = 128;
/// Bytes of messages that go out together.
const JOIN_UP_TO: usize = 64 * 1024;
/// Bytes of memory of what waits to be given out, on a shard.
const WAITING_AT_MOST: usize = 64 << 20;

/// The topics that have something to give out.
#[derive(Default)]
pub(super) struct Rounds {
    waiting: RefCell<VecDeque<Rc<Topic>>>,
    /// Bytes that wait in all of them.
    bytes: Cell<usize>,
    /// The task that gives them out is there.
    is_running: Cell<bool>,
}

/// What a topic has to give out.
#[derive(Default)]
pub(crate) struct Pending {
    messages: VecDeque<Encoded>,
    round: Option<Round>,
    /// It is among the topics that have something to give out, or had.
    is_waiting: bool,
}

/// Messages on their way to the subscribers.
struct Round {
    batch: Batch,
    /// The next subscriber's place.
    next: usize,
}

/// Messages that go out together.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) frames: Rc<Frame>,
    /// The last of them, for who has no room for all and wants that one most.
    pub(crate) last: Rc<Frame>,
    /// How many there are.
    pub(crate) count: u64,
}

impl LocalTopics {
    /// Lets all subscribers of a topic have a message.
    pub(super) fn add(self: &Rc<Self>, topic: &Rc<Topic>, message: Encoded) {
        if !topic.others.borrow().is_empty()
            && let Some(batch) = Batch::new(topic, std::slice::from_ref(&message))
        {
            self.queue(&topic.others.borrow(), &batch);
        }
        if topic.singles.borrow().is_empty() {
            return;
        }
        let bytes = self.rounds.bytes.get() + message.memory();
        if bytes > WAITING_AT_MOST {
            // It is published faster than given out: each socket's own limits say what becomes of it.
            self.settle(topic);
            if let Some(batch) = Batch::new(topic, &[message]) {
                self.queue(&topic.singles.borrow(), &batch);
            }
            return;
        }
        self.rounds.bytes.set(bytes);
        let mut pending = topic.pending.borrow_mut();
        if !mem::replace(&mut pending.is_waiting, true) {
            self.rounds.waiting.borrow_mut().push_back(Rc::clone(topic));
            Local::with(|local| local.topics_waiting.set(local.topics_waiting.get() + 1));
        }
        pending.messages.push_back(message);
        if !self.rounds.is_running.replace(true) {
            let giving = Giving(Rc::clone(self));
            if lakh_core::try_with(|shard| shard.spawn_detached(giving)).is_none() {
                self.rounds.is_running.set(false); // the shard is gone
            }
        }
    }

    /// Queues what a topic has to give out for each of its subscribers, as if it had been queued at once.
    pub(super) fn settle(&self, topic: &Rc<Topic>) {
        let (mut messages, round) = {
            let mut pending = topic.pending.borrow_mut();
            (mem::take(&mut pending.messages), pending.round.take())
        };
        let singles = topic.singles.borrow();
        if let Some(round) = round {
            self.queue(singles.get(round.next..).unwrap_or_default(), &round.batch);
        }
        while let Some(batch) = self.next_batch(topic, &mut messages) {
            self.queue(&singles, &batch);
        }
    }

    fn queue(&self, sockets: &[Socket], batch: &Batch) {
        let queued = sockets.iter().filter(|socket| socket.deliver(batch)).count() as u64;
        self.count(queued * batch.count, (sockets.len() as u64 - queued) * batch.count);
    }

    /// Takes the first messages out, as many as go out together.
    fn next_batch(&self, topic: &Rc<Topic>, messages: &mut VecDeque<Encoded>) -> Option<Batch> {
        let mut bytes = 0;
        let fits = |message: &&Encoded| {
            bytes += message.len();
            bytes <= JOIN_UP_TO
        };
        let count = messages.iter().take_while(fits).count().max(1);
        let all: Vec<Encoded> = messages.drain(..count.min(messages.len())).collect();
        let memory: usize = all.iter().map(Encoded::memory).sum();
        self.rounds.bytes.set(self.rounds.bytes.get() - memory);
        Batch::new(topic, &all)
    }

    /// The next batch for a topic's subscribers, and the first who has not got it.
    fn round(&self, topic: &Rc<Topic>) -> Option<(Batch, usize)> {
        let mut pending = topic.pending.borrow_mut();
        let Pending { messages, round, .. } = &mut *pending;
        if round.is_none() {
            *round = Some(Round { batch: self.next_batch(topic, messages)?, next: 0 });
        }
        round.as_ref().map(|round| (round.batch.clone(), round.next))
    }

    /// Gives one round's messages to at most `left` subscribers. True if all have got them.
    fn give(&self, topic: &Rc<Topic>, left: &mut usize) -> bool {
        let Some((batch, from)) = self.round(topic) else { return true };
        let singles = topic.singles.borrow();
        let sockets = singles.get(from..).unwrap_or_default();
        let sockets = &sockets[..sockets.len().min(*left)];
        *left -= sockets.len();
        let given = sockets.iter().filter(|socket| socket.give(&batch)).count() as u64;
        self.count(given * batch.count, (sockets.len() as u64 - given) * batch.count);
        let next = from + sockets.len();
        let mut pending = topic.pending.borrow_mut();
        if let Some(round) = &mut pending.round {
            round.next = next;
        }
        pending.round.take_if(|_| next >= singles.len()).is_some()
    }
}

/// The task that gives out what waits.
struct Giving(Rc<LocalTopics>);

impl Future for Giving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let rounds = &self.0.rounds;
        let mut left = AT_ONCE;
        while left > 0 {
            let Some(topic) = rounds.waiting.borrow_mut().pop_front() else {
                rounds.is_running.set(false);
                return Poll::Ready(());
            };
            let is_given = self.0.give(&topic, &mut left);
            let (mut waiting, mut pending) = (rounds.waiting.borrow_mut(), topic.pending.borrow_mut());
            if !is_given || !pending.messages.is_empty() {
                waiting.push_back(Rc::clone(&topic)); // others first
            } else {
                pending.is_waiting = false;
                Local::with(|local| local.topics_waiting.set(local.topics_waiting.get() - 1));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        // With its shard: what waits goes to nobody.
        let left = self.0.rounds.waiting.take().len();
        Local::try_with(|local| local.topics_waiting.set(local.topics_waiting.get().saturating_sub(left)));
    }
}

impl Batch {
    /// `None` of no messages.
    fn new(topic: &Rc<Topic>, all: &[Encoded]) -> Option<Self> {
        let last = Frame::new(topic, all.last()?.clone());
        let frames = if all.len() == 1 { Rc::clone(&last) } else { Frame::new(topic, Encoded::join(all)) };
        Some(Batch { frames, last, count: all.len() as u64 })
    }
}

impl Socket {
    /// Gives it messages at once, or queues them. Says whether it gets them.
    fn give(&self, batch: &Batch) -> bool {
        if self.has_queue() || !self.is_open() {
            return self.deliver(batch);
        }
        let deflated = self.takes_deflated(&batch.frames);
        let bytes = batch.frames.bytes(deflated);
        match self.with_stream(|stream| stream.try_write(bytes)) {
            Some(Ok(sent)) if sent == bytes.len() => {
                self.count_sent(batch.count);
                true
            }
            Some(Ok(sent)) => {
                self.count_sent(batch.count);
                self.queue_begun(Rc::clone(&batch.frames), deflated, sent);
                true
            }
            // The kernel takes nothing, or the connection is broken, which its task will find.
            Some(Err(_)) | None => self.deliver(batch),
        }
    }
}

//! Giving topics' messages to their subscribers.
//!
//! What is published waits until the shard's tasks have had their turn; then the messages of a topic that have come
//! meanwhile go to each of its subscribers in one call of send(2), from the memory that all share. A subscriber whose
//! peer takes less has the rest in its queue, where its own task goes on.
//!
//! Nobody can see that they have waited. Before a subscriber is sent anything else, or leaves, it alone is given what it
//! has not got ([`LocalTopics::settle`]), and rounds pass over who has got something already. One with several topics
//! is given what waits in all of them, in the order in which it was published, when the first round comes to it.

use super::{
    Encoded, Frame, LocalTopics,
    local::{Subscriber, Topic},
    pending::{Batch, Unseen},
};
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
/// For the kernel to copy so many bytes takes about the time of another one.
const BYTES_AS_ONE: usize = 32 * 1024;
/// To queue so many messages for a subscriber, or to look into so many topics, does too.
const QUEUED_AS_ONE: usize = 64;
/// Bytes of memory of what waits to be given out, on a shard.
const WAITING_AT_MOST: usize = 64 << 20;
/// Room for so many messages is kept.
const KEPT_UNSEEN: usize = 1024;

/// The topics that have something to give out.
#[derive(Default)]
pub(super) struct Rounds {
    waiting: RefCell<VecDeque<Rc<Topic>>>,
    /// Bytes that wait in all of them.
    bytes: Cell<usize>,
    /// Messages that there have been, in all topics.
    order: Cell<u64>,
    /// The task that gives them out is there.
    is_running: Cell<bool>,
    /// Subscribers that publishers may serve in this turn, when there is no room.
    ahead: Cell<usize>,
    unseen: Cell<Vec<Unseen>>,
}

/// What is done with messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// They are written to the kernel, if nothing waits for the subscriber: in no poll of a connection, which may have
    /// something to write that is older.
    Write,
    /// They are left to the subscriber's task.
    Queue,
}

/// What has become of messages.
#[derive(Default)]
struct Tally {
    delivered: u64,
    dropped: u64,
}

impl Tally {
    /// So many of some messages were sent or queued.
    fn count(&mut self, delivered: u64, of: u64) {
        self.delivered += delivered;
        self.dropped += of - delivered;
    }
}

impl LocalTopics {
    /// Lets all subscribers of a topic have a message; false if there is no room for it.
    pub(super) fn add(self: &Rc<Self>, topic: &Rc<Topic>, encoded: Encoded) -> bool {
        let rounds = &self.rounds;
        if !self.make_room(topic, encoded.memory()) {
            return false;
        }
        rounds.bytes.set(rounds.bytes.get() + encoded.memory());
        let order = rounds.order.replace(rounds.order.get() + 1);
        let mut pending = topic.pending.borrow_mut();
        pending.push(order, Frame::new(topic.number, encoded));
        if !mem::replace(&mut pending.is_waiting, true) {
            rounds.waiting.borrow_mut().push_back(Rc::clone(topic));
            Local::with(|local| local.topics_waiting.set(local.topics_waiting.get() + 1));
        }
        if !rounds.is_running.replace(true) {
            rounds.ahead.set(AT_ONCE);
            let giving = lakh_core::named(self.work, Giving(Rc::clone(self)));
            if lakh_core::try_with(|shard| shard.spawn_detached(giving)).is_none() {
                rounds.is_running.set(false); // the shard is gone
            }
        }
        true
    }

    /// Makes room for a message of so many bytes, where more is published than given out: by giving out something now,
    /// then at the cost of the topic's older messages, of which each subscriber learns when its turn comes.
    fn make_room(&self, topic: &Topic, memory: usize) -> bool {
        let rounds = &self.rounds;
        let fits = |bytes: usize| bytes == 0 || bytes + memory <= WAITING_AT_MOST;
        if fits(rounds.bytes.get()) {
            return true;
        }
        let mut left = rounds.ahead.get();
        while !fits(rounds.bytes.get()) && left > 0 && !topic.pending.borrow().is_empty() {
            self.give(topic, How::Queue, &mut left);
        }
        rounds.ahead.set(left);
        let mut pending = topic.pending.borrow_mut();
        if !fits(rounds.bytes.get() - pending.can_shed()) {
            return false;
        }
        while !fits(rounds.bytes.get())
            && let Some(freed) = pending.shed()
        {
            rounds.bytes.set(rounds.bytes.get() - freed);
        }
        true
    }

    /// Queues what a socket has not got of its topics' messages, as if it had been queued when it was published.
    #[cold]
    pub(super) fn settle(&self, socket: &Socket) {
        let mut tally = Tally::default();
        self.catch_up(socket, None, &mut tally);
        self.tell(&tally);
    }

    fn tell(&self, tally: &Tally) {
        if tally.delivered + tally.dropped > 0 {
            self.count(tally.delivered, tally.dropped);
        }
    }

    /// Gives a socket what it has not got of all its topics, in the order of its publication; the batch in one piece, if
    /// that is all. How many messages and topics that was.
    #[inline(never)]
    fn catch_up(&self, socket: &Socket, batch: Option<(&Batch, How)>, tally: &mut Tally) -> usize {
        let mut unseen = self.rounds.unseen.take();
        let topics = socket.take_unseen(&mut unseen);
        let messages = unseen.len();
        match batch.filter(|(batch, _)| batch.count == messages as u64) {
            Some((batch, how)) => tally.count(socket.give(batch, how), batch.count),
            None => {
                unseen.sort_unstable_by_key(|message| message.order);
                for message in &unseen {
                    if message.missed > 0 {
                        socket.miss_messages();
                        tally.dropped += message.missed;
                    }
                    tally.count(socket.deliver(&message.frame, &message.frame, 1), 1);
                }
            }
        }
        unseen.clear();
        if unseen.capacity() <= KEPT_UNSEEN {
            self.rounds.unseen.set(unseen);
        }
        messages + topics
    }

    /// Gives one round's messages to at most `left` subscribers. True if all have got them.
    fn give(&self, topic: &Topic, how: How, left: &mut usize) -> bool {
        let subscribers = topic.subscribers.borrow();
        if subscribers.is_empty() {
            *left = left.saturating_sub(1);
            self.rounds.bytes.set(self.rounds.bytes.get() - topic.pending.borrow_mut().clear());
            return true;
        }
        let Some((batch, from)) = topic.pending.borrow_mut().round() else { return true };
        // No other topic has anything to give out.
        let is_alone = Local::with(|local| local.topics_waiting.get() == 1);
        let cost = if how == How::Write { 1 + batch.frames.len() / BYTES_AS_ONE } else { 1 };
        let (mut next, mut tally) = (from, Tally::default());
        for Subscriber { socket, seen } in subscribers.get(from..).unwrap_or_default() {
            if *left == 0 {
                break;
            }
            *left = left.saturating_sub(cost);
            next += 1;
            if seen.get() == batch.before && (is_alone || socket.has_one_topic()) {
                seen.set(batch.end());
                tally.count(socket.give(&batch, how), batch.count);
            } else if seen.get() < batch.end() {
                let batch = (seen.get() == batch.before).then_some((&batch, how));
                let also = self.catch_up(socket, batch, &mut tally);
                *left = left.saturating_sub(also / QUEUED_AS_ONE);
            }
        }
        self.tell(&tally);
        let freed = topic.pending.borrow_mut().advance(next, subscribers.len());
        self.rounds.bytes.set(self.rounds.bytes.get() - freed.unwrap_or(0));
        freed.is_some()
    }
}

/// The task that gives out what waits.
struct Giving(Rc<LocalTopics>);

impl Future for Giving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let rounds = &self.0.rounds;
        rounds.ahead.set(AT_ONCE);
        let mut left = AT_ONCE;
        while left > 0 {
            let Some(topic) = rounds.waiting.borrow_mut().pop_front() else {
                rounds.is_running.set(false);
                return Poll::Ready(());
            };
            let is_given = self.0.give(&topic, How::Write, &mut left);
            let (mut waiting, mut pending) = (rounds.waiting.borrow_mut(), topic.pending.borrow_mut());
            if !is_given || !pending.is_empty() {
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

impl Socket {
    /// How many of the messages it gets.
    #[inline]
    fn give(&self, batch: &Batch, how: How) -> u64 {
        if how == How::Queue || self.has_queue() || !self.is_open() {
            return self.deliver(&batch.frames, &batch.last, batch.count);
        }
        let deflated = self.takes_deflated(&batch.frames);
        let bytes = batch.frames.bytes(deflated);
        match self.with_stream(|stream| stream.try_write(bytes)) {
            Some(Ok(sent)) if sent == bytes.len() => {
                self.count_sent(batch.count);
                batch.count
            }
            Some(Ok(sent)) => {
                self.count_sent(batch.count);
                self.queue_begun(Rc::clone(&batch.frames), deflated, sent);
                batch.count
            }
            // The kernel takes nothing, or the connection is broken, which its task will find.
            Some(Err(_)) | None => self.deliver(&batch.frames, &batch.last, batch.count),
        }
    }
}

//! Giving a topic's messages to its subscribers.
//!
//! What is published waits until the shard's tasks have had their turn; then the messages of a topic that have come
//! meanwhile go to each of its subscribers in one call of send(2), from the memory that all share. A subscriber whose
//! peer takes less has the rest in its queue, where its own task goes on; so has one for whom other topics have
//! something as well, so that all of it leaves together.

use super::{Encoded, Frame, LocalTopics, local::Topic};
use crate::{Socket, socket::Flag};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Subscribers that are given messages before the shard's other tasks have their turn: about a millisecond.
const AT_ONCE: usize = 128;
/// Bytes of messages that go out together.
const JOIN_UP_TO: usize = 64 * 1024;
/// Bytes of messages that wait to be given out, on a shard.
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
}

/// Messages on their way to the subscribers.
struct Round {
    batch: Batch,
    /// The next subscriber's place.
    next: usize,
    /// The places from here on are those of who came later.
    end: usize,
}

/// Messages that go out together.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) frames: Rc<Frame>,
    /// The last of them, for who has no room for all and wants that one most.
    pub(crate) last: Rc<Frame>,
    /// How many there are.
    count: u64,
}

impl Rounds {
    pub(super) fn add(local: &Rc<LocalTopics>, topic: &Rc<Topic>, message: Encoded) {
        let rounds = &local.rounds;
        let len = message.len();
        if rounds.bytes.get() + len > WAITING_AT_MOST {
            return local.count(0, topic.subscribers.borrow().len() as u64);
        }
        rounds.bytes.set(rounds.bytes.get() + len);
        let mut pending = topic.pending.borrow_mut();
        if pending.messages.is_empty() && pending.round.is_none() {
            rounds.waiting.borrow_mut().push_back(Rc::clone(topic));
        }
        pending.messages.push_back(message);
        if !rounds.is_running.replace(true) {
            let giving = Giving(Rc::clone(local));
            if lakh_core::try_with(|shard| shard.spawn_detached(giving)).is_none() {
                rounds.is_running.set(false); // the shard is gone
            }
        }
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
            let (topic, is_alone) = {
                let waiting = rounds.waiting.borrow();
                (waiting.front().cloned(), waiting.len() == 1)
            };
            let Some(topic) = topic else {
                rounds.is_running.set(false);
                return Poll::Ready(());
            };
            if self.give(&topic, is_alone, &mut left) {
                // Others first, if it has got more meanwhile.
                let mut waiting = rounds.waiting.borrow_mut();
                let done = waiting.pop_front();
                waiting.extend(done.filter(|topic| !topic.pending.borrow().messages.is_empty()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Giving {
    /// Gives one round's messages to at most `left` subscribers. True if all have got them.
    fn give(&self, topic: &Rc<Topic>, is_alone: bool, left: &mut usize) -> bool {
        let Some((batch, from, end)) = self.round(topic) else { return true };
        let (mut next, mut delivered, mut dropped) = (from, 0, 0);
        {
            let subscribers = topic.subscribers.borrow();
            let end = end.min(subscribers.len());
            for socket in &subscribers[from.min(end)..end] {
                if *left == 0 {
                    break;
                }
                *left -= 1;
                next += 1;
                if socket.give(&batch, is_alone) { delivered += 1 } else { dropped += 1 }
            }
        }
        self.0.count(delivered * batch.count, dropped * batch.count);
        let mut pending = topic.pending.borrow_mut();
        if let Some(round) = &mut pending.round {
            round.next = next;
        }
        // What is left to do then is another round's.
        pending.round.take_if(|round| round.next >= round.end).is_some()
    }

    /// The topic's round that is under way, or its next one.
    fn round(&self, topic: &Rc<Topic>) -> Option<(Batch, usize, usize)> {
        let mut pending = topic.pending.borrow_mut();
        let Pending { messages, round } = &mut *pending;
        if round.is_none() {
            let (mut taken, mut bytes) = (0, 0);
            while let Some(message) = messages.get(taken) {
                bytes += message.len();
                if taken > 0 && bytes > JOIN_UP_TO {
                    bytes -= message.len();
                    break;
                }
                taken += 1;
            }
            let all: Vec<Encoded> = messages.drain(..taken).collect();
            let rounds = &self.0.rounds;
            rounds.bytes.set(rounds.bytes.get() - bytes);
            let batch = Batch::new(topic, &all)?;
            *round = Some(Round { batch, next: 0, end: topic.subscribers.borrow().len() });
        }
        round.as_ref().map(|round| (round.batch.clone(), round.next, round.end))
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

impl Pending {
    /// A subscriber has left its `place` to the one who had the `last` one, if that is not the same.
    pub(super) fn moved(&mut self, moved: Option<&Socket>, last: usize, place: usize) {
        let Some(round) = &mut self.round else { return };
        if last >= round.end {
            return; // somebody who came later: what he gets of this round is no matter
        }
        if place < round.next {
            match moved {
                // He would be passed over.
                Some(moved) if last >= round.next => {
                    moved.deliver(&round.batch);
                }
                _ => round.next -= usize::from(last < round.next),
            }
        }
        round.end -= 1;
    }
}

impl Socket {
    /// Gives it messages at once, or queues them. Says whether it gets them.
    fn give(&self, batch: &Batch, is_alone: bool) -> bool {
        let waits_for_others = !is_alone && self.0.flags.is_set(Flag::ManyTopics);
        if self.has_queue() || waits_for_others || !self.is_open() {
            return self.deliver(batch);
        }
        let deflated = self.takes_deflated(&batch.frames);
        let bytes = batch.frames.bytes(deflated);
        match self.with_stream(|stream| stream.try_write(bytes)) {
            Some(Ok(sent)) if sent == bytes.len() => true,
            Some(Ok(sent)) => {
                self.queue_begun(Rc::clone(&batch.frames), deflated, sent);
                true
            }
            // The kernel takes nothing, or the connection is broken, which its task will find.
            Some(Err(_)) | None => self.deliver(batch),
        }
    }
}

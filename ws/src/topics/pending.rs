//! What a topic has to give out.

use super::Frame;
use std::{collections::VecDeque, mem, rc::Rc};

/// Bytes of messages that go out together.
const JOIN_UP_TO: usize = 64 * 1024;

/// Messages that some subscriber may not have got yet. Once all are forgotten, all subscribers have got the newest one.
///
/// A topic numbers its messages, and each subscriber knows the number of the last that it has got or missed.
#[derive(Default)]
pub(super) struct Pending {
    /// The number of the newest message that was published; the first one's is 1.
    newest: u64,
    /// In their order. Those of the round come first; behind them some may be missing, that were shed.
    messages: VecDeque<Waiting>,
    round: Option<Round>,
    /// Bytes of memory of the messages behind the round's.
    behind: usize,
    /// The topic is among those that have something to give out, or had.
    pub(super) is_waiting: bool,
}

struct Waiting {
    number: u64,
    order: u64,
    frame: Rc<Frame>,
}

/// Messages on their way to the subscribers.
struct Round {
    batch: Batch,
    /// The place of the next subscriber: those before it have got the batch.
    next: usize,
}

/// Messages that go out together.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) frames: Rc<Frame>,
    /// The last of them, for who has no room for all and wants that one most.
    pub(super) last: Rc<Frame>,
    /// The number of the message before the first.
    pub(super) before: u64,
    pub(super) count: u64,
}

/// A message that a subscriber has not got.
pub(super) struct Unseen {
    /// Its place in the order of all messages of the shard.
    pub(super) order: u64,
    /// How many right before it were shed.
    pub(super) missed: u64,
    pub(super) frame: Rc<Frame>,
}

impl Pending {
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of memory that [`Pending::shed`] could free.
    pub(super) fn can_shed(&self) -> usize {
        self.behind
    }

    pub(super) fn push(&mut self, order: u64, frame: Rc<Frame>) {
        self.newest += 1;
        self.behind += frame.memory();
        self.messages.push_back(Waiting { number: self.newest, order, frame });
    }

    /// Forgets the oldest message that is not on its way, to make room for one that is pushed then: bytes of memory that
    /// this has freed.
    pub(super) fn shed(&mut self) -> Option<usize> {
        let message = self.messages.remove(self.of_round())?;
        self.behind -= message.frame.memory();
        Some(message.frame.memory())
    }

    /// Collects what comes behind the message with the number `seen`.
    pub(super) fn collect_unseen(&self, seen: u64, unseen: &mut Vec<Unseen>) {
        let from = self.messages.partition_point(|message| message.number <= seen);
        let mut before = seen;
        for message in self.messages.range(from..) {
            let missed = message.number - before - 1;
            before = message.number;
            unseen.push(Unseen { order: message.order, missed, frame: Rc::clone(&message.frame) });
        }
    }

    /// The messages that are on their way, or are so from now on, and the place of the next subscriber.
    pub(super) fn round(&mut self) -> Option<(Batch, usize)> {
        if self.round.is_none() {
            self.round = Some(Round { batch: self.next_batch()?, next: 0 });
        }
        self.round.as_ref().map(|round| (round.batch.clone(), round.next))
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let mut bytes = 0;
        let fits = |message: &&Waiting| {
            bytes += message.frame.len();
            bytes <= JOIN_UP_TO
        };
        let count = self.messages.iter().take_while(fits).count().max(1);
        let before = self.messages.front()?.number - 1;
        let all: Vec<Rc<Frame>> =
            self.messages.iter().take(count).map(|message| Rc::clone(&message.frame)).collect();
        self.behind -= all.iter().map(|frame| frame.memory()).sum::<usize>();
        let last = Rc::clone(all.last()?);
        Some(Batch { frames: Frame::join(&all)?, last, before, count: count as u64 })
    }

    /// The subscribers before `next`, of so many, have got the round's messages. Once all have, the round is over: the
    /// bytes of memory that this has freed.
    pub(super) fn advance(&mut self, next: usize, subscribers: usize) -> Option<usize> {
        let round = self.round.as_mut()?;
        round.next = next;
        if next < subscribers {
            return None;
        }
        let of_round = self.of_round();
        self.round = None;
        let freed = self.messages.drain(..of_round).map(|message| message.frame.memory()).sum();
        if self.messages.is_empty() {
            // A topic that is idle keeps no memory of what it had.
            self.messages = VecDeque::new();
        }
        Some(freed)
    }

    /// Forgets everything, since nobody is left to get it: bytes of memory that this has freed.
    pub(super) fn clear(&mut self) -> usize {
        (self.round, self.behind) = (None, 0);
        mem::take(&mut self.messages).iter().map(|message| message.frame.memory()).sum()
    }

    /// A subscriber leaves its place. If the round has been there, the last one whom it has served has to move there,
    /// and leaves its own, which is given back: so nobody is passed over, and nobody served twice.
    pub(super) fn leave(&mut self, place: usize) -> usize {
        match &mut self.round {
            Some(round) if place < round.next => {
                round.next -= 1;
                round.next
            }
            _ => place,
        }
    }

    fn of_round(&self) -> usize {
        self.round.as_ref().map_or(0, |round| round.batch.count as usize)
    }
}

impl Batch {
    /// The number of the last message.
    pub(super) fn end(&self) -> u64 {
        self.before + self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, topics::Encoded};

    fn frame(len: usize) -> Rc<Frame> {
        Frame::new(0, Encoded::new(&Message::from(vec![0; len]), false))
    }

    /// How many were missed before each of the messages that come behind `seen`.
    fn missed(pending: &Pending, seen: u64) -> Vec<u64> {
        let mut unseen = Vec::new();
        pending.collect_unseen(seen, &mut unseen);
        unseen.iter().map(|message| message.missed).collect()
    }

    #[test]
    fn what_is_shed_is_missed_by_those_who_have_not_got_it_and_never_on_its_way() {
        let mut pending = Pending::default();
        (0..2).for_each(|order| pending.push(order, frame(40_000)));
        let (batch, _) = pending.round().unwrap();
        assert_eq!((batch.before, batch.end()), (0, 1), "two are too long for one batch");
        (2..5).for_each(|order| pending.push(order, frame(10)));
        let memory = [40_000, 10].map(|len| frame(len).memory());
        assert_eq!(pending.can_shed(), memory[0] + 3 * memory[1]);
        assert_eq!((pending.shed(), pending.shed()), (Some(memory[0]), Some(memory[1])));
        assert_eq!(missed(&pending, 0), [0, 2, 0]);
        assert_eq!(missed(&pending, 1), [2, 0]);
        assert_eq!(missed(&pending, 2), [1, 0]);
        assert_eq!(missed(&pending, 3), [0, 0], "4 and 5");
        assert_eq!(pending.advance(3, 3), Some(memory[0]));
        let (batch, _) = pending.round().unwrap();
        assert_eq!(
            (batch.before, batch.end(), batch.count),
            (3, 5, 2),
            "who has seen 3 gets it in one piece"
        );
        assert_eq!((pending.can_shed(), pending.shed()), (0, None));
        assert_eq!(pending.advance(3, 3), Some(2 * memory[1]));
        assert!(pending.is_empty() && pending.round().is_none());
        assert_eq!((pending.newest(), missed(&pending, 5).len()), (5, 0));
    }

    #[test]
    fn nothing_is_left_of_what_is_cleared_within_a_round() {
        let mut pending = Pending::default();
        (0..3).for_each(|order| pending.push(order, frame(40_000)));
        pending.round().unwrap();
        assert_eq!(pending.clear(), 3 * frame(40_000).memory());
        assert!(pending.is_empty() && pending.round().is_none());
        assert_eq!((pending.can_shed(), pending.newest()), (0, 3));
        pending.push(3, frame(1));
        assert_eq!(pending.round().unwrap().0.end(), 4);
    }

    #[test]
    fn who_leaves_is_followed_by_the_last_one_whom_the_round_has_served() {
        let mut pending = Pending::default();
        assert_eq!(pending.leave(3), 3, "without a round");
        pending.push(0, frame(1));
        pending.round().unwrap();
        assert_eq!(pending.advance(10, 20), None);
        assert_eq!(pending.leave(15), 15, "the round has yet to come there");
        assert_eq!((pending.leave(2), pending.leave(8)), (9, 8));
        assert_eq!(pending.round().unwrap().1, 8);
    }
}

//! What a shard has published for other shards.
//!
//! What is published within a turn goes to each of them as one message of its mailbox. If that is full, it waits here
//! for as long as the mailbox is.

use super::{Central, Encoded, LocalTopics};
use lakh_core::ShardHandle;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Bytes of memory of what waits for one shard.
const WAITING_AT_MOST: usize = 16 << 20;
/// Messages that a shard is given at once: it takes them in within one turn.
const AT_ONCE: usize = 256;
/// After this a mailbox that was full is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// A message on its way to another shard.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) topic: Arc<str>,
    pub(super) encoded: Encoded,
}

/// What waits for other shards.
#[derive(Default)]
pub(super) struct Outbox {
    /// By the shards' places.
    queues: RefCell<Vec<Queue>>,
    /// The task that empties it is there.
    is_running: Cell<bool>,
}

#[derive(Default)]
struct Queue {
    shard: Option<ShardHandle>,
    letters: VecDeque<Letter>,
    bytes: usize,
}

impl Letter {
    /// Bytes of memory.
    fn memory(&self) -> usize {
        self.topic.len() + self.encoded.memory()
    }
}

/// Sends letters to a shard, or gives them back if its mailbox is full. One that has stopped has no subscribers.
pub(super) fn send(
    central: &Arc<Central>,
    shard: &ShardHandle,
    letters: Vec<Letter>,
) -> Result<(), Vec<Letter>> {
    // Of a message that a mailbox refuses nothing comes back: so both ends can take the letters.
    let parcel = Arc::new(Mutex::new(letters));
    let take =
        |parcel: &Mutex<Vec<Letter>>| mem::take(&mut *parcel.lock().unwrap_or_else(PoisonError::into_inner));
    let (central, theirs) = (Arc::clone(central), Arc::clone(&parcel));
    let sent = shard.send(move |_| {
        if let Some(local) = LocalTopics::find(&central) {
            local.receive(take(&theirs));
        }
    });
    match sent {
        Err(error) if error.is_full() => Err(take(&parcel)),
        _ => Ok(()),
    }
}

impl Outbox {
    /// False if there is no room.
    fn push(&self, at: usize, shard: ShardHandle, letter: Letter) -> bool {
        let mut queues = self.queues.borrow_mut();
        if queues.len() <= at {
            queues.resize_with(at + 1, Queue::default);
        }
        let queue = &mut queues[at];
        let bytes = queue.bytes + letter.memory();
        if bytes > WAITING_AT_MOST && !queue.letters.is_empty() {
            return false;
        }
        queue.shard = Some(shard);
        queue.letters.push_back(letter);
        queue.bytes = bytes;
        true
    }

    /// Sends what the shards take; how much is left.
    fn send_out(&self, central: &Arc<Central>) -> usize {
        self.queues.borrow_mut().iter_mut().map(|queue| queue.send_out(central)).sum()
    }
}

impl Queue {
    fn send_out(&mut self, central: &Arc<Central>) -> usize {
        while let Some(shard) = &self.shard
            && !self.letters.is_empty()
        {
            let count = self.letters.len().min(AT_ONCE);
            let letters: Vec<Letter> = self.letters.drain(..count).collect();
            let memory: usize = letters.iter().map(Letter::memory).sum();
            if let Err(letters) = send(central, shard, letters) {
                letters.into_iter().rev().for_each(|letter| self.letters.push_front(letter));
                return self.letters.len();
            }
            self.bytes -= memory;
        }
        // An outbox that was full once takes no memory for that.
        *self = Queue::default();
        0
    }
}

impl LocalTopics {
    /// Lets another shard have a message soon; false if too much waits for it already.
    pub(super) fn post(self: &Rc<Self>, at: usize, shard: ShardHandle, letter: Letter) -> bool {
        if !self.outbox.push(at, shard, letter) {
            return false;
        }
        if !self.outbox.is_running.replace(true) {
            let local = Rc::clone(self);
            let sending = async move {
                while local.outbox.send_out(local.central()) > 0 {
                    lakh_core::sleep(RETRY_AFTER).await;
                }
                local.outbox.is_running.set(false);
            };
            if lakh_core::try_with(|shard| shard.spawn_detached(sending)).is_none() {
                self.outbox.is_running.set(false); // the shard is gone
            }
        }
        true
    }

    /// Sends what is left to send when the shard ends; what nobody takes now is refused.
    pub(super) fn close_outbox(&self) {
        let left = self.outbox.send_out(self.central());
        self.central().count_refused(left as u64);
    }
}

//! What a shard has published for other shards.
//!
//! What is published within a turn goes to each of them as one message of its mailbox. If that is full, or has as many
//! bytes of topics in it as may be, it waits here.

use super::{Central, Encoded, LocalTopics};
use lakh_core::ShardHandle;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Bytes of memory of what waits in one shard's mailbox, whoever has sent it.
const UNDER_WAY_AT_MOST: usize = 16 << 20;
/// Bytes of memory of what waits here for one shard.
const WAITING_AT_MOST: usize = 16 << 20;
/// Messages that a shard is given at once: it takes them in within one turn.
const AT_ONCE: usize = 256;
/// As many bytes of memory, but for the last message.
const BYTES_AT_ONCE: usize = 1 << 20;
/// After this a mailbox that took no more is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// A message on its way to another shard.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) topic: Arc<str>,
    pub(super) encoded: Encoded,
}

/// A shard that letters are sent to.
#[derive(Clone)]
pub(super) struct Target {
    shard: ShardHandle,
    /// Bytes of memory of what waits in its mailbox.
    under_way: Arc<AtomicUsize>,
}

/// Letters in a mailbox.
struct Parcel {
    letters: Mutex<Vec<Letter>>,
    memory: usize,
    under_way: Arc<AtomicUsize>,
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
    target: Option<Target>,
    letters: VecDeque<Letter>,
    bytes: usize,
}

impl Letter {
    /// Bytes of memory.
    fn memory(&self) -> usize {
        self.topic.len() + self.encoded.memory()
    }
}

impl Target {
    pub(super) fn new(shard: ShardHandle) -> Self {
        Target { shard, under_way: Arc::default() }
    }

    /// Puts letters together, or gives them back if too much is under way already.
    fn parcel(&self, letters: Vec<Letter>) -> Result<Arc<Parcel>, Vec<Letter>> {
        let memory = letters.iter().map(Letter::memory).sum();
        let before = self.under_way.fetch_add(memory, Ordering::Relaxed);
        let parcel = Parcel { letters: Mutex::new(letters), memory, under_way: Arc::clone(&self.under_way) };
        if before > 0 && before + memory > UNDER_WAY_AT_MOST {
            return Err(parcel.take());
        }
        Ok(Arc::new(parcel))
    }
}

impl Parcel {
    fn take(&self) -> Vec<Letter> {
        mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.under_way.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

/// Sends letters to a shard, or gives them back if its mailbox takes no more. One that has stopped has no subscribers.
pub(super) fn send(central: &Arc<Central>, target: &Target, letters: Vec<Letter>) -> Result<(), Vec<Letter>> {
    // Of a message that a mailbox refuses nothing comes back: so both ends can take the letters.
    let parcel = target.parcel(letters)?;
    let (central, theirs) = (Arc::clone(central), Arc::clone(&parcel));
    let sent = target.shard.send(move |_| {
        let letters = theirs.take();
        drop(theirs);
        if let Some(local) = LocalTopics::find(&central) {
            local.receive(letters);
        }
    });
    match sent {
        Err(error) if error.is_full() => Err(parcel.take()),
        _ => Ok(()),
    }
}

impl Outbox {
    /// False if there is no room.
    fn push(&self, at: usize, target: Target, letter: Letter) -> bool {
        let mut queues = self.queues.borrow_mut();
        if queues.len() <= at {
            queues.resize_with(at + 1, Queue::default);
        }
        let queue = &mut queues[at];
        let bytes = queue.bytes + letter.memory();
        if bytes > WAITING_AT_MOST && !queue.letters.is_empty() {
            return false;
        }
        queue.target = Some(target);
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
        while let Some(target) = &self.target
            && !self.letters.is_empty()
        {
            let mut memory = 0;
            let fits = |letter: &&Letter| {
                let has_room = memory < BYTES_AT_ONCE;
                memory += if has_room { letter.memory() } else { 0 };
                has_room
            };
            let count = self.letters.iter().take(AT_ONCE).take_while(fits).count();
            let letters: Vec<Letter> = self.letters.drain(..count).collect();
            if let Err(letters) = send(central, target, letters) {
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
    pub(super) fn post(self: &Rc<Self>, at: usize, target: Target, letter: Letter) -> bool {
        if !self.outbox.push(at, target, letter) {
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

//! How a shard falls asleep without missing a message.
//!
//! The shard announces its sleep, then looks at its lists once more, then blocks. Another thread
//! puts its message into a list, then looks for the announcement. Both sides have a sequentially
//! consistent fence between their write and their read, so at least one sees the other's write:
//! either the shard finds the message, or the thread finds the shard asleep and unblocks it. An
//! awake shard costs the sender one load; the first of many senders to a sleeping one pays for the
//! system call.

use crate::sync::{AtomicBool, Ordering, fence};

pub(crate) struct Doze {
    asleep: AtomicBool,
}

impl Doze {
    pub(crate) fn new() -> Self {
        Doze { asleep: AtomicBool::new(false) }
    }

    /// By the shard: announces that it is about to block. Look at every list after this.
    pub(crate) fn announce(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// By the shard: it does not block, or no longer.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// By a sender, after its message is in a list: true if it must unblock the shard.
    pub(crate) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::atomic::AtomicUsize, thread};
    use std::sync::Arc;

    struct Model {
        doze: Doze,
        messages: AtomicUsize,
        bell: AtomicBool,
    }

    impl Model {
        fn send(&self) {
            self.messages.fetch_add(1, Ordering::Relaxed);
            if self.doze.must_ring() {
                self.bell.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Whenever the shard blocks with a message in its list, its bell rings.
    #[test]
    fn loom_no_message_is_slept_through() {
        loom::model(|| {
            let model = Arc::new(Model {
                doze: Doze::new(),
                messages: AtomicUsize::new(0),
                bell: AtomicBool::new(false),
            });
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || model.send())
                })
                .collect();
            model.doze.announce();
            let seen = model.messages.load(Ordering::Relaxed);
            for sender in senders {
                sender.join().unwrap();
            }
            // What the shard did not see before it blocked has rung the bell.
            assert!(seen == 2 || model.bell.load(Ordering::SeqCst));
        });
    }

    /// A second sleep is guarded as the first one was.
    #[test]
    fn loom_sleep_wake_sleep() {
        loom::model(|| {
            let model = Arc::new(Model {
                doze: Doze::new(),
                messages: AtomicUsize::new(0),
                bell: AtomicBool::new(false),
            });
            let sender = {
                let model = model.clone();
                thread::spawn(move || model.send())
            };
            model.doze.announce();
            let first = model.messages.load(Ordering::Relaxed);
            model.doze.awake();
            model.doze.announce();
            let second = model.messages.load(Ordering::Relaxed);
            sender.join().unwrap();
            assert!(first + second > 0 || model.bell.load(Ordering::SeqCst));
        });
    }
}

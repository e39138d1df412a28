//! What other threads see of a shard.

use super::{Doze, Notifier, Shard};
use crate::{
    metrics::ShardMetrics,
    sync::{AtomicU8, AtomicU32, Ordering},
    task::{Link, LinkList, TaskRef},
    unwind,
    watchdog::Pulse,
};
use crossbeam_queue::ArrayQueue;
use std::{error, fmt, future::Future, io, sync::Arc, time::Duration};

/// Messages that a shard's mailbox holds at most; further ones are refused.
pub const MAILBOX_CAPACITY: usize = 4096;

pub(crate) type Message = Box<dyn FnOnce(&Shard) + Send>;

/// How far a shard's life has gone. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    Running = 0,
    /// No new work; what is in flight is finished.
    Draining = 1,
    /// The loop ends with this turn.
    Stopping = 2,
    /// The loop has ended: nothing is accepted any more.
    Ended = 3,
}

/// The part of a shard that is shared with other threads.
pub(crate) struct Remote {
    id: usize,
    woken: LinkList<TaskRef>,
    mailbox: ArrayQueue<Message>,
    phase: AtomicU8,
    /// How long what is in flight has when the shard drains, in milliseconds.
    grace: AtomicU32,
    doze: Doze,
    notifier: Notifier,
    pub(crate) pulse: Pulse,
    pub(crate) metrics: ShardMetrics,
}

impl Remote {
    pub(crate) fn new(id: usize, notifier: Notifier, pulse: Pulse) -> Self {
        Remote {
            id,
            woken: LinkList::new(),
            mailbox: ArrayQueue::new(MAILBOX_CAPACITY),
            phase: AtomicU8::new(Phase::Running as u8),
            grace: AtomicU32::new(0),
            doze: Doze::new(),
            notifier,
            pulse,
            metrics: ShardMetrics::default(),
        }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn doze(&self) -> &Doze {
        &self.doze
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            2 => Phase::Stopping,
            _ => Phase::Ended,
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Ordering::Relaxed).into())
    }

    /// Goes on to a later phase; an earlier one changes nothing.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.ring();
    }

    /// Wakes a task of this shard from another thread.
    ///
    /// The shard says that it has ended, then empties its list; we fill the list, then look whether
    /// it has ended. [`Doze::must_ring`], on both sides between the two, has a sequentially
    /// consistent fence, so at least one of us finds the link.
    pub(crate) fn wake_task(&self, link: &Arc<Link<TaskRef>>) {
        if self.phase() == Phase::Ended {
            return;
        }
        if self.woken.push(link) {
            self.ring();
        }
        if self.phase() == Phase::Ended {
            // The shard will not look again, and a link left here would keep itself alive.
            self.woken.drain(|_| {});
        }
    }

    fn ring(&self) {
        if self.doze.must_ring()
            && let Err(error) = self.notifier.wake()
        {
            self.metrics.count_notify_error(&error);
        }
    }

    fn post(&self, message: Message) -> Result<(), SendError> {
        if self.phase() >= Phase::Stopping {
            return Err(SendError(Refusal::Stopped));
        }
        if self.mailbox.push(message).is_err() {
            self.metrics.count_refused_message();
            return Err(SendError(Refusal::Full));
        }
        self.ring();
        if self.phase() == Phase::Ended {
            // As in `wake_task`: nobody else would drop it.
            while let Some(message) = self.next_message() {
                unwind::catch(|| drop(message));
            }
        }
        Ok(())
    }

    pub(crate) fn next_message(&self) -> Option<Message> {
        self.mailbox.pop()
    }

    pub(crate) fn drain_woken(&self, each: impl FnMut(&TaskRef)) {
        self.woken.drain(each);
    }

    /// Whether a turn would find anything from another thread.
    pub(crate) fn has_work(&self) -> bool {
        !self.woken.is_empty() || !self.mailbox.is_empty()
    }
}

/// Reaches a shard from any thread: sends it work and reads its counters. Cheap to clone.
#[derive(Clone)]
pub struct ShardHandle {
    remote: Arc<Remote>,
}

impl ShardHandle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        ShardHandle { remote }
    }

    /// The shard's number, from 0.
    pub fn id(&self) -> usize {
        self.remote.id
    }

    /// Runs `message` on the shard at the start of a coming turn. It must not block. A shard that
    /// stops drops the messages that it has not run.
    ///
    /// # Errors
    /// If the mailbox is full ([`MAILBOX_CAPACITY`]) or the shard has stopped; `message` is
    /// dropped then.
    pub fn send(&self, message: impl FnOnce(&Shard) + Send + 'static) -> Result<(), SendError> {
        self.remote.post(Box::new(message))
    }

    /// Spawns a future on the shard. `make` is called there, so the future need not be `Send`.
    ///
    /// # Errors
    /// As [`ShardHandle::send`].
    ///
    /// ```
    /// # lakh_core::block_on(async {
    /// let handle = lakh_core::current().handle();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// std::thread::spawn(move || {
    ///     handle.spawn_on(move || async move { tell.send("from the shard").unwrap() }).unwrap();
    /// })
    /// .join()
    /// .unwrap();
    /// while told.try_recv() != Ok("from the shard") {
    ///     lakh_core::yield_now().await;
    /// }
    /// # }).unwrap();
    /// ```
    pub fn spawn_on<F, Fut>(&self, make: F) -> Result<(), SendError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.send(|shard| shard.spawn_detached(make()))
    }

    /// Asks the shard to finish what is in flight and take no new work.
    pub fn drain(&self) {
        self.drain_within(Duration::ZERO);
    }

    /// As [`ShardHandle::drain`], and says how long there is for that: whoever has many connections to end may
    /// spread their ends over it ([`Shard::drain_grace`]). Nothing is cut when the time is over: that is up to
    /// the caller.
    pub fn drain_within(&self, grace: Duration) {
        let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        // Before the phase, with which it becomes visible. The longest that anybody has said counts.
        self.remote.grace.fetch_max(grace, Ordering::Relaxed);
        self.remote.advance(Phase::Draining);
    }

    /// Ends the shard's loop with its current turn; its tasks are dropped.
    pub fn stop(&self) {
        self.remote.advance(Phase::Stopping);
    }

    pub(crate) fn remote(&self) -> Arc<Remote> {
        Arc::clone(&self.remote)
    }

    /// How long it works on its turn by now; `None` if it sleeps.
    pub(crate) fn turn(&self) -> Option<Duration> {
        self.remote.pulse.turn_began().map(|began| began.elapsed())
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.remote.phase() == Phase::Ended
    }

    /// The shard's counters.
    pub fn metrics(&self) -> &ShardMetrics {
        &self.remote.metrics
    }
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHandle").field("id", &self.id()).finish()
    }
}

/// Why a shard did not take a message.
#[derive(Debug)]
pub struct SendError(Refusal);

#[derive(Debug)]
enum Refusal {
    Full,
    Stopped,
}

impl SendError {
    /// The mailbox was full; later it may not be.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Refusal::Full)
    }

    /// The shard has stopped and never takes a message again.
    pub fn is_stopped(&self) -> bool {
        matches!(self.0, Refusal::Stopped)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Refusal::Full => write!(f, "the shard's mailbox is full ({MAILBOX_CAPACITY} messages)"),
            Refusal::Stopped => f.write_str("the shard has stopped"),
        }
    }
}

impl error::Error for SendError {}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        io::Error::other(error)
    }
}

#[cfg(test)]
impl Remote {
    /// One without a kernel behind it.
    pub(crate) fn detached() -> Arc<Self> {
        let pulse = Pulse::new(std::time::Instant::now(), Arc::default());
        Arc::new(Remote::new(0, Notifier::Count(crate::sync::AtomicUsize::new(0)), pulse))
    }

    #[cfg(loom)]
    fn rings(&self) -> usize {
        match &self.notifier {
            Notifier::Kernel(_) => 0,
            Notifier::Count(count) => count.load(Ordering::SeqCst),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_after_the_end_is_refused() {
        let handle = ShardHandle::new(Remote::detached());
        handle.send(|_| {}).unwrap();
        handle.remote.advance(Phase::Ended);
        assert!(handle.send(|_| {}).unwrap_err().is_stopped());
    }

    #[test]
    fn a_phase_never_goes_back() {
        let remote = Remote::detached();
        remote.advance(Phase::Ended);
        remote.advance(Phase::Draining);
        assert_eq!(remote.phase(), Phase::Ended);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::model;
    use loom::{sync::atomic::AtomicUsize, thread};

    /// More take minutes.
    const PREEMPTIONS: usize = 3;

    fn link(remote: &Arc<Remote>) -> Arc<Link<TaskRef>> {
        Link::new(TaskRef { index: 0, remote: Arc::clone(remote) })
    }

    /// A shard that falls asleep while its task is woken finds the link, or is rung for.
    #[test]
    fn loom_a_remote_wake_is_found_or_rings() {
        model(PREEMPTIONS, || {
            let remote = Remote::detached();
            let link = link(&remote);
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (remote, link) = (Arc::clone(&remote), Arc::clone(&link));
                    thread::spawn(move || remote.wake_task(&link))
                })
                .collect();
            let mut found = 0;
            remote.drain_woken(|_| found += 1);
            remote.doze().announce();
            let blocks = !remote.has_work();
            for waker in wakers {
                waker.join().unwrap();
            }
            if blocks && remote.has_work() {
                assert!(remote.rings() > 0, "the shard sleeps, and its task is in the list");
            }
            remote.drain_woken(|_| found += 1);
            assert!(found > 0);
        });
    }

    /// What was written before a wake is seen by the task that the drain wakes, and no link stays
    /// behind when the shard ends meanwhile: it would keep itself and the shard's remote alive.
    #[test]
    fn loom_no_link_outlives_the_shard() {
        model(PREEMPTIONS, || {
            let remote = Remote::detached();
            let link = link(&remote);
            let written = Arc::new(AtomicUsize::new(0));
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (remote, link, written) =
                        (Arc::clone(&remote), Arc::clone(&link), Arc::clone(&written));
                    thread::spawn(move || {
                        written.fetch_add(1, Ordering::Relaxed);
                        remote.wake_task(&link);
                    })
                })
                .collect();
            remote.drain_woken(|_| assert!(written.load(Ordering::Relaxed) > 0));
            remote.advance(Phase::Ended);
            remote.drain_woken(|_| {});
            for waker in wakers {
                waker.join().unwrap();
            }
            assert!(!remote.has_work(), "a link was left behind");
            assert_eq!(Arc::strong_count(&link), 1);
        });
    }
}

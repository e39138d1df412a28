//! The tasks of one shard and the queue of those that are ready.

use super::{
    Link,
    polled::{Polled, wake_at_home},
    told::BoxTask,
};
use crate::{diagnostics::Activity, shard::Remote, slab::Slab, unwind, watchdog::WorkName};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ptr,
    sync::Arc,
    task::{Context, Poll, Wake},
};

/// The run of the queue in which those that yield to others come up at the latest.
const REST: u32 = 8;

/// What a waker knows of its task: where it lives.
///
/// A waker may outlive its task and then wakes whoever has the index next: a spurious wake, which
/// every future has to bear anyway.
pub(crate) struct TaskRef {
    pub(crate) index: u32,
    pub(crate) remote: Arc<Remote>,
}

impl Wake for Link<TaskRef> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = self.value();
        if !wake_at_home(task.index, &task.remote) {
            task.remote.wake_task(self);
        }
    }
}

struct Slot {
    /// Taken out while the task is polled, so that nothing is borrowed then.
    future: Option<BoxTask>,
    /// What the task's wakers share, once there has been one.
    link: Option<Arc<Link<TaskRef>>>,
    /// In seconds of the shard.
    since: u32,
    /// The name that it has last been polled under, [`WorkName::short`].
    name: u16,
    /// A drain waits for what has that name.
    guarded: bool,
    /// The index is in the run queue, or among those that rest, once. A task that ends with its index in there leaves its
    /// slot behind until the index comes up: whoever got the slot before that would have two places
    /// in the queue, and keep both for as long as it wakes itself.
    queued: bool,
}

/// See the module's text. Touched by the shard's own thread only.
pub(crate) struct Tasks {
    remote: Arc<Remote>,
    slots: RefCell<Slab<Slot>>,
    queue: RefCell<VecDeque<u32>>,
    /// Ready as well, but behind the others.
    resting: RefCell<VecDeque<u32>>,
    /// How many runs of the queue they have sat out.
    sat_out: Cell<u32>,
    /// The task that is being polled: its waker's data pointer (for comparison only) and index.
    polling: Cell<(*const (), u32)>,
    /// The name that the task which is being polled has given itself.
    named: Cell<Option<(WorkName, bool)>>,
    panicked: Cell<u64>,
}

/// A task as it is when somebody asks.
pub(crate) struct Asked {
    /// When it was spawned, in seconds of the shard.
    pub(crate) since: u32,
    /// The name it is polled under, if it has one.
    pub(crate) name: WorkName,
    pub(crate) activity: Activity,
}

// Part of what an idle connection takes; see ARCHITECTURE.md.
const _: () = assert!(size_of::<Slot>() <= 32);

impl Tasks {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        Tasks {
            remote,
            slots: RefCell::new(Slab::new()),
            queue: RefCell::new(VecDeque::new()),
            resting: RefCell::new(VecDeque::new()),
            sat_out: Cell::new(0),
            polling: Cell::new((ptr::null(), 0)),
            named: Cell::default(),
            panicked: Cell::new(0),
        }
    }

    /// Adds a task; its first poll comes with the next run of the queue. `since` is the shard's second.
    pub(crate) fn spawn(&self, future: BoxTask, since: u32) -> u32 {
        let slot = Slot { future: Some(future), link: None, since, name: 0, guarded: false, queued: true };
        let index = self.slots.borrow_mut().insert(slot);
        self.queue.borrow_mut().push_back(index);
        index
    }

    /// Makes a task ready. Nothing happens if it is queued already, or gone.
    #[inline]
    pub(crate) fn wake(&self, index: u32) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.queue.borrow_mut().push_back(index);
        }
    }

    /// As [`Tasks::wake`], for a task that lets others go first: it comes up when nobody else is ready, or in
    /// every [`REST`]th run.
    pub(crate) fn rest(&self, index: u32) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.resting.borrow_mut().push_back(index);
        }
    }

    /// Makes every task ready: the way a shard-wide change (a drain) reaches them.
    pub(crate) fn wake_all(&self) {
        let all: Vec<u32> = self.slots.borrow().iter().map(|(index, _)| index).collect();
        for index in all {
            self.wake(index);
        }
    }

    pub(crate) fn any_ready(&self) -> bool {
        !self.queue.borrow().is_empty() || !self.resting.borrow().is_empty()
    }

    /// The index of the task that is being polled, if `waker` is its own waker.
    #[inline]
    pub(crate) fn polled_by(&self, waker: &std::task::Waker) -> Option<u32> {
        let (data, index) = self.polling.get();
        // Between two polls the pointer is null, and so is that of `Waker::noop`.
        (!data.is_null() && ptr::eq(data, waker.data())).then_some(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// How often code of the user has panicked.
    pub(crate) fn panicked(&self) -> u64 {
        self.panicked.get()
    }

    /// Runs code of the user that is part of no task's poll: a destructor, a foreign waker. A panic
    /// is counted and goes no farther.
    pub(crate) fn guarded<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let value = unwind::catch(f);
        if value.is_none() {
            self.panicked.set(self.panicked.get() + 1);
        }
        value
    }

    /// Polls the tasks that are ready now; those woken meanwhile wait for the next run. Calls
    /// `before` ahead of each poll, with its number from 1. Returns how many were polled.
    pub(crate) fn run(&self, before: impl Fn(u32)) -> usize {
        self.end_rest();
        let ready = self.queue.borrow().len();
        for number in 1..=ready {
            let Some(index) = self.queue.borrow_mut().pop_front() else { break };
            before(number as u32);
            self.poll(index);
        }
        ready
    }

    /// Queues those that have rested for long enough.
    fn end_rest(&self) {
        let mut resting = self.resting.borrow_mut();
        if resting.is_empty() {
            return;
        }
        let (mut queue, runs) = (self.queue.borrow_mut(), self.sat_out.get() + 1);
        let is_over = queue.is_empty() || runs == REST;
        if is_over {
            queue.append(&mut resting);
        }
        self.sat_out.set(if is_over { 0 } else { runs });
    }

    fn poll(&self, index: u32) {
        let Some((mut future, link)) = self.take(index) else { return };
        let polled = Polled::new(index, &self.remote, link);
        let waker = polled.waker();
        self.polling.set((waker.data(), index));
        let outcome = self.guarded(|| future.as_mut().poll_task(&mut Context::from_waker(&waker)));
        self.polling.set((ptr::null(), 0));
        let name = self.named.take();
        if outcome == Some(Poll::Pending) {
            let mut slots = self.slots.borrow_mut();
            let slot = slots.get_mut(index).expect("a slot stays while its task is polled");
            slot.future = Some(future);
            slot.link = polled.into_link();
            if let Some((name, guarded)) = name {
                (slot.name, slot.guarded) = (name.short(), guarded);
            }
            return;
        }
        // A destructor is user code: it may wake, spawn or panic.
        self.guarded(|| drop(future));
        self.free(index);
    }

    /// By a future that has a name: the task that is being polled goes by it. `guarded`: a drain waits for it.
    #[inline]
    pub(crate) fn name_polled(&self, name: WorkName, guarded: bool) {
        self.named.set(Some((name, guarded)));
    }

    /// One more than the greatest index that a task may have.
    pub(crate) fn end(&self) -> u32 {
        self.slots.borrow().end()
    }

    /// Asks a task what it is at; `None` if there is none, or it is being polled.
    pub(crate) fn ask(&self, index: u32) -> Option<Asked> {
        // Taken out: what it tells of itself is code of the user, under which nothing is borrowed.
        let (future, since, name, guarded) = {
            let mut slots = self.slots.borrow_mut();
            let slot = slots.get_mut(index)?;
            (slot.future.take()?, slot.since, WorkName::from_short(slot.name), slot.guarded)
        };
        let mut activity = self.guarded(|| future.activity()).unwrap_or_default();
        activity.keeps_alive |= guarded;
        let mut slots = self.slots.borrow_mut();
        slots.get_mut(index).expect("a slot stays while its task is asked").future = Some(future);
        Some(Asked { since, name, activity })
    }

    /// Takes out what is needed to poll the task that has come up in the queue, if it still lives.
    fn take(&self, index: u32) -> Option<(BoxTask, Option<Arc<Link<TaskRef>>>)> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(index)?;
        slot.queued = false;
        let taken = slot.future.take().map(|future| (future, slot.link.take()));
        if taken.is_none() {
            slots.remove(index);
        }
        taken
    }

    /// Frees the slot of a task that has ended, now or when its index comes up in the queue.
    fn free(&self, index: u32) {
        let mut slots = self.slots.borrow_mut();
        if slots.get_mut(index).is_some_and(|slot| !slot.queued) {
            slots.remove(index);
        }
    }

    /// Drops every task, those spawned by destructors included, within a bound.
    pub(crate) fn clear(&self) {
        const ROUNDS: usize = 16;
        for _ in 0..ROUNDS {
            let all: Vec<u32> = self.slots.borrow().iter().map(|(index, _)| index).collect();
            if all.is_empty() {
                break;
            }
            for index in all {
                let slot = self.slots.borrow_mut().remove(index);
                if let Some(Slot { future: Some(future), .. }) = slot {
                    self.guarded(|| drop(future));
                }
            }
        }
        self.queue.borrow_mut().clear();
        self.resting.borrow_mut().clear();
    }
}

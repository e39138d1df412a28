//! What a program has called at certain places of the loop.

use super::Shard;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt, mem,
    ops::Bound,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

/// Whether there is more to do while the loop is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Call again, at once if nothing else has come.
    Yes,
    /// Nothing: the loop may sleep, and asks again when it has had something else to do.
    Done,
}

/// A place in each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    TurnStart,
    TurnEnd,
    Idle,
}

impl Shard {
    /// Has `work` called whenever the loop has nothing else to do: no task is ready, and the kernel has been asked and
    /// had nothing. It is called again and again while it says [`More::Yes`], for no longer than `budget` without
    /// the kernel being asked in between; then whatever has come goes first. (`uv_idle_t`, which runs in each turn.)
    ///
    /// The time is looked at between calls, so each should take a small part of the budget, and the budget is what
    /// everybody else may have to wait. A shard that is never idle never calls it. Each time before the loop
    /// sleeps, this costs one more call of the kernel.
    ///
    /// A hook that panics is counted, as tasks are, and removed. It does not keep the shard from ending.
    ///
    /// ```
    /// use lakh_core::More;
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    ///
    /// lakh_core::block_on(async {
    ///     let left = Rc::new(Cell::new(100));
    ///     let counter = Rc::clone(&left);
    ///     let hook = lakh_core::current().on_idle(Duration::from_millis(1), move || {
    ///         counter.set(counter.get() - 1);
    ///         if counter.get() > 0 { More::Yes } else { More::Done }
    ///     });
    ///     lakh_core::sleep(Duration::from_millis(50)).await;
    ///     drop(hook);
    ///     assert_eq!(left.get(), 0);
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_idle(&self, budget: Duration, work: impl FnMut() -> More + 'static) -> Hook {
        self.0.hooks.add(Place::Idle, budget, Box::new(work))
    }

    /// Has `hook` called at the beginning of each turn: the kernel has told what it had, and nothing of it has been
    /// acted on. (`uv_check_t`.) It must be short; panics are as those of [`on_idle`](Self::on_idle).
    pub fn on_turn_start(&self, hook: impl FnMut() + 'static) -> Hook {
        self.0.hooks.add(Place::TurnStart, Duration::ZERO, once(hook))
    }

    /// Has `hook` called at the end of each turn, before the kernel is asked, and the loop maybe sleeps: for what is
    /// collected in a turn and sent together. Tasks that it wakes have the next turn at once. (`uv_prepare_t`.) It
    /// must be short; panics are as those of [`on_idle`](Self::on_idle).
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// lakh_core::block_on(async {
    ///     let (lines, written) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    ///     let (collected, batches) = (Rc::clone(&lines), Rc::clone(&written));
    ///     let _hook = lakh_core::current().on_turn_end(move || {
    ///         let batch: Vec<&str> = collected.take();
    ///         if !batch.is_empty() {
    ///             batches.borrow_mut().push(batch.join(", "));
    ///         }
    ///     });
    ///     lines.borrow_mut().extend(["a", "b"]);
    ///     lakh_core::yield_now().await;
    ///     assert_eq!(*written.borrow(), ["a, b"]);
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_turn_end(&self, hook: impl FnMut() + 'static) -> Hook {
        self.0.hooks.add(Place::TurnEnd, Duration::ZERO, once(hook))
    }

    /// Calls the hooks of a place.
    #[inline]
    pub(super) fn call_hooks(&self, place: Place) {
        if self.0.hooks.has(place) {
            self.call_each(place);
        }
    }

    /// Whether the loop has to come back without sleeping, for those that may have more to do.
    #[inline]
    pub(super) fn awaits_idle_hooks(&self) -> bool {
        self.0.hooks.has(Place::Idle) && !self.0.hooks.are_done.get()
    }

    /// Lets those that were done be called again.
    #[inline]
    pub(super) fn was_busy(&self) {
        self.0.hooks.are_done.set(false);
    }

    /// Calls idle hooks. They are done once all of them say so.
    pub(super) fn call_idle_hooks(&self) {
        let more = self.call_each(Place::Idle);
        self.0.hooks.are_done.set(!more);
    }

    /// Whether one of them has more to do. Hooks may add and remove hooks.
    fn call_each(&self, place: Place) -> bool {
        let hooks = &self.0.hooks;
        let (mut more, mut last) = (false, 0);
        // Those that are added meanwhile are for the next time.
        let end = hooks.next.get();
        while let Some((id, budget, mut work)) = hooks.take_next(place, last, end) {
            last = id;
            let begin = (place == Place::Idle).then(Instant::now);
            let has_time = |begin: Instant| begin.elapsed() < budget;
            let outcome = loop {
                match self.0.tasks.guarded(&mut work) {
                    Some(More::Yes) if begin.is_some_and(has_time) => {}
                    outcome => break outcome,
                }
            };
            more |= outcome == Some(More::Yes);
            // One that has panicked, or was removed meanwhile, comes back to be dropped.
            let unwanted = match outcome {
                Some(_) => hooks.put_back(place, id, work),
                None => {
                    hooks.remove(place, id);
                    Some(work)
                }
            };
            self.0.tasks.guarded(|| drop(unwanted));
        }
        more
    }

    /// Drops all hooks: the shard has ended.
    pub(super) fn drop_hooks(&self) {
        for place in [Place::TurnStart, Place::TurnEnd, Place::Idle] {
            let all = mem::take(&mut *self.0.hooks.list(place).borrow_mut());
            for (_, entry) in all {
                self.0.tasks.guarded(|| drop(entry));
            }
        }
    }
}

fn once(mut hook: impl FnMut() + 'static) -> Work {
    Box::new(move || {
        hook();
        More::Done
    })
}

type Work = Box<dyn FnMut() -> More>;

/// By numbers that are never used again.
#[derive(Default)]
pub(super) struct Hooks {
    lists: [RefCell<BTreeMap<u64, Entry>>; 3],
    counts: [Cell<usize>; 3],
    next: Cell<u64>,
    are_done: Cell<bool>,
}

struct Entry {
    budget: Duration,
    /// `None` while it is called.
    work: Option<Work>,
}

impl Hooks {
    #[inline]
    fn has(&self, place: Place) -> bool {
        self.counts[place as usize].get() > 0
    }

    fn list(&self, place: Place) -> &RefCell<BTreeMap<u64, Entry>> {
        &self.lists[place as usize]
    }

    fn add(self: &Rc<Self>, place: Place, budget: Duration, work: Work) -> Hook {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.list(place).borrow_mut().insert(id, Entry { budget, work: Some(work) });
        self.count(place);
        self.are_done.set(false);
        Hook { hooks: Rc::downgrade(self), place, id }
    }

    fn count(&self, place: Place) {
        self.counts[place as usize].set(self.list(place).borrow().len());
    }

    /// The first one after `last` and up to `end`, to be called while nothing is borrowed.
    fn take_next(&self, place: Place, last: u64, end: u64) -> Option<(u64, Duration, Work)> {
        if last >= end {
            return None;
        }
        let mut list = self.list(place).borrow_mut();
        let mut later = list.range_mut((Bound::Excluded(last), Bound::Excluded(end + 1)));
        later.find_map(|(id, entry)| Some((*id, entry.budget, entry.work.take()?)))
    }

    /// Gives it back if nobody wants it any more.
    fn put_back(&self, place: Place, id: u64, work: Work) -> Option<Work> {
        match self.list(place).borrow_mut().get_mut(&id) {
            Some(entry) => {
                entry.work = Some(work);
                None
            }
            None => Some(work),
        }
    }

    fn remove(&self, place: Place, id: u64) -> Option<Work> {
        let entry = self.list(place).borrow_mut().remove(&id);
        self.count(place);
        entry?.work
    }
}

/// A hook of a shard, from [`Shard::on_idle`] and others: dropping this removes it.
#[must_use = "a hook is removed when this is dropped"]
pub struct Hook {
    hooks: Weak<Hooks>,
    place: Place,
    id: u64,
}

impl Hook {
    /// Leaves it there for as long as the shard lives.
    pub fn detach(mut self) {
        self.hooks = Weak::new();
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let work = self.hooks.upgrade().and_then(|hooks| hooks.remove(self.place, self.id));
        drop(work);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.place).finish()
    }
}

//! The shard: one thread, its event loop, and all that lives on it.
//!
//! One turn of the loop: messages and wakes of other threads, timers that are due, the tasks that
//! are ready (each within a budget), then the kernel's events. Nothing in here is shared with
//! another shard except [`Remote`].

mod doze;
mod hooks;
mod notifier;
mod remote;
mod turn;

pub(crate) use doze::Doze;
pub use hooks::{Hook, More};
pub(crate) use notifier::{Bell as NotifierBell, Notifier, Relay};
pub use remote::{MAILBOX_CAPACITY, SendError, ShardHandle};
pub(crate) use remote::{Phase, Remote};

use hooks::Hooks;

use crate::{
    diagnostics::{Diagnostics, Inspect},
    pool::Pool,
    reactor::Reactor,
    runtime,
    slab::Slab,
    sys::table::{self, Descriptor},
    task::{self, JoinHandle, Tasks, Waiters},
    time::Timers,
    watchdog::{Bell, Pulse, WorkName},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    future::{Future, poll_fn},
    io,
    marker::PhantomData,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Operations (reads, writes, accepts) that a task may do in one poll before it has to let others
/// run. See [`poll_budget`].
pub const POLL_BUDGET: u32 = 128;

thread_local! {
    static CURRENT: RefCell<Option<Shard>> = const { RefCell::new(None) };
}

/// A shard, as seen from its own thread. Cheap to clone; neither `Send` nor `Sync`: use
/// [`Shard::handle`] to reach it from elsewhere.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

struct Inner {
    remote: Arc<Remote>,
    tasks: Tasks,
    waiters: Waiters,
    reactor: Reactor,
    timers: Timers,
    pool: Pool,
    /// When the turn began.
    now: Cell<Instant>,
    lag: Cell<Duration>,
    budget: Cell<u32>,
    draining: Cell<bool>,
    drain_waiters: RefCell<Slab<Waker>>,
    guards: Cell<usize>,
    hooks: Rc<Hooks>,
    has_private_descriptors: bool,
    handed: RefCell<Vec<Option<Descriptor>>>,
    diagnostics: OnceCell<Diagnostics>,
}

impl Shard {
    /// `bell` is its watchdog's.
    ///
    /// # Errors
    /// On threads with a descriptor table of their own: no other could wake it.
    pub(crate) fn new(id: usize, pool: Pool, bell: Arc<Bell>) -> io::Result<Self> {
        if table::is_private() {
            return Err(table::refusal("no event loop can be started here"));
        }
        let reactor = Reactor::new()?;
        let notifier = Notifier::new(NotifierBell::Poll(reactor.notifier()?));
        Ok(Self::with(id, pool, bell, reactor, notifier))
    }

    /// `reactor` is woken by `notifier`.
    pub(crate) fn with(id: usize, pool: Pool, bell: Arc<Bell>, reactor: Reactor, notifier: Notifier) -> Self {
        let now = Instant::now();
        let remote = Arc::new(Remote::new(id, notifier, Pulse::new(now, bell)));
        remote.pulse.belongs_here();
        Shard(Rc::new(Inner {
            tasks: Tasks::new(Arc::clone(&remote)),
            remote,
            waiters: Waiters::new(),
            reactor,
            timers: Timers::new(now),
            pool,
            now: Cell::new(now),
            lag: Cell::new(Duration::ZERO),
            budget: Cell::new(POLL_BUDGET),
            draining: Cell::new(false),
            drain_waiters: RefCell::new(Slab::new()),
            guards: Cell::new(0),
            hooks: Rc::default(),
            has_private_descriptors: table::is_private(),
            handed: RefCell::default(),
            diagnostics: OnceCell::new(),
        }))
    }

    /// The shard's number, from 0.
    pub fn id(&self) -> usize {
        self.0.remote.id()
    }

    /// Reaches this shard from other threads.
    pub fn handle(&self) -> ShardHandle {
        ShardHandle::new(Arc::clone(&self.0.remote))
    }

    /// Whether this shard's thread has a descriptor table of its own
    /// ([`Builder::private_descriptors`](crate::Builder::private_descriptors)).
    #[inline]
    pub fn has_private_descriptors(&self) -> bool {
        self.0.has_private_descriptors
    }

    /// Takes what [`Builder::hand_over`](crate::Builder::hand_over) gave this number to: on the first shard,
    /// once.
    #[cfg(unix)]
    pub fn take_handed_over(&self, number: usize) -> Option<std::os::fd::OwnedFd> {
        self.0.handed.borrow_mut().get_mut(number)?.take()
    }

    pub(crate) fn hand_over(&self, descriptors: Vec<Descriptor>) {
        self.0.handed.replace(descriptors.into_iter().map(Some).collect());
    }

    /// The pool for blocking work, shared by all shards.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// The time at which the current turn began: one clock reading serves the whole turn.
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// How far the loop is behind: what the kernel has told it of before this turn may have waited for so long by
    /// the turn's beginning, and no longer. It is what the last turn took, and those before it as far as
    /// there were more events than one turn takes.
    #[inline]
    pub fn lag(&self) -> Duration {
        self.0.lag.get()
    }

    /// Whole seconds from the shard's start to the current turn, for coarse deadlines.
    #[inline]
    pub fn coarse_now(&self) -> u32 {
        self.0.timers.coarse_now()
    }

    /// Spawns a task on this shard.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let (task, handle) = task::joinable(future);
        self.0.tasks.spawn(task::boxed::<F>(task), self.coarse_now());
        handle
    }

    /// Spawns a task whose result nobody waits for.
    pub fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F) {
        self.0.tasks.spawn(task::boxed::<F>(future), self.coarse_now());
    }

    /// As [`Shard::spawn_detached`], for a task that can be asked what it is at ([`Inspect`]).
    pub fn spawn_inspected(&self, future: impl Future<Output = ()> + Inspect + 'static) {
        self.0.tasks.spawn(task::boxed_teller(future), self.coarse_now());
    }

    /// What can be known of this shard's runtime: of its shards, its pool and the process.
    pub fn diagnostics(&self) -> &Diagnostics {
        self.0.diagnostics.get_or_init(|| Diagnostics::of(self.0.pool.clone(), vec![self.handle()]))
    }

    /// By the runtime, before the shard begins.
    pub(crate) fn set_diagnostics(&self, diagnostics: Diagnostics) {
        // Once: nobody has asked before.
        let _ = self.0.diagnostics.set(diagnostics);
    }

    /// Whether the shard has been asked to finish what is in flight and to take no new work.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// How long what is in flight has from the beginning of the drain on: zero if nobody has said so.
    pub fn drain_grace(&self) -> Duration {
        self.0.remote.grace()
    }

    /// Counts as work in flight until the guard is dropped: a draining shard ends when no guard
    /// is left, or at the deadline.
    pub fn guard(&self) -> WorkGuard {
        self.set_guards(self.guards() + 1);
        WorkGuard(PhantomData)
    }

    /// Told at once, not once a turn: who starts a drain asks for the number.
    fn set_guards(&self, guards: usize) {
        self.0.guards.set(guards);
        self.0.remote.metrics.set_guards(guards);
    }

    /// The guards that exist: what a drain waits for.
    pub fn guards(&self) -> usize {
        self.0.guards.get()
    }

    /// Says what the task that is being polled is busy with from here on, up to the end of the poll: the
    /// watchdog calls a stall by that. One store.
    #[inline]
    pub fn set_work(&self, name: WorkName) {
        self.0.remote.pulse.set_work(name);
    }

    /// What the task that is being polled is busy with.
    pub fn work(&self) -> WorkName {
        self.0.remote.pulse.work()
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.0.remote
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.0.waiters
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.0.reactor
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    /// Makes this the thread's current shard while `f` runs, then drops all that lives on it.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Shard);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.shut_down();
                let shard = CURRENT.with(RefCell::take);
                drop(shard);
            }
        }
        let entered = CURRENT.with(|current| match current.try_borrow_mut() {
            Ok(mut current) if current.is_none() => {
                *current = Some(self.clone());
                true
            }
            _ => false,
        });
        assert!(entered, "this thread runs a shard already");
        let _leave = Leave(self);
        f()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id()).field("tasks", &self.0.tasks.len()).finish()
    }
}

/// Work in flight on the current shard; see [`Shard::guard`]. Takes no space.
#[derive(Debug)]
pub struct WorkGuard(PhantomData<*const ()>);

impl Drop for WorkGuard {
    fn drop(&mut self) {
        // One that has outlived its shard finds another, or none.
        try_with(|shard| shard.set_guards(shard.guards().saturating_sub(1)));
    }
}

/// Calls `f` with the current shard.
///
/// # Panics
/// Outside a shard.
#[inline]
#[track_caller]
pub fn with<R>(f: impl FnOnce(&Shard) -> R) -> R {
    CURRENT.with(|current| match &*current.borrow() {
        Some(shard) => f(shard),
        None => panic!("this must be called on a shard: inside Runtime::start, a task or block_on"),
    })
}

/// Calls `f` with the current shard, if there is one.
#[inline]
pub fn try_with<R>(f: impl FnOnce(&Shard) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(f)).ok().flatten()
}

/// The current shard.
///
/// # Panics
/// Outside a shard.
#[track_caller]
pub fn current() -> Shard {
    with(Shard::clone)
}

/// Spawns a task on the current shard; see [`Shard::spawn`].
///
/// # Panics
/// Outside a shard.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    with(|shard| shard.spawn(future))
}

/// Spawns a task on the current shard whose result nobody waits for.
///
/// # Panics
/// Outside a shard.
#[track_caller]
pub fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    with(|shard| shard.spawn_detached(future));
}

/// Charges one operation to the task that is being polled. Pending, with the task woken again, if
/// it has used up its [`POLL_BUDGET`]: so a connection that always has more data lets the others
/// have their turn.
#[inline]
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    with(|shard| match shard.0.budget.get().checked_sub(1) {
        Some(left) => {
            shard.0.budget.set(left);
            Poll::Ready(())
        }
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
}

/// Wakes the task that is being polled, for when nobody else is ready: it sits out the turns in which others are,
/// up to seven in a row.
///
/// For a task that has had much of a turn and still wants more, so that it gets no more of the shard than those
/// that want a little in each turn.
///
/// ```
/// use std::{cell::Cell, future::poll_fn, rc::Rc, task::Poll};
///
/// # lakh_core::block_on(async {
/// let greedy = Rc::new(Cell::new(0));
/// let turns = Rc::clone(&greedy);
/// lakh_core::spawn_detached(poll_fn(move |cx| {
///     turns.set(turns.get() + 1);
///     lakh_core::yield_to_others(cx);
///     Poll::Pending
/// }));
/// for _ in 0..80 {
///     lakh_core::yield_now().await;
/// }
/// assert!(greedy.get() <= 12);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a shard.
pub fn yield_to_others(cx: &Context<'_>) {
    with(|shard| match shard.tasks().polled_by(cx.waker()) {
        Some(task) => shard.tasks().rest(task),
        None => cx.waker().wake_by_ref(),
    });
}

/// Lets the shard's other ready tasks, and the kernel's events, have a turn.
///
/// Cancel safe.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the current shard is asked to drain. Cancel safe.
///
/// ```
/// # lakh_core::block_on(async {
/// let shard = lakh_core::current();
/// let closing = lakh_core::spawn(async {
///     lakh_core::drain_requested().await;
///     "closing"
/// });
/// shard.handle().drain();
/// assert_eq!(closing.await.unwrap(), "closing");
/// # }).unwrap();
/// ```
pub async fn drain_requested() {
    struct Notice(Option<u32>);
    impl Drop for Notice {
        fn drop(&mut self) {
            if let Some(key) = self.0 {
                // Nothing is found once the drain has begun: its wakers were taken out to be woken.
                let waker = try_with(|shard| shard.0.drain_waiters.borrow_mut().remove(key));
                drop(waker);
            }
        }
    }
    let mut notice = Notice(None);
    poll_fn(|cx| {
        if with(Shard::is_draining) {
            return Poll::Ready(());
        }
        drop(Notice(notice.0.take()));
        let waker = cx.waker().clone();
        notice.0 = Some(with(|shard| shard.0.drain_waiters.borrow_mut().insert(waker)));
        Poll::Pending
    })
    .await;
}

/// Runs a shard on this thread until `future` is finished, then drops the shard's other tasks, and waits for a second at
/// most for what runs on its pool.
/// For tests and small programs; servers use [`crate::Runtime`].
///
/// A drain tells the tasks, but `future` is run to its end; [`ShardHandle::stop`] ends all at once.
///
/// # Errors
/// If the kernel gives no poll or event descriptor.
///
/// # Panics
/// If `future` panics or the shard is stopped, and on a thread that runs a shard already.
pub fn block_on<F>(future: F) -> io::Result<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let pool = runtime::default_pool().map_err(io::Error::other)?;
    let shard = Shard::new(0, pool.clone(), Arc::default())?;
    let result = shard.enter(|| {
        let mut handle = pin!(shard.spawn(future));
        shard.run_until(|| handle.is_finished());
        let mut cx = Context::from_waker(Waker::noop());
        handle.as_mut().poll(&mut cx)
    });
    runtime::end_pool(&pool);
    match result {
        Poll::Ready(Ok(value)) => Ok(value),
        _ => panic!("the future given to block_on panicked, or its shard was stopped"),
    }
}

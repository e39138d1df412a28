//! Starting shards, and ending them in order.

mod countdown;
mod gate;
mod pool;
mod private;

use crate::{
    diagnostics::Diagnostics,
    pool::{Pool, PoolConfig},
    shard::{Shard, ShardHandle},
    signal::Signal,
    stderr::{self, warn},
    sys,
    time::sleep,
    unwind,
    watchdog::{Bell, DEFAULT_THRESHOLD, OnStall, Stall, Watchdog},
};
use countdown::{CountDownOnDrop, Countdown};
use gate::Gate;
pub(crate) use pool::{default_pool, end_pool};
use private::{Handed, Seat, Tables};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

/// The exit status of a process that a second Ctrl-C has ended: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// How long a shard that is told to stop may take to drop its tasks, at the end of a drain.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How long the end waits for whoever reads standard error.
const LAST_WARNINGS: Duration = Duration::from_millis(500);

/// How to start a [`Runtime`].
#[derive(Clone)]
pub struct Builder {
    shards: Option<usize>,
    pin: bool,
    pool: Option<PoolConfig>,
    watchdog: Option<Duration>,
    on_stall: Option<OnStall>,
    private: bool,
    handed: Handed,
    thread_name: &'static str,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One shard for each CPU that this process may use, not pinned; the watchdog watches.
    pub fn new() -> Self {
        Builder {
            shards: None,
            pin: false,
            pool: None,
            watchdog: Some(DEFAULT_THRESHOLD),
            on_stall: None,
            private: false,
            handed: Handed::default(),
            thread_name: "lakh",
        }
    }

    /// The number of shards; by default that of the CPU quota ([`sys::cpu::cpu_quota`]). At least 1.
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count.max(1));
        self
    }

    /// What the shards' threads are called, before a dash and their number: `lakh` by default. Linux shows 15 bytes of it.
    pub fn thread_name(mut self, name: &'static str) -> Self {
        self.thread_name = name;
        self
    }

    /// Pins each shard's thread to a CPU of its own, as far as there are enough.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// The pool for blocking work; by default one for the CPU quota and the environment
    /// ([`PoolConfig::with_environment`]).
    pub fn pool(mut self, config: PoolConfig) -> Self {
        self.pool = Some(config);
        self
    }

    /// How long a shard may work on one poll of a task, or on one message, before it counts as stalled:
    /// 100 ms by default; `None` for no watchdog. Stalls of twice that are surely found, and each is told
    /// once, while it lasts, with the name of the route or task ([`named`](crate::named)): by a line on
    /// stderr, at most one in five seconds, or else to [`Builder::on_stall`]. They are counted, too
    /// ([`ShardMetrics::stalls`](crate::ShardMetrics::stalls)).
    ///
    /// A shard whose thread would work and gets no CPU is not stalled (Linux; elsewhere it looks as if it were), so
    /// there may be more shards than CPUs.
    pub fn watchdog(mut self, threshold: Option<Duration>) -> Self {
        self.watchdog = threshold;
        self
    }

    /// Tells of every stall, in the place of the lines on stderr: on the watchdog's thread and while the
    /// stall lasts. It must not block for long: nobody watches meanwhile, and a runtime that ends waits
    /// for it.
    ///
    /// ```
    /// use lakh_core::{Runtime, WorkName, named, spawn_detached};
    /// use std::sync::mpsc;
    ///
    /// let (tell, told) = mpsc::channel();
    /// let builder = Runtime::builder().shards(1).on_stall(move |stall| tell.send(*stall).unwrap());
    /// let (end, until) = mpsc::channel::<()>();
    /// let until = std::sync::Mutex::new(until);
    /// let runtime = builder.start(move |_| Ok(()))?;
    /// runtime.shards().next().unwrap().spawn_on(move || {
    ///     named(WorkName::new("a mistake"), async move {
    ///         until.lock().unwrap().recv().unwrap(); // blocks its shard
    ///     })
    /// })?;
    /// assert_eq!(told.recv().unwrap().name, Some("a mistake"));
    /// end.send(()).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_stall(mut self, hook: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.on_stall = Some(Arc::new(hook));
        self
    }

    /// How many shards will be started.
    pub fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(|| sys::cpu::cpu_quota().get())
    }

    /// Raises the descriptor limit, starts the shards and calls `init` on each, all of them before
    /// this returns.
    ///
    /// # Errors
    /// If a thread or a shard cannot be made, or the first error of an `init`; all shards are
    /// stopped then. `Unsupported` if [`Builder::private_descriptors`] asks for what this system does not have,
    /// or on a thread that has such a table.
    pub fn start<F>(self, init: F) -> io::Result<Runtime>
    where
        F: Fn(&Shard) -> io::Result<()> + Send + Sync + 'static,
    {
        self.start_with(Arc::new(init))
    }

    /// Not generic, so that it is compiled once and not in the crates that call it.
    fn start_with(self, init: Arc<Init>) -> io::Result<Runtime> {
        if let Err(error) = sys::limits::raise_descriptor_limit() {
            warn(format_args!("lakh: the limit of open files stays as it is: {error}"));
        }
        let count = self.shard_count();
        let mut tables = Tables::new(self.private, count, &self.handed)?;
        let pool = match &self.pool {
            Some(config) => Pool::new(config.clone()),
            None => default_pool(),
        }
        .map_err(io::Error::from)?;
        let cpus = if self.pin { sys::cpu::allowed_cpus() } else { Vec::new() };
        let bell = Arc::<Bell>::default();
        let running = Arc::new(Countdown::new(0));
        let diagnostics = Diagnostics::new(pool.clone());
        let thread_name = self.thread_name;
        let mut runtime =
            Runtime { shards: Vec::new(), watchdog: None, pool, running, diagnostics, thread_name };
        // Dropped before the runtime, which waits for its threads.
        let gate = Gate::default();
        let mut starts = Vec::new();
        // Every shard has its notifier before any shard's `init` runs: it may send to all of them.
        for id in 0..count {
            let cpu = cpus.get(id).copied();
            let (seat, init) = (tables.seat(id), Arc::clone(&init));
            starts.push(runtime.spawn_shard(id, cpu, seat, init, Arc::clone(&bell), &gate)?);
        }
        runtime.diagnostics.set_shards(runtime.shards().cloned().collect());
        // Closed here: the shards' tables alone have them from now on.
        drop(tables);
        if let Some(threshold) = self.watchdog {
            let shards = runtime.shards().map(ShardHandle::remote).collect();
            let diagnostics = runtime.diagnostics.clone();
            runtime.watchdog = Some(Watchdog::start(bell, shards, threshold, self.on_stall, diagnostics)?);
        }
        gate.open();
        for start in starts {
            start.outcome()?;
        }
        Ok(runtime)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Builder { shards, pin, pool, watchdog, on_stall: _, private, handed: _, thread_name } = self;
        let mut out = f.debug_struct("Builder");
        out.field("shards", shards).field("pin", pin).field("pool", pool);
        out.field("thread_name", thread_name);
        out.field("watchdog", watchdog).field("private_descriptors", private).finish_non_exhaustive()
    }
}

/// What a shard does before the start of its runtime is over.
type Init = dyn Fn(&Shard) -> io::Result<()> + Send + Sync;

/// The starter's side of a shard's thread.
struct Start {
    news: mpsc::Receiver<io::Result<Option<ShardHandle>>>,
}

impl Start {
    fn outcome(&self) -> io::Result<Option<ShardHandle>> {
        self.news.recv().unwrap_or_else(|_| Err(io::Error::other("a shard's start panicked")))
    }
}

/// Running shards and their pool. Dropping it stops the shards and waits for them, and for a second at most for what runs
/// on the pool.
pub struct Runtime {
    shards: Vec<(ShardHandle, Option<thread::JoinHandle<()>>)>,
    watchdog: Option<Watchdog>,
    pool: Pool,
    running: Arc<Countdown>,
    diagnostics: Diagnostics,
    thread_name: &'static str,
}

impl Runtime {
    /// How to start one.
    ///
    /// ```
    /// use lakh_core::Runtime;
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::builder().shards(2).start(|shard| {
    ///     println!("shard {} is up", shard.id());
    ///     Ok(())
    /// })?;
    /// runtime.drain();
    /// assert!(runtime.join(Duration::from_secs(10)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn spawn_shard(
        &mut self,
        id: usize,
        cpu: Option<usize>,
        seat: Seat,
        init: Arc<Init>,
        bell: Arc<Bell>,
        gate: &Gate,
    ) -> io::Result<Start> {
        let (tell, news) = mpsc::channel();
        let (pool, running, gate) = (self.pool.clone(), Arc::clone(&self.running), Arc::clone(&gate.0));
        let diagnostics = self.diagnostics.clone();
        running.add();
        let body = move || {
            let _ended = CountDownOnDrop(running);
            if let Some(cpu) = cpu
                && let Err(error) = sys::cpu::pin_current_thread(cpu)
            {
                warn(format_args!("lakh: shard {id} is not pinned to CPU {cpu}: {error}"));
            }
            let shard = match seat.take(id, pool, bell) {
                Ok(shard) => shard,
                Err(error) => return drop(tell.send(Err(error))),
            };
            shard.set_diagnostics(diagnostics);
            // Nobody receives if the starter has given up.
            if tell.send(Ok(Some(shard.handle()))).is_err() || !gate.wait() {
                return;
            }
            shard.enter(|| {
                let outcome = unwind::catch_message(|| init(&shard)).unwrap_or_else(|text| {
                    let text = text.as_deref().unwrap_or("no text");
                    Err(io::Error::other(format!("the start of a shard panicked: {text}")))
                });
                // The starter's is the last: what it owns may have descriptors of the starter's table.
                drop(init);
                let ok = outcome.is_ok();
                if tell.send(outcome.map(|()| None)).is_ok() && ok {
                    shard.run();
                }
            });
        };
        let name = format!("{}-{id}", self.thread_name);
        let thread = thread::Builder::new().name(name).spawn(body).inspect_err(|_| {
            self.running.done();
        })?;
        let start = Start { news };
        match start.outcome() {
            Ok(Some(handle)) => {
                self.shards.push((handle, Some(thread)));
                Ok(start)
            }
            Ok(None) => Err(io::Error::other("a shard started before it was told to")),
            Err(error) => {
                // It ends at once. What a panic would say, it has said.
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// Handles of the shards, in the order of their numbers.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = &ShardHandle> {
        self.shards.iter().map(|(handle, _)| handle)
    }

    /// The pool for blocking work.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What can be known of it, from any thread and when it has ended, too.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Asks every shard to finish what is in flight; see [`ShardHandle::drain`].
    pub fn drain(&self) {
        self.shards().for_each(ShardHandle::drain);
    }

    /// As [`Runtime::drain`], and says how long there is for it; see [`ShardHandle::drain_within`].
    pub fn drain_within(&self, grace: Duration) {
        self.shards().for_each(|shard| shard.drain_within(grace));
    }

    /// Ends every shard with its current turn.
    pub fn stop(&self) {
        self.shards().for_each(ShardHandle::stop);
    }

    /// Waits until all shards have ended, for `limit` at most; true if they have.
    pub fn join(&self, limit: Duration) -> bool {
        self.running.wait(limit)
    }

    /// Runs until SIGINT, SIGTERM or SIGQUIT (or until the shards end by themselves), then drains:
    /// no new work, what is in flight is finished, and what is not finished after `grace` is cut.
    /// A second SIGINT meanwhile ends the process at once with status 130. A shard that does not
    /// even stop, because a task blocks it, is left behind after another ten seconds.
    ///
    /// `on_ready` is called once the signals are caught: say there that the server is up.
    /// `on_signal` is called when the drain begins, with the number of guards (requests) that are in
    /// flight.
    ///
    /// # Errors
    /// If no signal handlers can be installed.
    pub fn run_until_signal(
        self,
        grace: Duration,
        on_ready: impl FnOnce() + 'static,
        on_signal: impl FnOnce(usize) + 'static,
    ) -> io::Result<DrainReport> {
        self.run_supervised(grace, Box::new(on_ready), Box::new(on_signal))
    }

    /// Not generic, as [`Builder::start_with`].
    fn run_supervised(
        self,
        grace: Duration,
        on_ready: Box<dyn FnOnce()>,
        on_signal: Box<dyn FnOnce(usize)>,
    ) -> io::Result<DrainReport> {
        let supervisor = Shard::new(usize::MAX, self.pool.clone(), Arc::default())?;
        let result = supervisor.enter(|| {
            let task = supervisor.spawn(supervise(self, grace, on_ready, on_signal));
            supervisor.run_until(|| task.is_finished());
            let mut task = pin!(task);
            task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        // What is not written by then is lost with the process.
        let _ = stderr::flush(LAST_WARNINGS);
        match result {
            Poll::Ready(Ok(report)) => report,
            _ => Err(io::Error::other("the supervisor panicked")),
        }
    }

    fn guards(&self) -> usize {
        self.shards().map(|shard| shard.metrics().guards() as usize).sum()
    }

    /// What was in flight when the shards ended.
    fn cut(&self) -> usize {
        let cut = |shard: &ShardHandle| match shard.has_ended() {
            true => shard.metrics().cut(),
            false => shard.metrics().guards(),
        };
        self.shards().map(|shard| cut(shard) as usize).sum()
    }

    /// Waits until all shards have ended, for `limit` at most; true if they have.
    async fn ended_within(&self, limit: Duration, interrupt: &mut Signal) -> bool {
        let mut deadline = sleep(limit);
        poll_fn(|cx| {
            if self.running.poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if interrupt.poll_recv(cx).is_ready() {
                std::process::exit(EXIT_INTERRUPTED);
            }
            Pin::new(&mut deadline).poll(cx).map(|()| false)
        })
        .await
    }

    /// Does not wait for the threads that have not ended.
    fn leave_behind(&mut self) {
        warn("lakh: a shard does not stop, since a task blocks it, and is left behind");
        for (_, thread) in &mut self.shards {
            thread.take_if(|thread| !thread.is_finished());
        }
    }
}

async fn supervise(
    mut runtime: Runtime,
    grace: Duration,
    on_ready: Box<dyn FnOnce()>,
    on_signal: Box<dyn FnOnce(usize)>,
) -> io::Result<DrainReport> {
    let mut signals = [Signal::interrupt()?, Signal::terminate()?, Signal::quit()?];
    on_ready();
    let ended = poll_fn(|cx| {
        if runtime.running.poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await;
    if ended {
        return Ok(DrainReport { cut: runtime.cut() });
    }
    on_signal(runtime.guards());
    runtime.drain_within(grace);
    let interrupt = &mut signals[0];
    if !runtime.ended_within(grace, interrupt).await {
        runtime.stop();
        if !runtime.ended_within(STOP_LIMIT, interrupt).await {
            runtime.leave_behind();
        }
    }
    Ok(DrainReport { cut: runtime.cut() })
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
        let here = thread::current().id();
        for (_, thread) in &mut self.shards {
            let Some(thread) = thread.take() else { continue };
            // A shard that drops its own runtime cannot wait for itself.
            if thread.thread().id() != here && thread.join().is_err() {
                warn("lakh: a shard's thread panicked");
            }
        }
        // Watches to the end: a shard that does not stop is what it is for.
        self.watchdog = None;
        end_pool(&self.pool);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("shards", &self.shards.len()).finish()
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Pieces of work ([guards](crate::WorkGuard)) that were still in flight at the deadline, and were cut.
    pub cut: usize,
}

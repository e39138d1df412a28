//! The lock, the sleepers, and the bodies of the pool's threads.
//!
//! Nothing here calls user code (closures, wakers, drops of either) or notifies a sleeper while it
//! holds the lock. The bodies are plain functions, so that loom can run them on its own threads.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::config::PoolConfig;
use super::error::{PoolError, PoolFull};
use super::job::Work;
use super::job::{Ticket, quietly};
use super::lane::{Kind, Lane};
use super::metrics::{Meters, PoolMetrics, Saturation, nanoseconds};
use super::queue::Key;
use super::room::Full;
use super::state::{After, Call, State, Taken};
use super::watch::Watch;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::wakers::WakerKey;
use std::task::Waker;

pub(super) struct Shared {
    state: Mutex<State>,
    /// Idle workers, by kind.
    idle: [Condvar; 2],
    starter: Condvar,
    /// Whoever waits for the last worker to end.
    ended: Condvar,
    meters: Vec<Meters>,
}

/// Without the lock.
fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        quietly(|| waker.wake());
    }
}

impl Shared {
    pub(super) fn new(config: &PoolConfig) -> Result<Shared, PoolError> {
        Ok(Shared {
            state: Mutex::new(State::new(config)?),
            idle: [Condvar::new(), Condvar::new()],
            starter: Condvar::new(),
            ended: Condvar::new(),
            meters: config.lanes.iter().map(|_| Meters::new()).collect(),
        })
    }

    pub(super) fn submit(&self, work: Arc<dyn Work>) -> Result<(), PoolFull> {
        let now = Instant::now();
        let call = self.lock().submit(work, now)?;
        self.notify(call);
        Ok(())
    }

    pub(super) fn cancel(&self, ticket: &Ticket) {
        let mut state = self.lock();
        let Some(sequence) = ticket.sequence() else { return };
        let cancelled = state.cancel(ticket.lane, ticket.group, sequence);
        drop(state);
        if let Some((work, room)) = cancelled {
            wake_all(room);
            drop(work);
        }
    }

    pub(super) fn wait_for_room(
        &self,
        lane: Lane,
        group: Key,
        waker: Waker,
    ) -> Result<(Full, WakerKey), Waker> {
        self.lock().wait_for_room(lane, group, waker)
    }

    pub(super) fn leave_room(&self, lane: Lane, full: Full, key: WakerKey) {
        let waker = self.lock().leave_room(lane, full, key);
        quietly(|| drop(waker));
    }

    pub(super) fn resize(&self, kind: Kind, size: usize) -> Result<(), PoolError> {
        let mut state = self.lock();
        state.resize(kind, size)?;
        let call = state.call(kind);
        let too_many = state.may_end(kind);
        drop(state);
        self.notify(call);
        if too_many {
            self.idle[kind.index()].notify_all();
        }
        Ok(())
    }

    pub(super) fn workers_of(&self, lane: Lane) -> usize {
        self.lock().workers_of(lane)
    }

    pub(super) fn close(&self) {
        let (dropped, waiting) = self.lock().close();
        for sleepers in [&self.idle[0], &self.idle[1], &self.starter, &self.ended] {
            sleepers.notify_all();
        }
        for work in dropped {
            work.refuse();
        }
        wake_all(waiting);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// Waits for all workers to end; returns how many have not.
    pub(super) fn join(&self, timeout: Duration) -> usize {
        let begun = Instant::now();
        let mut state = self.lock();
        while state.threads() > 0 {
            let Some(left) = timeout.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.threads()
    }

    pub(super) fn metrics(&self) -> PoolMetrics {
        let times = self.meters.iter().map(Meters::snapshot).collect();
        let now = Instant::now();
        self.lock().metrics(times, now)
    }

    pub(super) fn saturated(&self, threshold: Duration) -> Option<Saturation> {
        let now = Instant::now();
        self.lock().saturated(threshold, now)
    }

    /// The body of a worker thread.
    pub(super) fn work(&self, kind: Kind) {
        self.lock().started(kind);
        let mut job = self.wait_for_job(kind);
        while let Some(taken) = job {
            job = self.run(kind, taken).or_else(|| self.wait_for_job(kind));
        }
    }

    /// Runs one step, and takes the next job under the same lock as it does the accounts.
    fn run(&self, kind: Kind, mut taken: Taken) -> Option<Taken> {
        wake_all(std::mem::take(&mut taken.room));
        let meters = &self.meters[taken.lane.index()];
        let started = Instant::now();
        meters.wait.record(nanoseconds(started.saturating_duration_since(taken.queued_at)));
        let ran = taken.work.run();
        let ended = Instant::now();
        meters.run.record(nanoseconds(ended.saturating_duration_since(started)));

        let mut state = self.lock();
        let after = state.settle(&taken, ran, ended);
        let (next, call) = match state.may_end(kind) {
            true => (None, Call::Nobody),
            false => state.take(kind).map_or((None, Call::Nobody), |(next, call)| (Some(next), call)),
        };
        drop(state);
        self.notify(call);
        match after {
            After::Deliver => taken.work.deliver(),
            After::Refuse => taken.work.refuse(),
            After::Requeued => {}
        }
        // This may be the last hold on the closure, or on a result nobody waits for.
        quietly(|| drop(taken));
        next
    }

    /// Sleeps until there is a job, or `None` if this worker has to end.
    fn wait_for_job(&self, kind: Kind) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            if state.may_end(kind) {
                let call = state.ended(kind);
                drop(state);
                self.notify(call);
                self.ended.notify_all();
                return None;
            }
            if let Some((taken, call)) = state.take(kind) {
                drop(state);
                self.notify(call);
                return Some(taken);
            }
            state.falls_asleep(kind);
            loop {
                state = self.idle[kind.index()].wait(state).unwrap_or_else(PoisonError::into_inner);
                if state.wakes_up(kind) {
                    break;
                }
            }
        }
    }

    /// The body of the thread that starts the workers and watches the queues; `start` gets each worker's
    /// kind and number.
    pub(super) fn start_workers(
        &self,
        mut start: impl FnMut(Kind, usize) -> io::Result<()>,
        mut watch: Watch<impl FnMut(&Saturation)>,
    ) {
        let mut numbers = [0; 2];
        let mut state = self.lock();
        loop {
            state = self.look(state, &mut watch);
            if state.is_closed() {
                return;
            }
            let Some(kind) = state.asked() else {
                state = self.until_called(state, &watch);
                continue;
            };
            drop(state);
            let started = start(kind, numbers[kind.index()]);
            state = self.lock();
            match started {
                Ok(()) => numbers[kind.index()] += 1,
                Err(_) => state = self.retry_later(state, kind),
            }
        }
    }

    /// Looks at the queues if it is time to.
    fn look<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        watch: &mut Watch<impl FnMut(&Saturation)>,
    ) -> MutexGuard<'a, State> {
        let now = Instant::now();
        if !state.is_watched() || watch.left(now).is_some() {
            return state;
        }
        let found = state.look(watch.limit, now);
        drop(state);
        watch.looked(&found, now);
        self.lock()
    }

    /// Sleeps until the starter is called, or has to look at the queues.
    fn until_called<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        watch: &Watch<impl FnMut(&Saturation)>,
    ) -> MutexGuard<'a, State> {
        if !state.is_watched() {
            return self.starter.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match watch.left(Instant::now()) {
            Some(left) => self.starter.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            None => state,
        }
    }

    /// The failure is counted; the jobs wait in their bounded queues, and refusals tell the rest.
    fn retry_later<'a>(&'a self, mut state: MutexGuard<'a, State>, kind: Kind) -> MutexGuard<'a, State> {
        state.start_failed(kind);
        self.ended.notify_all();
        let failed = Instant::now();
        while let Some(left) = RETRY.checked_sub(failed.elapsed()).filter(|_| !state.is_closed()) {
            state = self.starter.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let call = state.call(kind);
        drop(state);
        self.notify(call);
        self.lock()
    }

    fn notify(&self, call: Call) {
        match call {
            Call::Nobody => {}
            Call::Worker(kind) => self.idle[kind.index()].notify_one(),
            Call::Starter => self.starter.notify_one(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, loom))]
impl Shared {
    /// Counts a worker whose thread the test starts itself.
    pub(super) fn adopt(&self, kind: Kind) {
        self.lock().adopt(kind);
    }
}

/// Starts a worker's thread, which ends by itself.
pub(super) fn start_worker(shared: &Arc<Shared>, kind: Kind, number: usize) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let thread = thread::Builder::new().name(format!("lakh-{}-{number}", kind.name()));
    thread.stack_size(STACK_BYTES).spawn(move || {
        if kind == Kind::Cpu {
            lower_priority();
        }
        shared.work(kind);
    })?;
    Ok(())
}

/// Gives the cpu to the shards when both want it. A process that already runs at a higher nice
/// value is not allowed to come back to this one, and need not: hence no error.
fn lower_priority() {
    #[cfg(all(target_os = "linux", not(loom)))]
    let _ = rustix::process::setpriority_process(None, CPU_NICE);
}

const STACK_BYTES: usize = 512 * 1024;

/// On Linux the nice value belongs to the thread, and "no process" means the calling thread.
#[cfg(all(target_os = "linux", not(loom)))]
const CPU_NICE: i32 = 10;

/// How long after a refused thread the next attempt is made.
const RETRY: Duration = Duration::from_millis(100);

//! The watchdog: names what stalls a shard, while it does.
//!
//! A shard publishes when its turn began, which poll of it is running and what that poll is busy with
//! ([`Pulse`]): plain stores. One thread for all shards of a runtime looks at this twice in the time that
//! counts as a stall. When no shard has turned for a second it sleeps until one rings it ([`Bell`]).

mod bell;
mod name;
mod pulse;

pub(crate) use bell::Bell;
pub use name::WorkName;
pub(crate) use pulse::Pulse;

use crate::{diagnostics::Diagnostics, shard::Remote, unwind};
use pulse::Watch;
use std::{
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What counts as a stall unless [`Builder::watchdog`](crate::Builder::watchdog) says otherwise.
pub(crate) const DEFAULT_THRESHOLD: Duration = Duration::from_millis(100);
/// Stalls are looked for twice in their time, but not more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// Without a turn of any shard for so long the watchdog goes to sleep.
const QUIET: Duration = Duration::from_secs(1);
/// At most one line on stderr in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// A shard that does not turn, because something blocks it; see
/// [`Builder::on_stall`](crate::Builder::on_stall).
///
/// As text it is the line that the watchdog writes when nobody else is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The shard's number.
    pub shard: usize,
    /// What it is busy with: a route's path, a task's name ([`named`](crate::named)); `None` if that has no name.
    pub name: Option<&'static str>,
    /// How long its turn has lasted so far. The stall goes on.
    pub lasted: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, millis) = (self.shard, self.lasted.as_millis());
        match self.name {
            Some(name) => write!(f, "lakh: {name} blocks shard {shard}, for {millis} ms so far")?,
            None => write!(f, "lakh: a task without a name blocks shard {shard}, for {millis} ms so far")?,
        }
        f.write_str("; what may take long belongs on the pool: see `blocking`")
    }
}

/// Who is told of stalls.
pub(crate) type OnStall = Arc<dyn Fn(&Stall) + Send + Sync>;

/// The watchdog's thread; dropping this ends it.
pub(crate) struct Watchdog {
    bell: Arc<Bell>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Watches `shards`, which ring `bell`.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(crate) fn start(
        bell: Arc<Bell>,
        shards: Vec<Arc<Remote>>,
        threshold: Duration,
        on_stall: Option<OnStall>,
        diagnostics: Diagnostics,
    ) -> io::Result<Self> {
        let rounds = Rounds {
            bell: Arc::clone(&bell),
            shards: shards.into_iter().map(|remote| (remote, 0, Watch::default())).collect(),
            threshold,
            diagnostics,
            reporter: Reporter { on_stall, last_line: None, unsaid: 0 },
        };
        let thread = thread::Builder::new().name("lakh-watchdog".to_owned());
        let thread = thread.spawn(move || rounds.run())?;
        bell.belongs_to(thread.thread().clone());
        Ok(Watchdog { bell, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.bell.end();
        let Some(thread) = self.thread.take() else { return };
        // Whoever is told of a stall might drop the runtime.
        if thread.thread().id() != thread::current().id() {
            // It catches what it calls, and has nothing to say at its end.
            let _ = thread.join();
        }
    }
}

struct Rounds {
    bell: Arc<Bell>,
    /// With the turns they had at the last look.
    shards: Vec<(Arc<Remote>, u64, Watch)>,
    threshold: Duration,
    diagnostics: Diagnostics,
    reporter: Reporter,
}

impl Rounds {
    fn run(mut self) {
        let interval = (self.threshold / 2).max(SHORTEST_INTERVAL);
        let mut quiet_since = None;
        while !self.bell.has_ended() {
            let now = Instant::now();
            if self.look(now) {
                quiet_since = None;
                self.bell.listen(false);
            }
            let quiet_for = now - *quiet_since.get_or_insert(now);
            // One more look between listening and sleeping: a shard that did not see the one has been
            // seen by the other.
            match quiet_for >= QUIET {
                true if self.bell.is_listening() => {
                    self.bell.sleep();
                    quiet_since = None;
                }
                quiet => {
                    self.bell.listen(quiet);
                    thread::park_timeout(interval);
                }
            }
        }
    }

    /// True if any shard has turned since the last look.
    fn look(&mut self, now: Instant) -> bool {
        let mut any = false;
        for (remote, turns, watch) in &mut self.shards {
            if let Some((work, lasted)) = watch.look(&remote.pulse, now, self.threshold) {
                remote.metrics.count_stall();
                let stall = Stall { shard: remote.id(), name: work.text(), lasted };
                self.diagnostics.remember(&stall);
                self.reporter.report(&stall, now);
            }
            let before = std::mem::replace(turns, remote.metrics.turns());
            any |= watch.is_awake() || before != *turns;
        }
        any
    }
}

struct Reporter {
    on_stall: Option<OnStall>,
    last_line: Option<Instant>,
    /// Stalls since the last line.
    unsaid: u64,
}

impl Reporter {
    fn report(&mut self, stall: &Stall, now: Instant) {
        if let Some(on_stall) = &self.on_stall {
            // It is code of the user; the panic hook has told of it.
            unwind::catch(|| on_stall(stall));
        } else if let Some(line) = self.line(stall, now) {
            crate::warn(line);
        }
    }

    /// What is to be said, unless something was said just now.
    fn line(&mut self, stall: &Stall, now: Instant) -> Option<String> {
        if self.last_line.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_LINES) {
            self.unsaid += 1;
            return None;
        }
        self.last_line = Some(now);
        Some(match std::mem::take(&mut self.unsaid) {
            0 => stall.to_string(),
            unsaid => format!("{stall} ({unsaid} more stalls before this one)"),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shard::Notifier;
    use std::sync::mpsc;

    #[test]
    fn a_watchdog_that_sleeps_is_woken_by_a_turn() {
        let bell = Arc::<Bell>::default();
        let pulse = Pulse::new(Instant::now(), Arc::clone(&bell));
        let remote = Arc::new(Remote::new(7, Notifier::Count(Default::default()), pulse));
        let (tell, told) = mpsc::channel();
        let on_stall: OnStall = Arc::new(move |stall| tell.send(*stall).unwrap());
        let shards = vec![Arc::clone(&remote)];
        let threshold = Duration::from_millis(10);
        let pool = crate::runtime::default_pool().unwrap();
        let diagnostics = Diagnostics::new(pool);
        let watchdog =
            Watchdog::start(Arc::clone(&bell), shards, threshold, Some(on_stall), diagnostics).unwrap();
        while !bell.is_listening() {
            thread::yield_now();
        }
        remote.pulse.begin_turn(0);
        assert!(!bell.is_listening(), "it was rung");
        let stall = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!((stall.shard, stall.name), (7, None));
        drop(watchdog);
        assert_eq!(remote.metrics.stalls(), 1);
    }

    #[test]
    fn lines_are_few_and_say_how_many_were_left_out() {
        let mut reporter = Reporter { on_stall: None, last_line: None, unsaid: 0 };
        let stall = Stall { shard: 3, name: Some("/slow"), lasted: Duration::from_millis(150) };
        let start = Instant::now();
        let first = reporter.line(&stall, start).unwrap();
        assert!(first.starts_with("lakh: /slow blocks shard 3, for 150 ms so far; "), "{first}");
        for seconds in 1..5 {
            assert_eq!(reporter.line(&stall, start + Duration::from_secs(seconds)), None);
        }
        let next = reporter.line(&stall, start + BETWEEN_LINES).unwrap();
        assert!(next.ends_with("(4 more stalls before this one)"), "{next}");
    }
}

//! How big the pool is and which lanes it has.

use std::ffi::OsStr;
use std::sync::Arc;

use super::error::PoolError;
use super::lane::{Kind, Lane};
use crate::sys::cpu::cpu_quota;

/// The most worker threads a pool may have, both kinds together.
pub const MAX_WORKERS: usize = 1024;

/// The environment variable that overrides the number of io workers, a plain decimal number.
pub const THREADS_VARIABLE: &str = "LAKH_POOL_THREADS";

/// What a [`Pool`](super::Pool) is made from: sizes and lanes.
///
/// A pool has at least as many workers of each kind as the kind's lanes reserve together, and at least
/// one. A number that is smaller, wherever it comes from, stands for that many: with the built-in lanes
/// `LAKH_POOL_THREADS=1` makes two io workers, one for files and one for the application.
///
/// ```
/// use lakh_core::pool::{Kind, Lane, LaneConfig, Pool, PoolConfig};
///
/// let mut config = PoolConfig::new(8).with_environment()?;
/// // At most two password hashes at once, at most 64 waiting.
/// let hashing = config.add_lane("argon2", LaneConfig::new(Kind::Cpu).cap(2).queue_limit(64));
/// config.set_lane(Lane::USER, LaneConfig::new(Kind::Io).reserved(4));
/// let pool = Pool::new(config)?;
/// # drop(pool.run(hashing, || ())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolConfig {
    sizes: [usize; 2],
    pub(super) lanes: Vec<(Arc<str>, LaneConfig)>,
}

impl PoolConfig {
    /// The three built-in lanes, and sizes for a process that may use `cpus` processors: four io
    /// workers for each, at least 4, and one cpu worker for each.
    ///
    /// Threads start only when there is work for them.
    pub fn new(cpus: usize) -> PoolConfig {
        let cpu = cpus.clamp(1, MAX_WORKERS / 2);
        let io = cpus.saturating_mul(4).clamp(4, MAX_WORKERS - cpu);
        let file = LaneConfig::new(Kind::Io).queue_limit(4096).grouped();
        PoolConfig {
            sizes: [io, cpu],
            lanes: vec![
                (Arc::from("file"), file),
                (Arc::from("user"), LaneConfig::new(Kind::Io)),
                (Arc::from("cpu"), LaneConfig::new(Kind::Cpu)),
            ],
        }
    }

    /// What a runtime has that is told nothing: sizes for the processors that the process may use, and
    /// [`LAKH_POOL_THREADS`](THREADS_VARIABLE). The start of a configuration with lanes of one's own.
    ///
    /// ```
    /// use lakh_core::pool::{Kind, LaneConfig, PoolConfig};
    ///
    /// let mut config = PoolConfig::from_environment()?;
    /// // One connection to a database: one job at a time, and 256 that wait for it.
    /// let database = config.add_lane("database", LaneConfig::new(Kind::Io).cap(1).queue_limit(256));
    /// # let _ = database;
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`with_environment`](Self::with_environment).
    pub fn from_environment() -> Result<PoolConfig, PoolError> {
        PoolConfig::new(cpu_quota().get()).with_environment()
    }

    /// Sets the number of workers of one kind; too few count as many as its lanes reserve together. More
    /// than [`MAX_WORKERS`] for both kinds together are refused when the pool is made.
    pub fn workers(mut self, kind: Kind, workers: usize) -> PoolConfig {
        self.sizes[kind.index()] = workers;
        self
    }

    /// Lets [`LAKH_POOL_THREADS`](THREADS_VARIABLE) override the number of io workers, as
    /// [`workers`](Self::workers) does.
    ///
    /// # Errors
    ///
    /// [`is_environment`](PoolError::is_environment) if the variable is set to something other
    /// than a number from 1 to [`MAX_WORKERS`].
    pub fn with_environment(self) -> Result<PoolConfig, PoolError> {
        match std::env::var_os(THREADS_VARIABLE) {
            Some(value) => self.with_threads(&value),
            None => Ok(self),
        }
    }

    fn with_threads(self, value: &OsStr) -> Result<PoolConfig, PoolError> {
        let number = value.to_str().and_then(|text| text.trim().parse().ok());
        match number {
            Some(workers @ 1..=MAX_WORKERS) => Ok(self.workers(Kind::Io, workers)),
            _ => Err(PoolError::environment(format!(
                "{THREADS_VARIABLE} must be a number from 1 to {MAX_WORKERS}, not {value:?}"
            ))),
        }
    }

    /// Adds a lane. The name stands in metrics and errors and must be unlike every other; that,
    /// and the lane's numbers, are checked when the pool is made.
    pub fn add_lane(&mut self, name: &str, lane: LaneConfig) -> Lane {
        let index = u16::try_from(self.lanes.len()).unwrap_or(u16::MAX);
        self.lanes.push((Arc::from(name), lane));
        Lane(index)
    }

    /// Replaces the settings of a lane, most often of a built-in one. Unknown lanes are ignored.
    pub fn set_lane(&mut self, lane: Lane, settings: LaneConfig) {
        if let Some((_, old)) = self.lanes.get_mut(lane.index()) {
            *old = settings;
        }
    }

    /// The checked sizes, by kind.
    pub(super) fn check(&self) -> Result<[usize; 2], PoolError> {
        for (index, (name, lane)) in self.lanes.iter().enumerate() {
            lane.check(name)?;
            if self.lanes[..index].iter().any(|(other, _)| other == name) {
                return Err(PoolError::config(format!("there are two lanes named `{name}`")));
            }
        }
        fit_sizes(self.sizes, Kind::ALL.map(|kind| self.reserved(kind)))
    }

    fn reserved(&self, kind: Kind) -> usize {
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.kind == kind);
        lanes.fold(0, |sum, (_, lane)| lane.reserved.saturating_add(sum))
    }
}

/// The sizes that a pool has when these are asked for. Every lane keeps its reserved share, so a kind
/// needs at least the sum of them.
pub(super) fn fit_sizes(asked: [usize; 2], reserved: [usize; 2]) -> Result<[usize; 2], PoolError> {
    let sizes = Kind::ALL.map(|kind| asked[kind.index()].max(reserved[kind.index()]).max(1));
    match sizes[0].checked_add(sizes[1]) {
        Some(0..=MAX_WORKERS) => Ok(sizes),
        _ => Err(PoolError::config(format!(
            "{} io and {} cpu workers exceed the ceiling of {MAX_WORKERS}",
            sizes[0], sizes[1]
        ))),
    }
}

/// The settings of one lane.
///
/// The default has room for 1024 queued jobs, one reserved worker, no cap of its own and no groups.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    pub(super) kind: Kind,
    pub(super) queue_limit: usize,
    pub(super) reserved: usize,
    pub(super) cap: Option<usize>,
    pub(super) grouped: bool,
    pub(super) group_cap: Option<usize>,
}

impl LaneConfig {
    /// A lane whose jobs run on workers of this kind.
    pub fn new(kind: Kind) -> LaneConfig {
        LaneConfig { kind, queue_limit: 1024, reserved: 1, cap: None, grouped: false, group_cap: None }
    }

    /// How many jobs may wait; one more is refused at once. At least 1.
    pub fn queue_limit(mut self, jobs: usize) -> LaneConfig {
        self.queue_limit = jobs;
        self
    }

    /// How many workers other lanes must leave free for this one. At least 1, so that no lane can
    /// starve.
    pub fn reserved(mut self, workers: usize) -> LaneConfig {
        self.reserved = workers;
        self
    }

    /// How many workers may run this lane at once; at least its reserved share. Without it, all
    /// that other lanes do not reserve.
    pub fn cap(mut self, workers: usize) -> LaneConfig {
        self.cap = Some(workers);
        self
    }

    /// Makes jobs of different groups ([`run_in_group`](super::Pool::run_in_group)) take turns.
    ///
    /// A group may then run on half the workers the lane may use, and hold half its queue (at least
    /// one of each). Lanes that are not grouped ignore the group.
    pub fn grouped(mut self) -> LaneConfig {
        self.grouped = true;
        self
    }

    /// How many workers may run one group at once; at least 1. Makes the lane
    /// [`grouped`](Self::grouped).
    pub fn group_cap(mut self, workers: usize) -> LaneConfig {
        self.group_cap = Some(workers);
        self.grouped()
    }

    fn check(&self, name: &str) -> Result<(), PoolError> {
        let fault = if self.queue_limit == 0 {
            "has no room for a single job"
        } else if self.reserved == 0 {
            "must reserve at least one worker"
        } else if self.cap.is_some_and(|cap| cap < self.reserved) {
            "is capped below its reserved share"
        } else if self.group_cap == Some(0) {
            "lets no group run"
        } else {
            return Ok(());
        };
        Err(PoolError::config(format!("lane `{name}` {fault}")))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn refused(config: &PoolConfig) -> String {
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_invalid_input() {
        let set = |config: PoolConfig| -> std::io::Result<()> {
            config.check()?;
            Ok(())
        };
        let error = set(PoolConfig::new(1).workers(Kind::Io, 5000)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("5000 io"), "{error}");
        let refused = PoolError::thread(std::io::ErrorKind::WouldBlock.into());
        assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn default_sizes_follow_the_processors_up_to_the_ceiling() {
        assert_eq!(PoolConfig::new(0).check().unwrap(), [4, 1]);
        assert_eq!(PoolConfig::new(1).check().unwrap(), [4, 1]);
        assert_eq!(PoolConfig::new(8).check().unwrap(), [32, 8]);
        assert_eq!(PoolConfig::new(256).check().unwrap(), [768, 256]);
        assert_eq!(PoolConfig::new(usize::MAX).check().unwrap(), [512, 512]);
    }

    #[test]
    fn the_environment_sets_the_io_workers_or_is_an_error() {
        let with = |text: &str| PoolConfig::new(1).with_threads(OsStr::new(text));
        assert_eq!(with(" 17 ").unwrap().check().unwrap(), [17, 1]);
        for wrong in ["", "0", "-1", "many", "1025", "99999999999999999999999"] {
            let error = with(wrong).unwrap_err();
            assert!(error.is_environment(), "{wrong}");
            assert!(error.to_string().contains("LAKH_POOL_THREADS"), "{error}");
        }
    }

    #[test]
    fn a_pool_has_at_least_the_workers_that_its_lanes_reserve() {
        let mut config = PoolConfig::new(1);
        config.add_lane("argon2", LaneConfig::new(Kind::Cpu));
        assert_eq!(config.check().unwrap(), [4, 2]);
        for too_few in [0, 1] {
            let config = config.clone().workers(Kind::Cpu, too_few).workers(Kind::Io, too_few);
            assert_eq!(config.check().unwrap(), [2, 2]);
        }
        let from_environment = PoolConfig::new(1).with_threads(OsStr::new("1")).unwrap();
        assert_eq!(from_environment.check().unwrap(), [2, 1], "one each for the file and the user lane");
    }

    #[test]
    fn a_kind_without_a_lane_has_a_worker_still() {
        let mut config = PoolConfig::new(1).workers(Kind::Cpu, 0);
        config.set_lane(Lane::CPU, LaneConfig::new(Kind::Io));
        assert_eq!(config.check().unwrap(), [4, 1]);
    }

    #[test]
    fn contradictions_are_refused() {
        let with = |lane: LaneConfig| {
            let mut config = PoolConfig::new(1);
            config.add_lane("odd", lane);
            refused(&config)
        };
        let io = || LaneConfig::new(Kind::Io);
        assert_eq!(with(io().queue_limit(0)), "lane `odd` has no room for a single job");
        assert_eq!(with(io().reserved(0)), "lane `odd` must reserve at least one worker");
        assert_eq!(with(io().reserved(3).cap(2)), "lane `odd` is capped below its reserved share");
        assert_eq!(with(io().group_cap(0)), "lane `odd` lets no group run");
        assert!(with(io().reserved(usize::MAX)).contains("exceed the ceiling"));

        let mut config = PoolConfig::new(1);
        config.add_lane("file", io());
        assert_eq!(refused(&config), "there are two lanes named `file`");
        assert!(refused(&PoolConfig::new(1).workers(Kind::Io, 1024)).contains("ceiling of 1024"));
    }
}

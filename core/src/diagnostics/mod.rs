//! Seeing inside a running process: what its shards, its pool and the process itself are at.
//!
//! [`Diagnostics`] belongs to a runtime and may be asked from any thread. There are two ways to ask:
//!
//! - [`Diagnostics::snapshot`] reads counters and histograms that are kept anyway. It waits for nobody, so it answers
//!   while a shard is stalled, too. [`Diagnostics::exposition`] makes text for Prometheus of it, and
//!   [`Diagnostics::collect_with`] adds counters of your own to that.
//! - [`Diagnostics::inspect`] asks one shard what lives on it: sockets with their addresses, tasks with their names,
//!   timers, requests in flight, a part at a time. It is a message that the shard answers in its turn. Sockets keep a
//!   number and a second for it, 8 bytes; everything else is found out when somebody asks.
//!
//! ```
//! use lakh_core::diagnostics::Query;
//!
//! lakh_core::block_on(async {
//!     let diagnostics = lakh_core::with(|shard| shard.diagnostics().clone());
//!     let snapshot = diagnostics.snapshot();
//!     assert_eq!(snapshot.shards.len(), 1);
//!     println!("busy for {:?}, {:?} bytes", snapshot.shards[0].busy, snapshot.process.resident_bytes);
//!
//!     let page = diagnostics.inspect(0, Query::tasks()).await?;
//!     println!("{} tasks, the first is {:?}", page.total, page.items[0].name);
//!     Ok::<(), lakh_core::diagnostics::InspectError>(())
//! })
//! .unwrap()
//! .unwrap();
//! ```

mod ask;
mod exposition;
mod families;
mod handle;
mod reply;
mod snapshot;

pub use ask::{MAX_ITEMS, Query};
pub use exposition::{Exposition, Family, TimeFamily};
pub use handle::{Activity, Handle, HandleKind, Inspect, Page, Working};
pub use reply::{Answer, InspectError};
pub use snapshot::{PastStall, ProcessSnapshot, ShardSnapshot, Snapshot};

use crate::{pool::Pool, shard::ShardHandle, watchdog::Stall};
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Instant, SystemTime},
};

/// Stalls that are remembered.
const STALLS: usize = 32;

type Collector = Arc<dyn Fn(&mut Exposition) + Send + Sync>;

/// Reaches all that can be known of a runtime, from any thread; see the [module](self). Cheap to clone. It keeps no
/// shard and no pool running.
///
/// From [`Runtime::diagnostics`](crate::Runtime::diagnostics) or [`Shard::diagnostics`](crate::Shard::diagnostics).
#[derive(Clone)]
pub struct Diagnostics(Arc<Inner>);

struct Inner {
    began: Instant,
    began_at: SystemTime,
    pool: Pool,
    /// Once all of them are there.
    shards: OnceLock<Vec<ShardHandle>>,
    stalls: Mutex<VecDeque<PastStall>>,
    collectors: Mutex<Vec<Collector>>,
    parts: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Diagnostics {
    /// Of shards that are told later.
    pub(crate) fn new(pool: Pool) -> Self {
        Diagnostics(Arc::new(Inner {
            began: Instant::now(),
            began_at: SystemTime::now(),
            pool,
            shards: OnceLock::new(),
            stalls: Mutex::default(),
            collectors: Mutex::default(),
            parts: Mutex::default(),
        }))
    }

    pub(crate) fn of(pool: Pool, shards: Vec<ShardHandle>) -> Self {
        let diagnostics = Self::new(pool);
        diagnostics.set_shards(shards);
        diagnostics
    }

    pub(crate) fn set_shards(&self, shards: Vec<ShardHandle>) {
        // Once, by who has made it.
        let _ = self.0.shards.set(shards);
    }

    /// Handles of the shards, in the order of their numbers.
    pub fn shards(&self) -> &[ShardHandle] {
        self.0.shards.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// What the shards, the pool and the process have come to. It waits for no shard. Some 10 KB for each shard and lane,
    /// and a few short reads of `/proc`: for once a second, not for each request.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            shards: self.shards().iter().map(ShardSnapshot::of).collect(),
            pool: self.0.pool.metrics(),
            process: ProcessSnapshot::now(),
            uptime: self.0.began.elapsed(),
            began_at: self.0.began_at,
            stalls: lock(&self.0.stalls).iter().cloned().collect(),
        }
    }

    /// Asks a shard what lives on it, a part at a time: [`Query`] says what, and where to go on. A shard that is stalled
    /// answers when it goes on, so put a [`timeout`](crate::timeout) around it, or ask by [`Answer::wait`] on a thread
    /// of your own. Dropping the answer takes the question back. Cancel safe.
    ///
    /// One question looks at no more than [`MAX_ITEMS`] sockets, and 16,384 places of the shard's tables.
    ///
    /// # Errors
    /// The answer is an [`InspectError`] if there is no such shard, it has ended, or its mailbox is full.
    pub fn inspect(&self, shard: usize, query: Query) -> Answer {
        match self.shards().iter().find(|handle| handle.id() == shard) {
            Some(handle) => ask::ask(handle, query),
            None => Answer::failed(InspectError::no_shard(shard)),
        }
    }

    /// Adds numbers of the program's own to [`Diagnostics::exposition`]. `collect` is called for each scrape, on the
    /// thread that answers it, and must not block.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
    ///
    /// # lakh_core::block_on(async {
    /// let logins = Arc::new(AtomicU64::new(0));
    /// let counted = Arc::clone(&logins);
    /// let diagnostics = lakh_core::with(|shard| shard.diagnostics().clone());
    /// diagnostics.collect_with(move |out| {
    ///     out.counter("accounts_logins_total", "Logins that went well").sample(&[], counted.load(Relaxed) as f64);
    /// });
    /// logins.fetch_add(3, Relaxed);
    /// assert!(diagnostics.exposition().contains("\naccounts_logins_total 3\n"));
    /// # }).unwrap();
    /// ```
    pub fn collect_with(&self, collect: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        lock(&self.0.collectors).push(Arc::new(collect));
    }

    /// All of it as Prometheus reads it: the text format 0.0.4, whose type is [`Exposition::CONTENT_TYPE`].
    pub fn exposition(&self) -> String {
        let mut out = Exposition::new();
        self.snapshot().write_to(&mut out);
        // Code of the program runs with nothing locked.
        let collectors = lock(&self.0.collectors).clone();
        for collect in collectors {
            collect(&mut out);
        }
        out.finish()
    }

    /// Leaves something with it for others to find by its type, such as a server's counters. A second one of the same
    /// type takes the place of the first.
    pub fn set_part<T: Send + Sync + 'static>(&self, part: Arc<T>) {
        let mut parts = lock(&self.0.parts);
        let (others, old) = parts.drain(..).partition(|other| !other.is::<T>());
        *parts = others;
        parts.push(part);
        drop(parts);
        drop::<Vec<_>>(old);
    }

    /// What was left with it.
    pub fn part<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = lock(&self.0.parts).iter().find(|part| part.is::<T>()).cloned()?;
        found.downcast().ok()
    }

    /// By the watchdog.
    pub(crate) fn remember(&self, stall: &Stall) {
        let mut stalls = lock(&self.0.stalls);
        if stalls.len() == STALLS {
            stalls.pop_front();
        }
        stalls.push_back(PastStall {
            shard: stall.shard,
            name: stall.name,
            lasted: stall.lasted,
            at: SystemTime::now(),
        });
    }
}

/// Nothing in here is left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics").field("shards", &self.shards().len()).finish_non_exhaustive()
    }
}

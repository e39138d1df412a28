//! Futures that need tokio: those of sqlx, reqwest, redis, and whatever else waits by tokio's reactor.
//!
//! With the feature `tokio`, one helper runtime runs beside the shards. It is started by the first use, and has
//! one thread unless [`LAKH_TOKIO_THREADS`](THREADS_VARIABLE) says otherwise or the program brings a runtime of
//! its own ([`use_runtime`]). A future gets there in one of two ways:
//!
//! | | [`run`] | [`with_context`] |
//! |---|---|---|
//! | where it is polled | on the helper's threads | at home, on the shard |
//! | what it needs | `Send` and `'static` | neither |
//! | its I/O and timers | wait and work there | wait there, work at home |
//! | threads that one readiness crosses | none; its result crosses one | one each |
//! | `tokio::spawn`, `spawn_blocking` in it | yes | yes |
//! | `block_in_place` in it | yes | no |
//! | `spawn_local`, `LocalSet` in it | within a `LocalSet` of its own | within a `LocalSet` of its own |
//! | when it is dropped | it is aborted, and dropped on a helper's thread | it is dropped at once, at home |
//!
//! [`run`] is the one to begin with: a query to a database crosses threads twice, however often it waits.
//! [`with_context`] is for futures that hold what is not `Send`, and for work that shall spread over the shards.
//!
//! ```
//! # lakh_core::block_on(async {
//! let answer = lakh_core::tokio::run(async {
//!     tokio::time::sleep(std::time::Duration::from_millis(1)).await;
//!     42
//! });
//! assert_eq!(answer.await?, 42);
//! # Ok::<(), lakh_core::tokio::TokioError>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! Write these functions with their path, `lakh::tokio::run(…)`, and `tokio` alone goes on to mean the crate.
//!
//! Some types of such libraries need tokio even when they are dropped, as connections do that go back to
//! their pool. Keep them inside of the future; or drop them within [`handle()`]`?.enter()`.
//!
//! Pools of connections live in the helper runtime, so one of them serves all shards: make it once, and give
//! each shard a clone.

use crate::{sys, unwind};
use ::tokio::{runtime, task};
use std::{
    error,
    ffi::OsStr,
    fmt,
    future::Future,
    io, mem,
    pin::Pin,
    sync::{Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
};

pub use ::tokio::runtime::Handle;

/// The environment variable with the number of the helper runtime's threads; 1 without it.
pub const THREADS_VARIABLE: &str = "LAKH_TOKIO_THREADS";

/// The most threads that [`THREADS_VARIABLE`] can ask for.
pub const MAX_THREADS: usize = 1024;

/// The runtime, once there is one.
static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// Held by whoever is setting [`RUNTIME`].
static STARTING: Mutex<()> = Mutex::new(());

/// Runs a future on the helper runtime, and gives its result here.
///
/// It begins at once. Dropping what this returns aborts it at its next await point; so it is cancel safe as
/// far as `future` is. There is no queue: each future that runs there has someone who waits for it here.
///
/// ```
/// # lakh_core::block_on(async {
/// // Whatever is slow or waits on tokio: a query, a request to another server.
/// let greeting = lakh_core::tokio::run(async { "hello".to_owned() }).await?;
/// assert_eq!(greeting, "hello");
/// # Ok::<(), lakh_core::tokio::TokioError>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// The future it returns gives one if the runtime could not be started, has shut down meanwhile, or `future`
/// panicked.
pub fn run<F>(future: F) -> Run<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match handle() {
        Ok(handle) => Run(Running::Task(handle.spawn(future))),
        Err(error) => Run(Running::Refused(Some(error))),
    }
}

/// Polls a future here, on the shard, in the context of the helper runtime: it need not be `Send`, and its
/// sockets, timers and `tokio::spawn` work.
///
/// What it waits for is watched by the helper's thread, which wakes the shard each time. It is dropped in the
/// context, too. Cancel safe as far as `future` is.
///
/// ```
/// use std::{rc::Rc, time::Duration};
///
/// # lakh_core::block_on(async {
/// let name = Rc::new("shard");
/// let greeting = lakh_core::tokio::with_context(async move {
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     format!("hello, {name}")
/// });
/// assert_eq!(greeting.await?, "hello, shard");
/// # Ok::<(), lakh_core::tokio::TokioError>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// The future it returns gives one if the runtime could not be started; `future` was dropped then.
///
/// # Panics
/// A panic of `future` passes through. Tokio itself panics in timers if its runtime has shut down.
pub fn with_context<F: Future>(future: F) -> WithContext<F> {
    match handle() {
        Ok(handle) => WithContext(Contextual::Waiting { future: Some(Box::pin(future)), handle }),
        Err(error) => WithContext(Contextual::Refused(Some(error))),
    }
}

/// The runtime itself, started if there is none yet: for `enter()`, `spawn` and what else tokio can do.
///
/// Starting it takes a fraction of a millisecond, in which the caller's shard waits; a program that minds
/// calls this before it starts its shards.
///
/// # Errors
/// If its threads cannot be started, or [`LAKH_TOKIO_THREADS`](THREADS_VARIABLE) is no number of threads. The
/// next call tries again. Always on shards with descriptor tables of their own: whoever calls tokio wakes its
/// threads by a descriptor, which is another file there.
pub fn handle() -> Result<Handle, TokioError> {
    if sys::table::is_private() {
        return Err(TokioError(Kind::Unreachable(sys::table::refusal("tokio cannot be woken from here"))));
    }
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle.clone());
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle.clone());
    }
    let runtime = start()?;
    let handle = RUNTIME.get_or_init(|| runtime.handle().clone()).clone();
    // Its threads end with the process, as statics do.
    mem::forget(runtime);
    Ok(handle)
}

/// Makes a runtime of the program's own the helper runtime, with as many threads and whatever else tokio's
/// builder can set. It has to have I/O and timers enabled and threads that run it (a current-thread runtime
/// has none but in its `block_on`), and to be kept as long as the shards run.
///
/// ```
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
/// lakh_core::tokio::use_runtime(runtime.handle().clone())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If there is a helper runtime already.
pub fn use_runtime(handle: Handle) -> Result<(), TokioError> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    RUNTIME.set(handle).map_err(|_| TokioError(Kind::AlreadyStarted))
}

/// Waits for what [`run`] runs. Dropping it aborts that.
#[must_use = "dropping it aborts the future"]
pub struct Run<T>(Running<T>);

enum Running<T> {
    Task(task::JoinHandle<T>),
    Refused(Option<TokioError>),
}

impl<T> Future for Run<T> {
    type Output = Result<T, TokioError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Running::Task(task) => Pin::new(task).poll(cx).map_err(TokioError::of_task),
            Running::Refused(error) => Poll::Ready(Err(error.take().expect("polled after its end"))),
        }
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        if let Running::Task(task) = &self.0 {
            task.abort();
        }
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

/// What [`with_context`] gives.
#[must_use = "futures do nothing unless they are awaited"]
pub struct WithContext<F>(Contextual<F>);

enum Contextual<F> {
    Waiting { future: Option<Pin<Box<F>>>, handle: Handle },
    Refused(Option<TokioError>),
}

impl<F: Future> Future for WithContext<F> {
    type Output = Result<F::Output, TokioError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Contextual::Waiting { future, handle } => {
                let _context = handle.enter();
                let polled = future.as_mut().expect("polled after its end").as_mut().poll(cx);
                if polled.is_ready() {
                    *future = None;
                }
                polled.map(Ok)
            }
            Contextual::Refused(error) => Poll::Ready(Err(error.take().expect("polled after its end"))),
        }
    }
}

impl<F> Drop for WithContext<F> {
    fn drop(&mut self) {
        if let Contextual::Waiting { future, handle } = &mut self.0 {
            let _context = handle.enter();
            *future = None;
        }
    }
}

impl<F> fmt::Debug for WithContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithContext")
    }
}

/// Why tokio gave no result.
#[derive(Debug)]
pub struct TokioError(Kind);

#[derive(Debug)]
enum Kind {
    Start(io::Error),
    Unreachable(io::Error),
    Environment(String),
    AlreadyStarted,
    Panicked(Option<Box<str>>),
    Shutdown,
}

impl TokioError {
    fn of_task(error: task::JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => {
                let text = unwind::text_of(&*payload);
                // What was thrown may throw once more when it is dropped.
                unwind::catch(|| drop(payload));
                TokioError(Kind::Panicked(text))
            }
            // Nobody has aborted it: we would have, by not waiting any more.
            Err(_) => TokioError(Kind::Shutdown),
        }
    }

    /// The runtime's threads could not be started; the source is the system's error.
    pub fn is_start(&self) -> bool {
        matches!(self.0, Kind::Start(_))
    }

    /// The shard has a descriptor table of its own
    /// ([`Builder::private_descriptors`](crate::Builder::private_descriptors)), and tokio works by descriptors.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.0, Kind::Unreachable(_))
    }

    /// [`LAKH_TOKIO_THREADS`](THREADS_VARIABLE) holds something other than a number of threads.
    pub fn is_environment(&self) -> bool {
        matches!(self.0, Kind::Environment(_))
    }

    /// [`use_runtime`] came too late.
    pub fn is_already_started(&self) -> bool {
        matches!(self.0, Kind::AlreadyStarted)
    }

    /// The future panicked. Tokio caught it, and the runtime lives on.
    pub fn is_panicked(&self) -> bool {
        matches!(self.0, Kind::Panicked(_))
    }

    /// The runtime has shut down: no later call will do better.
    pub fn is_shutdown(&self) -> bool {
        matches!(self.0, Kind::Shutdown)
    }

    /// What the future panicked with, if that was a text.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.0 {
            Kind::Panicked(text) => text.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for TokioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Start(_) => f.write_str("tokio's runtime could not be started"),
            Kind::Unreachable(error) => error.fmt(f),
            Kind::Environment(text) => f.write_str(text),
            Kind::AlreadyStarted => f.write_str("there is a runtime of tokio already"),
            Kind::Panicked(Some(text)) => write!(f, "a future on tokio's runtime panicked: {text}"),
            Kind::Panicked(None) => f.write_str("a future on tokio's runtime panicked"),
            Kind::Shutdown => f.write_str("tokio's runtime has shut down"),
        }
    }
}

impl error::Error for TokioError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Kind::Start(error) => Some(error),
            _ => None,
        }
    }
}

fn start() -> Result<runtime::Runtime, TokioError> {
    let threads = std::env::var_os(THREADS_VARIABLE).map_or(Ok(1), |value| threads_of(&value))?;
    runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("lakh-tokio")
        // Whoever comes first may be a shard that is tied to its core.
        .on_thread_start(|| drop(sys::cpu::unpin_current_thread()))
        .enable_all()
        .build()
        .map_err(|error| TokioError(Kind::Start(error)))
}

fn threads_of(value: &OsStr) -> Result<usize, TokioError> {
    let number = value.to_str().and_then(|text| text.trim().parse().ok());
    number.filter(|number| (1..=MAX_THREADS).contains(number)).ok_or_else(|| {
        let text = format!("{THREADS_VARIABLE} must be a number from 1 to {MAX_THREADS}, not {value:?}");
        TokioError(Kind::Environment(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_threads_that_makes_no_sense_is_refused() {
        assert_eq!(threads_of(OsStr::new(" 3 ")).unwrap(), 3);
        for text in ["", "0", "-1", "1025", "two", "1.5"] {
            let error = threads_of(OsStr::new(text)).unwrap_err();
            assert!(error.is_environment() && error.to_string().contains(THREADS_VARIABLE), "{text}");
        }
    }
}

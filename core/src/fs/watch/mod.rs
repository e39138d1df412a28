//! Watching files and directories: who is told what has happened to them.

mod event;
mod kernel;
mod polled;
mod queue;
mod settings;
mod snapshot;
mod tree;
mod walk;

pub use event::WatchEvent;

use super::{FileError, job::Site};
use crate::{
    stderr,
    sys::{inotify, table},
    time::{Sleep, sleep_until},
};
use futures_core::Stream;
use kernel::{End, Kernel};
use polled::Polled;
use queue::Queue;
use settings::{Ignore, Settings};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Watches a file, or a directory and all that is in it, however deep; see [`Watch`]. With other options, it is
/// [`WatchOptions::watch`].
///
/// # Errors
/// As [`WatchOptions::watch`].
///
/// # Panics
/// Outside a shard.
///
/// ```
/// use lakh_core::fs::{self, WatchEvent};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path().to_owned();
/// # lakh_core::block_on(async move {
/// let mut watch = fs::watch(&root).await?;
/// fs::write(root.join("config.toml"), "workers = 4").await?;
/// let event = watch.next().await?.expect("it ends with the directory that the root is in");
/// assert_eq!(event, WatchEvent::Created(root.join("config.toml")));
/// # Ok::<(), fs::FileError>(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn watch(path: impl AsRef<Path>) -> Result<Watch, FileError> {
    WatchOptions::new().watch(path).await
}

/// How something is watched.
#[derive(Clone)]
pub struct WatchOptions {
    recursive: bool,
    debounce: Duration,
    queue: usize,
    max_watches: usize,
    interval: Duration,
    polls: bool,
    ignore: Option<Ignore>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl WatchOptions {
    /// All that is in a directory, events of one path within 50 ms as one, and 16,384 that wait.
    pub fn new() -> Self {
        WatchOptions {
            recursive: true,
            debounce: Duration::from_millis(50),
            queue: 16_384,
            max_watches: usize::MAX,
            interval: Duration::from_secs(2),
            polls: false,
            ignore: None,
        }
    }

    /// Whether what is in directories within the directory is watched, too. It is, unless this says otherwise.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }

    /// The window: an event waits for so long, and others of the same path within it become one with it. With zero
    /// all are told as they come, but for the first half of a rename, which waits 20 ms for the other.
    pub fn debounce(mut self, window: Duration) -> Self {
        self.debounce = window;
        self
    }

    /// Events that wait at most, one at least. When there are more, all of them become [`WatchEvent::Rescan`].
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events.max(1);
        self
    }

    /// Directories that the kernel is asked to watch at most, one of them for the one that the path is in. With
    /// more it is as if the kernel refused: they are looked at. No limit but the kernel's by default.
    pub fn max_watches(mut self, watches: usize) -> Self {
        self.max_watches = watches;
        self
    }

    /// Looks at everything after each such time, whatever the kernel could tell, as `uv_fs_poll_t` does: for
    /// filesystems whose changes come from elsewhere (network filesystems, some of containers), and for shards with
    /// descriptor tables of their own.
    pub fn poll(mut self, interval: Duration) -> Self {
        (self.polls, self.interval) = (true, interval);
        self
    }

    /// Leaves out what `ignore` says yes to, and with a directory all that is in it. It is called with paths as
    /// events have them, on the shard and on workers, and must not block.
    pub fn ignore(mut self, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.ignore = Some(Arc::new(ignore));
        self
    }

    /// Begins to watch. What happens once this has returned is told.
    ///
    /// Cancel safe: nothing is left if the future is dropped.
    ///
    /// # Errors
    /// As the [module](super) says: the path is not there, or the pool is full. `Unsupported` on shards with
    /// descriptor tables of their own, unless it [polls](Self::poll): workers add the watches.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn watch(self, path: impl AsRef<Path>) -> Result<Watch, FileError> {
        let path = path.as_ref();
        self.begin(path).await.map_err(|error| error.doing("watch", path))
    }

    async fn begin(self, given: &Path) -> Result<Watch, FileError> {
        let polls = self.polls || !inotify::IS_THERE;
        if !polls && table::is_private() {
            return Err(
                table::refusal("files can only be watched by polling here (`WatchOptions::poll`)").into()
            );
        }
        let site = Site::of(given).await?;
        let (pool, group, mut real) = (site.pool.clone(), site.group, site.path.clone());
        // Who only looks follows whatever link there is each time.
        if !polls {
            real = site.run(|site| std::fs::canonicalize(&site.path)).await?;
        }
        let settings = Arc::new(Settings {
            given: given.to_owned(),
            real,
            pool,
            group,
            recursive: self.recursive,
            ignore: self.ignore,
            max_watches: self.max_watches,
            interval: self.interval,
        });
        let by = if polls {
            By::Looking(Polled::begin(&settings, self.queue, false))
        } else {
            Watch::ask_kernel(&settings, self.queue, false)?
        };
        let queue = Queue::new(self.debounce, self.queue);
        let timer = Box::pin(sleep_until(Instant::now()));
        let mut watch =
            Watch { settings, capacity: self.queue, by, queue, timer, has_begun: false, is_late: false };
        poll_fn(|cx| watch.poll_settled(cx)).await?;
        watch.has_begun = true;
        let is_there = match &watch.by {
            By::Kernel(kernel) => kernel.root_is_there(),
            By::Looking(polled) => polled.root_is_there(),
            By::Nothing => false,
        };
        if is_there { Ok(watch) } else { Err(io::Error::from(io::ErrorKind::NotFound).into()) }
    }
}

impl fmt::Debug for WatchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchOptions")
            .field("recursive", &self.recursive)
            .field("debounce", &self.debounce)
            .field("polls", &self.polls)
            .finish_non_exhaustive()
    }
}

/// A file, or a directory, that is watched: a stream of [`WatchEvent`]s, from [`watch`]. Dropping it ends it.
///
/// On Linux the kernel tells (inotify(7)), by a descriptor on the shard and no thread; elsewhere the pool looks at
/// everything every two seconds. It does so on Linux as well, and says so on standard error, when there are no more
/// watches (`fs.inotify.max_user_watches`; `max_user_instances` is one for each `Watch`).
///
/// - **A directory that is new** is looked into once it is watched: what is in it was created, as far as anybody can
///   tell, and may be told of twice. Of what comes and goes before it is watched, nothing is told; and it is watched
///   only while somebody waits for the next event.
/// - **Links** are told of and not followed, but for the path itself: what it leads to when the watch begins.
/// - **The path itself** may go and come back, or be replaced by a rename, as editors do. With the directory that it
///   is in, the stream ends.
/// - **What is lost**: the kernel keeps 16,384 events (`fs.inotify.max_queued_events`) while nobody waits for the
///   next one. Beyond that, and beyond the queue's size, there is one [`Rescan`](WatchEvent::Rescan). What is written
///   through a mapping is told when the file is closed. Changes that another machine makes are not seen (see
///   [`WatchOptions::poll`]), nor that a directory far above the path has got another name.
/// - **Order**: within the [window](WatchOptions::debounce), as the paths were first heard of.
pub struct Watch {
    settings: Arc<Settings>,
    capacity: usize,
    by: By,
    queue: Queue,
    timer: Pin<Box<Sleep>>,
    /// Whether it was all watched once: from then on, what happens is told.
    has_begun: bool,
    /// Whether events were lost, of which is told once it is watched again.
    is_late: bool,
}

enum By {
    Kernel(Box<Kernel>),
    Looking(Polled),
    Nothing,
}

impl Watch {
    /// Waits for the next event; `None` at the end, when the directory that the path is in is gone.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// If it cannot go on: the pool has ended, or there are more than a million files to be looked at. The end
    /// follows.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, FileError> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Whether the pool looks again and again, since the kernel does not tell.
    pub fn is_polling(&self) -> bool {
        matches!(self.by, By::Looking(_))
    }

    /// How many directories could not be watched or read, for want of rights mostly: of what is in them, nothing is
    /// told. Who [looks](Self::is_polling) takes them to be as they were; the number is that of the last look.
    pub fn refused(&self) -> u64 {
        match &self.by {
            By::Kernel(kernel) => kernel.refused(),
            By::Looking(polled) => polled.refused(),
            By::Nothing => 0,
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<WatchEvent>, FileError>> {
        loop {
            let now = Instant::now();
            if let Some(event) = self.queue.pop(now) {
                return Poll::Ready(Ok(Some(event)));
            }
            if let By::Nothing = self.by {
                return Poll::Ready(Ok(self.queue.pop_early()));
            }
            if self.poll_step(now, cx)?.is_ready() {
                continue;
            }
            let Some(due) = self.queue.due() else { return Poll::Pending };
            self.timer.as_mut().reset(due);
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// Ready once everything is watched.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        loop {
            let is_settled = match &self.by {
                By::Kernel(kernel) => kernel.is_settled(),
                By::Looking(polled) => polled.is_settled(),
                By::Nothing => true,
            };
            if is_settled {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_step(Instant::now(), cx))?;
        }
    }

    fn poll_step(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        let done = match &mut self.by {
            By::Kernel(kernel) => match ready!(kernel.poll(&mut self.queue, now, cx)) {
                Ok(()) => {
                    if self.is_late && kernel.is_settled() {
                        self.is_late = false;
                        self.queue.rescan(now);
                    }
                    Ok(())
                }
                Err(end) => self.go_on(end),
            },
            By::Looking(polled) => ready!(polled.poll(&mut self.queue, now, cx)).map_err(FileError::from),
            By::Nothing => Ok(()),
        };
        Poll::Ready(done.map_err(|error| {
            self.by = By::Nothing;
            error.doing("watch", &self.settings.given)
        }))
    }

    /// What becomes of it when the kernel tells no more.
    fn go_on(&mut self, end: End) -> Result<(), FileError> {
        match end {
            End::Overflow => {
                self.is_late = self.has_begun;
                self.by = Self::ask_kernel(&self.settings, self.capacity, self.has_begun)?;
            }
            End::NoRoom => {
                self.by = By::Looking(Self::look_instead(&self.settings, self.capacity, self.has_begun));
            }
            End::Left => self.by = By::Nothing,
            End::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn ask_kernel(settings: &Arc<Settings>, capacity: usize, is_late: bool) -> io::Result<By> {
        match Kernel::begin(settings, capacity) {
            Ok(kernel) => Ok(By::Kernel(Box::new(kernel))),
            // No descriptor, or no instance: inotify_init(2) says the same of both.
            Err(error) if is_out_of_room(&error) => {
                Ok(By::Looking(Self::look_instead(settings, capacity, is_late)))
            }
            Err(error) => Err(error),
        }
    }

    fn look_instead(settings: &Arc<Settings>, capacity: usize, is_late: bool) -> Polled {
        stderr::warn(format_args!(
            "lakh: {} is looked at every {:?}, since the kernel has no more watches (fs.inotify.max_user_watches, \
             fs.inotify.max_user_instances); raise them by sysctl -w",
            settings.given.display(),
            settings.interval,
        ));
        Polled::begin(settings, capacity, is_late)
    }
}

/// `EMFILE`, `ENFILE`, `ENOSPC`, or no memory.
fn is_out_of_room(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory)
}

impl Stream for Watch {
    type Item = Result<WatchEvent, FileError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(cx).map(Result::transpose)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("path", &self.settings.given)
            .field("is_polling", &self.is_polling())
            .finish_non_exhaustive()
    }
}

//! A watch by inotify(7): one instance, one watch for each directory.
//!
//! While workers look at a directory that is new, no event is read: those that come meanwhile are of a later time
//! than what is found, or tell the same once more.

use super::{
    super::{held::Held, job::begin_steps},
    WatchEvent,
    queue::{BETWEEN_ENDS, Queue},
    settings::Settings,
    tree::Tree,
    walk::{Found, Start, Walk},
};
use crate::{
    pool::Job,
    reactor::{Direction, Registration},
    sys::inotify::{Event, Inotify, What},
    time::{Sleep, sleep_until},
};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    ffi::OsStr,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// When a walk that the pool had no room for is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Kernel {
    settings: Arc<Settings>,
    /// Dropped before what it is of.
    registration: Registration,
    inotify: Arc<Held<Inotify>>,
    tree: Tree,
    /// The root, as long as it is a directory that is there.
    root: Option<i32>,
    root_is_there: bool,
    /// The directory that the root is in: who replaces the root does it there.
    above: Option<i32>,
    events: VecDeque<Event>,
    /// Renames of which the second end has not come yet, by their cookies, which grow.
    moved: BTreeMap<u32, Moved>,
    /// What a walk has found and told, until the events are read that may tell it again.
    told: HashSet<PathBuf>,
    /// A walk may have seen what events tell of that are still to be read, by then.
    ahead: Option<Instant>,
    /// Directories were moved by such events, whose names may be those of others by now.
    is_doubtful: bool,
    /// The walk looks whether the tree is right.
    verifies: bool,
    wanted: Option<Start>,
    walk: Option<Job<io::Result<Found>>>,
    timer: Pin<Box<Sleep>>,
    capacity: usize,
    refused: u64,
}

#[derive(Debug)]
struct Moved {
    /// What the queue calls it.
    number: u64,
    /// If it is a directory that is watched.
    dir: Option<i32>,
    until: Instant,
}

/// Why it goes on in another way.
#[derive(Debug)]
pub(super) enum End {
    /// Events were lost, or moves of directories cannot be told from each other any more: everything has to be begun anew.
    Overflow,
    /// The kernel has no more watches.
    NoRoom,
    /// The directory that the root was in is gone as well, or has another name.
    Left,
    Failed(io::Error),
}

impl Kernel {
    /// Begins to look for directories. Events hold what is found in memory, at most `capacity` of them.
    pub(super) fn begin(settings: &Arc<Settings>, capacity: usize) -> io::Result<Self> {
        let inotify = Inotify::new()?;
        let registration = inotify.register()?;
        Ok(Kernel {
            settings: Arc::clone(settings),
            registration,
            inotify: Arc::new(Held::new(inotify, settings.group, settings.pool.clone())),
            tree: Tree::default(),
            root: None,
            root_is_there: false,
            above: None,
            events: VecDeque::new(),
            moved: BTreeMap::new(),
            told: HashSet::new(),
            ahead: None,
            is_doubtful: false,
            verifies: false,
            wanted: Some(Start { path: PathBuf::new(), parent: None, is_new: false }),
            walk: None,
            timer: Box::pin(sleep_until(Instant::now())),
            capacity,
            refused: 0,
        })
    }

    /// Whether all directories that are known of are watched.
    pub(super) fn is_settled(&self) -> bool {
        self.wanted.is_none() && self.walk.is_none()
    }

    pub(super) fn root_is_there(&self) -> bool {
        self.root_is_there
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Goes on by one step, if there is one.
    pub(super) fn poll(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        if self.walk.is_none() && self.wanted.is_some() {
            ready!(self.begin_walk(now, cx))?;
        }
        if let Some(walk) = &mut self.walk {
            let found = ready!(Pin::new(walk).poll(cx));
            self.walk = None;
            let found = found.map_err(|lost| End::Failed(io::Error::other(lost)))?;
            return Poll::Ready(self.take(found.map_err(End::of)?, queue, now));
        }
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(self.apply(event, queue, now));
        }
        let read = || self.inotify.read(&mut self.events);
        match self.registration.poll_io(Direction::Read, cx, read) {
            Poll::Ready(read) => Poll::Ready(read.map_err(End::Failed)),
            Poll::Pending if self.registration.is_ready(Direction::Read) => Poll::Pending,
            Poll::Pending => {
                self.told = HashSet::new();
                self.ahead = self.ahead.filter(|until| *until > now);
                if std::mem::take(&mut self.is_doubtful) && self.root.is_some() {
                    self.verifies = true;
                    self.wanted = Some(Start { path: PathBuf::new(), parent: None, is_new: false });
                    return Poll::Ready(Ok(()));
                }
                self.forget_moved(now, cx)
            }
        }
    }

    fn begin_walk(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Some(start) = self.wanted.clone() else { return Poll::Ready(Ok(())) };
        // Whoever begins at the root adds what is above it once more.
        let above = usize::from(self.above.is_some() && start.parent.is_some());
        let watches = if self.verifies { 0 } else { self.tree.len() + above };
        let room = self.settings.max_watches.saturating_sub(watches);
        let (settings, inotify) = (Arc::clone(&self.settings), Arc::clone(&self.inotify));
        let mut walk = Walk::new(settings, inotify, start, self.capacity, room);
        match begin_steps(&self.settings.pool, self.settings.group, move || walk.step()) {
            Ok(job) => {
                (self.walk, self.wanted) = (Some(job), None);
                Poll::Ready(Ok(()))
            }
            Err(refused) if refused.is_full() => {
                self.timer.as_mut().reset(now + AGAIN_AFTER);
                self.timer.as_mut().poll(cx).map(Ok)
            }
            Err(refused) => Poll::Ready(Err(End::Failed(io::Error::other(refused)))),
        }
    }

    fn take(&mut self, found: Found, queue: &mut Queue, now: Instant) -> Result<(), End> {
        self.ahead = Some(now + BETWEEN_ENDS);
        if std::mem::take(&mut self.verifies) {
            let mut dirs = found.dirs.iter();
            let is_right = dirs.all(|dir| self.tree.is_at(dir.watch, dir.parent, &dir.name));
            return if is_right { Ok(()) } else { Err(End::Overflow) };
        }
        self.refused += found.refused;
        if found.root_is_there {
            self.root_is_there = true;
        }
        self.above = found.above.or(self.above);
        for dir in found.dirs {
            match dir.parent {
                Some(parent) => self.tree.insert(dir.watch, parent, &dir.name),
                None => {
                    self.root = Some(dir.watch);
                    self.tree.insert_root(dir.watch);
                }
            }
        }
        if found.too_many {
            queue.rescan(now);
            return Ok(());
        }
        // Of what is forgotten, some may be told twice.
        if self.told.len() >= self.capacity {
            self.told.clear();
        }
        for path in found.names {
            queue.push(WatchEvent::Created(self.settings.told(&path)), now);
            self.told.insert(path);
        }
        Ok(())
    }

    fn apply(&mut self, event: Event, queue: &mut Queue, now: Instant) -> Result<(), End> {
        match event.what {
            What::Overflow => return Err(End::Overflow),
            What::Ended if Some(event.watch) == self.above => return self.left(queue, now),
            What::Ended => {
                self.tree.remove(event.watch);
                if self.root == Some(event.watch) {
                    self.root_is_gone(queue, now);
                }
            }
            _ if Some(event.watch) == self.above => return self.apply_above(&event, queue, now),
            What::Left => self.root_is_gone(queue, now),
            _ => self.apply_inside(&event, queue, now),
        }
        Ok(())
    }

    fn apply_inside(&mut self, event: &Event, queue: &mut Queue, now: Instant) {
        // Without a name, it is told by the directory that it is in.
        let Some(dir) = self.tree.path(event.watch).filter(|_| !event.name.is_empty()) else { return };
        let path = dir.join(&event.name);
        if self.settings.ignores(&path) {
            return;
        }
        let told = self.settings.told(&path);
        if matches!(event.what, What::Removed | What::MovedFrom) {
            self.told.remove(&path);
        }
        if event.is_dir && matches!(event.what, What::MovedFrom | What::MovedTo) {
            self.is_doubtful |= self.ahead.is_some();
            // What was told in it has other names from now on.
            self.told.clear();
        }
        match event.what {
            What::Created => self.created(event, path, queue, now),
            What::Modified => queue.push(WatchEvent::Modified(told), now),
            What::Removed => queue.push(WatchEvent::Removed(told), now),
            What::MovedFrom => {
                let dir = self.tree.child(event.watch, &event.name).filter(|_| event.is_dir);
                dir.into_iter().for_each(|dir| self.tree.detach(dir));
                let moved = Moved { number: queue.push_moved(told, now), dir, until: now + BETWEEN_ENDS };
                self.moved.insert(event.cookie, moved);
            }
            What::MovedTo => match self.moved.remove(&event.cookie) {
                Some(moved) => {
                    let is_known = queue.renamed(moved.number, told, event.is_dir, now);
                    if let Some(dir) = moved.dir {
                        self.tree.insert(dir, event.watch, &event.name);
                    }
                    // What is in it is news, unless it has come along under its old name, and all of it is watched.
                    let is_watched = is_known && moved.dir.is_some() && self.ahead.is_none();
                    if event.is_dir && !is_watched {
                        self.look_into(path, event.watch);
                    }
                }
                None => {
                    // Whatever a walk found there before, it has taken the place of.
                    self.told.remove(&path);
                    self.created(event, path, queue, now);
                }
            },
            What::Left | What::Ended | What::Overflow => {}
        }
    }

    fn created(&mut self, event: &Event, path: PathBuf, queue: &mut Queue, now: Instant) {
        if self.told.remove(&path) {
            return;
        }
        queue.push(WatchEvent::Created(self.settings.told(&path)), now);
        if event.is_dir {
            self.look_into(path, event.watch);
        }
    }

    fn look_into(&mut self, path: PathBuf, parent: i32) {
        if self.settings.recursive {
            self.wanted = Some(Start { path, parent: Some(parent), is_new: true });
        }
    }

    /// Where the root is, other things are, too.
    fn apply_above(&mut self, event: &Event, queue: &mut Queue, now: Instant) -> Result<(), End> {
        if event.what == What::Left {
            return self.left(queue, now);
        }
        if self.settings.real.file_name() != Some(OsStr::new(&event.name)) {
            return Ok(());
        }
        match event.what {
            What::Created | What::MovedTo => {
                self.forget_root();
                self.root_is_there = true;
                queue.push(WatchEvent::Created(self.settings.given.clone()), now);
                self.wanted = Some(Start { path: PathBuf::new(), parent: None, is_new: true });
            }
            What::Removed | What::MovedFrom => self.root_is_gone(queue, now),
            // Of a directory it is told by its own watch as far as it matters.
            _ if self.root.is_none() => queue.push(WatchEvent::Modified(self.settings.given.clone()), now),
            _ => {}
        }
        Ok(())
    }

    /// Told once, by whichever event comes first.
    fn root_is_gone(&mut self, queue: &mut Queue, now: Instant) {
        self.forget_root();
        if std::mem::take(&mut self.root_is_there) {
            queue.push(WatchEvent::Removed(self.settings.given.clone()), now);
        }
    }

    fn left(&mut self, queue: &mut Queue, now: Instant) -> Result<(), End> {
        self.root_is_gone(queue, now);
        Err(End::Left)
    }

    fn forget_root(&mut self) {
        let root = self.root.take();
        self.forget(root);
    }

    /// Ends the watches on a directory and all that is in it.
    fn forget(&mut self, dir: Option<i32>) {
        for watch in dir.map(|dir| self.tree.remove_all(dir)).unwrap_or_default() {
            self.inotify.remove(watch);
        }
    }

    /// What has been moved away, and to where nobody sees it, is no longer watched.
    fn forget_moved(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        while let Some(moved) = self.moved.first_entry() {
            if moved.get().until > now {
                self.timer.as_mut().reset(moved.get().until);
                return self.timer.as_mut().poll(cx).map(Ok);
            }
            // A walk may have found it elsewhere.
            let dir = moved.remove().dir.filter(|dir| !self.tree.is_attached(*dir));
            self.forget(dir);
        }
        Poll::Pending
    }
}

impl Drop for Kernel {
    /// The walk has it open, and so has whoever closes it: the kernel would go on telling the shard.
    fn drop(&mut self) {
        self.inotify.deregister(&self.registration);
    }
}

impl End {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => End::NoRoom,
            _ => End::Failed(error),
        }
    }
}

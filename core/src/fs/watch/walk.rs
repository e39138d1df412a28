//! Adding watches to a directory and those in it. For workers.

use super::{
    super::held::Held,
    settings::{Settings, is_gone},
};
use crate::sys::inotify::{Inotify, Interest};
use std::{
    ffi::{OsStr, OsString},
    fs, io, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Entries that a step looks at.
const BATCH: usize = 256;

/// A directory to be watched.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// From the root on.
    pub(super) path: PathBuf,
    /// `None` for the root itself, which may be a file.
    pub(super) parent: Option<i32>,
    /// Whether what is in it is news.
    pub(super) is_new: bool,
}

/// What a walk has come upon.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) dirs: Vec<Dir>,
    /// Whatever is in them, if it is news.
    pub(super) names: Vec<PathBuf>,
    /// There was more than that.
    pub(super) too_many: bool,
    /// The directory that the root is in.
    pub(super) above: Option<i32>,
    pub(super) root_is_there: bool,
    /// Directories that could not be watched or read.
    pub(super) refused: u64,
}

#[derive(Debug)]
pub(super) struct Dir {
    pub(super) watch: i32,
    pub(super) parent: Option<i32>,
    pub(super) name: OsString,
}

pub(super) struct Walk {
    settings: Arc<Settings>,
    inotify: Arc<Held<Inotify>>,
    is_new: bool,
    /// News that there is room for.
    capacity: usize,
    /// Watches that may still be added.
    room: usize,
    todo: Vec<Start>,
    open: Option<Open>,
    found: Found,
}

/// A directory that is being read.
struct Open {
    watch: i32,
    path: PathBuf,
    entries: Held<fs::ReadDir>,
}

impl Walk {
    pub(super) fn new(
        settings: Arc<Settings>,
        inotify: Arc<Held<Inotify>>,
        start: Start,
        capacity: usize,
        room: usize,
    ) -> Self {
        let is_new = start.is_new;
        let todo = vec![start];
        Walk { settings, inotify, is_new, capacity, room, todo, open: None, found: Found::default() }
    }

    /// Ends with `StorageFull` if there are no more watches.
    pub(super) fn step(&mut self) -> io::Result<Option<Found>> {
        for _ in 0..BATCH {
            if let Some(open) = &mut self.open {
                match open.entries.get_mut().next() {
                    Some(Ok(entry)) => self.see(&entry),
                    end => {
                        self.found.refused += u64::from(end.is_some());
                        self.open.take().map(|open| open.entries.close()).unwrap_or_default();
                    }
                }
            } else if let Some(start) = self.todo.pop() {
                self.enter(start)?;
            } else {
                return Ok(Some(mem::take(&mut self.found)));
            }
        }
        Ok(None)
    }

    fn see(&mut self, entry: &fs::DirEntry) {
        let Some(open) = &self.open else { return };
        let path = open.path.join(entry.file_name());
        if self.settings.ignores(&path) {
            return;
        }
        let start = Start { path, parent: Some(open.watch), is_new: self.is_new };
        // One that is gone is no directory.
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if self.is_new {
            self.tell(&start.path);
        }
        if is_dir && self.settings.recursive {
            self.todo.push(start);
        }
    }

    fn tell(&mut self, path: &Path) {
        if self.found.names.len() < self.capacity {
            self.found.names.push(path.to_owned());
        } else {
            self.found.too_many = true;
        }
    }

    fn enter(&mut self, start: Start) -> io::Result<()> {
        let mut interest = Interest::All;
        if start.parent.is_none() {
            let is_dir = fs::metadata(&self.settings.real).map(|metadata| metadata.is_dir());
            let above = if let Ok(true) = is_dir { Interest::Names } else { Interest::Everything };
            let settings = Arc::clone(&self.settings);
            if let Some(parent) = settings.real.parent() {
                // If it cannot be watched, the root's own end is all that is seen of it.
                self.found.above = self.add(parent, above)?;
            }
            self.found.root_is_there = is_dir.is_ok();
            if !is_dir.unwrap_or(false) {
                return Ok(());
            }
            if self.found.above.is_none() {
                interest = Interest::Everything;
            }
        }
        let real = self.settings.real(&start.path);
        let Some(watch) = self.add(&real, interest)? else { return Ok(()) };
        let name = start.path.file_name().map(OsStr::to_owned).unwrap_or_default();
        self.found.dirs.push(Dir { watch, parent: start.parent, name });
        // Only now, so that what comes meanwhile is seen by one or the other.
        match self.settings.read_dir(&start.path) {
            Ok(entries) => self.open = Some(Open { watch, path: start.path, entries }),
            Err(error) => self.found.refused += u64::from(!is_gone(&error)),
        }
        Ok(())
    }

    /// `None` if it is gone, or cannot be watched.
    fn add(&mut self, path: &Path, interest: Interest) -> io::Result<Option<i32>> {
        self.room = self.room.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        match self.inotify.add(path, interest) {
            Ok(watch) => Ok(Some(watch)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.found.refused += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

//! The calls, by rustix.

use super::{Event, Interest, What};
use crate::Registration;
use mio::unix::SourceFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Whether the kernel tells at all.
pub(crate) const IS_THERE: bool = true;

/// Bytes read at once: some hundred events.
const BUFFER: usize = 16 * 1024;

const NAMES: WatchFlags = WatchFlags::CREATE.union(WatchFlags::DELETE).union(WatchFlags::MOVE);
/// What is written through a mapping is told by the descriptor's end alone.
const CONTENTS: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::ATTRIB).union(WatchFlags::CLOSE_WRITE);
const ITSELF: WatchFlags = WatchFlags::DELETE_SELF.union(WatchFlags::MOVE_SELF);
const DIRECTORY: WatchFlags = WatchFlags::ONLYDIR.union(WatchFlags::DONT_FOLLOW);

/// An instance, with the watches that were added to it.
#[derive(Debug)]
pub(crate) struct Inotify(OwnedFd);

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Inotify(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?))
    }

    /// With the current shard.
    pub(crate) fn register(&self) -> io::Result<Registration> {
        Registration::numbered(self.0.as_raw_fd(), true)
    }

    /// Tells the shard no more, however long others have it open.
    pub(crate) fn deregister(&self, registration: &Registration) {
        // A shard that has ended waits for nothing.
        let _ = registration.deregister(&mut SourceFd(&self.0.as_raw_fd()));
    }

    /// Watches a directory. One that is watched already, under whatever name, has the same number. It looks the
    /// path up, so for workers.
    pub(crate) fn add(&self, directory: &Path, interest: Interest) -> io::Result<i32> {
        let flags = match interest {
            Interest::All => NAMES | CONTENTS,
            Interest::Names => NAMES | ITSELF,
            Interest::Everything => NAMES | CONTENTS | ITSELF,
        };
        Ok(inotify::add_watch(&self.0, directory, flags | DIRECTORY)?)
    }

    /// A watch that has ended already needs nothing.
    pub(crate) fn remove(&self, watch: i32) {
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Adds the events that are there, as many as one call gives.
    pub(crate) fn read(&self, into: &mut VecDeque<Event>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.0, &mut buffer);
        loop {
            let event = reader.next()?;
            if let Some(what) = what(event.events()) {
                let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                into.push_back(Event {
                    watch: event.wd(),
                    what,
                    name: OsStr::from_bytes(name).to_owned(),
                    is_dir: event.events().contains(ReadFlags::ISDIR),
                    cookie: event.cookie(),
                });
            }
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

/// An event has one of these. The end of a filesystem is the end of its watches, too.
fn what(flags: ReadFlags) -> Option<What> {
    const ALL: [(ReadFlags, What); 11] = [
        (ReadFlags::QUEUE_OVERFLOW, What::Overflow),
        (ReadFlags::IGNORED, What::Ended),
        (ReadFlags::CREATE, What::Created),
        (ReadFlags::DELETE, What::Removed),
        (ReadFlags::MOVED_FROM, What::MovedFrom),
        (ReadFlags::MOVED_TO, What::MovedTo),
        (ReadFlags::MODIFY, What::Modified),
        (ReadFlags::ATTRIB, What::Modified),
        (ReadFlags::CLOSE_WRITE, What::Modified),
        (ReadFlags::DELETE_SELF, What::Left),
        (ReadFlags::MOVE_SELF, What::Left),
    ];
    ALL.into_iter().find(|(flag, _)| flags.contains(*flag)).map(|(_, what)| what)
}

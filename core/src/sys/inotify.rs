//! What happens in directories, as the kernel tells it: inotify(7).
//!
//! Here are its calls and what its events say. What becomes of them is `fs::watch`'s.

#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
#[path = "inotify/fallback.rs"]
mod imp;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[path = "inotify/linux.rs"]
mod imp;

pub(crate) use imp::{IS_THERE, Inotify};

use std::ffi::OsString;

/// What is watched of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Names and contents of all that is in it.
    All,
    /// Names, and whether it is still there itself.
    Names,
    /// Both.
    Everything,
}

/// Something that has happened in the directory with this watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) watch: i32,
    pub(crate) what: What,
    /// What it has happened to, in the directory; empty for the directory itself.
    pub(crate) name: OsString,
    pub(crate) is_dir: bool,
    /// The same for the two ends of a rename.
    pub(crate) cookie: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))),
    expect(dead_code, reason = "nobody says any of it")
)]
pub(crate) enum What {
    Created,
    Modified,
    Removed,
    MovedFrom,
    MovedTo,
    /// The directory itself has been removed, or has got another name.
    Left,
    /// The watch has ended.
    Ended,
    /// Events were lost. It has no watch.
    Overflow,
}

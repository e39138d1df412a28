//! Descriptor tables: the one that the process begins with, and those that single threads have of their own.
//!
//! A number means nothing in another table, or another file. So whatever holds a descriptor is used, and
//! dropped, on threads of the table that it was made in.

#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
#[path = "table/fallback.rs"]
mod imp;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[path = "table/linux.rs"]
mod imp;

pub(crate) use imp::{is_private, make_private, new_event, prepare, ring, watch};

use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;

/// What a table has numbers for.
#[cfg(unix)]
pub(crate) type Descriptor = OwnedFd;
/// There are no tables here.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum Descriptor {}

/// Why something cannot be done on threads with a table of their own.
pub(crate) fn refusal(what: &str) -> io::Error {
    let why = "this thread has a descriptor table of its own (`private_descriptors`)";
    io::Error::new(io::ErrorKind::Unsupported, format!("{what}: {why}"))
}

//! One table for all threads.

use super::Descriptor;
use crate::reactor::Reactor;
use std::io;

pub(crate) fn is_private() -> bool {
    false
}

pub(crate) fn prepare() -> io::Result<()> {
    Err(unsupported())
}

pub(crate) fn new_event() -> io::Result<Descriptor> {
    Err(unsupported())
}

pub(crate) fn ring(_: &Descriptor) -> io::Result<()> {
    Err(unsupported())
}

pub(crate) fn make_private(_: i32, _: &[i32]) -> io::Result<Vec<Descriptor>> {
    Err(unsupported())
}

pub(crate) fn watch(_: &Reactor, _: i32) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    let text = "private descriptor tables exist on Linux only, and with epoll";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

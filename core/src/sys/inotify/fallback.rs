//! Only Linux has it, and mio's poll(2) does not wait for descriptors that it knows by number alone.

use super::{Event, Interest};
use crate::Registration;
use std::{collections::VecDeque, convert::Infallible, io, path::Path};

/// Whether the kernel tells at all.
pub(crate) const IS_THERE: bool = false;

#[derive(Debug)]
pub(crate) struct Inotify(Infallible);

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn register(&self) -> io::Result<Registration> {
        match self.0 {}
    }

    pub(crate) fn deregister(&self, _: &Registration) {
        match self.0 {}
    }

    pub(crate) fn add(&self, _: &Path, _: Interest) -> io::Result<i32> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _: i32) {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: &mut VecDeque<Event>) -> io::Result<()> {
        match self.0 {}
    }
}

//! No descriptors of processes.

use crate::Registration;
use mio::{Registry, Token};
use std::{io, process::Child};

/// There is none.
#[derive(Debug)]
pub(crate) enum PidFd {}

impl PidFd {
    pub(crate) fn of(_: &Child) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn register(&self) -> io::Result<Registration> {
        match *self {}
    }

    pub(crate) fn watch(&self, _: &Registry, _: Token) -> io::Result<()> {
        match *self {}
    }
}

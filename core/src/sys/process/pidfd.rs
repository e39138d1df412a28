//! pidfd_open(2).

use crate::Registration;
use mio::{Interest, Registry, Token, unix::SourceFd};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    process::Child,
};

/// A child as a descriptor that becomes readable when it ends.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// Of a child that is not reaped.
    ///
    /// # Errors
    /// `Unsupported` where the kernel has none (before 5.3) or a sandbox refuses them.
    pub(crate) fn of(child: &Child) -> io::Result<Self> {
        match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
            Ok(descriptor) => Ok(PidFd(descriptor)),
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the current shard watch it.
    pub(crate) fn register(&self) -> io::Result<Registration> {
        Registration::numbered(self.0.as_raw_fd(), true)
    }

    /// Lets another poll watch it.
    pub(crate) fn watch(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.0.as_raw_fd()), token, Interest::READABLE)
    }
}

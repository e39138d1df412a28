//! No child processes.

use mio::{Interest, Registry, Token, event::Source};
use std::{
    io::{self, Read, Write},
    process::{Command, ExitStatus, Stdio},
    task::{Context, Poll},
};

/// There is none.
#[derive(Clone, Copy)]
pub(super) enum Never {}

pub(super) type ReadEnd = Never;
pub(super) type WriteEnd = Never;
pub(super) type Open = Never;

#[expect(unreachable_code, reason = "there is no end")]
pub(super) fn into_stdio(end: impl Into<Open>) -> io::Result<Stdio> {
    match end.into() {}
}

pub(super) struct Started {
    never: Never,
    pub(super) stdin: Option<WriteEnd>,
    pub(super) stdout: Option<ReadEnd>,
    pub(super) stderr: Option<ReadEnd>,
}

impl Started {
    pub(super) fn new(_: &mut Command, _: bool, _: bool) -> io::Result<Self> {
        let text = "child processes can be started on Unix only";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }
}

pub(super) struct Process(Never);

impl Process {
    pub(super) fn new(started: Started) -> io::Result<Self> {
        match started.never {}
    }

    pub(super) fn id(&self) -> u32 {
        match self.0 {}
    }

    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self.0 {}
    }

    pub(super) fn poll_wait(&mut self, _: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        match self.0 {}
    }

    pub(super) fn kill_on_drop(&mut self) {
        match self.0 {}
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn signal(&self, _: i32) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn kill_group(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn signal_group(&self, _: i32) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn kill_all(&self) -> io::Result<()> {
        match self.0 {}
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsRawSocket for Never {
    fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
        match *self {}
    }
}

impl Source for Never {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        match *self {}
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        match *self {}
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        match *self {}
    }
}

impl Read for &Never {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match **self {}
    }
}

impl Write for &Never {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match **self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match **self {}
    }
}

//! Children of this process: started by a worker, watched by a shard, and reaped by who has them last.

use super::{reaper, waiting::Waiting};
use crate::{
    reactor::{Direction, Registration},
    stderr::warn,
    sys::process::{PidFd, send_signal, send_signal_to_group},
};
use mio::unix::pipe;
use rustix::io::ioctl_fionbio;
use std::{
    io, mem,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    task::{Context, Poll, ready},
};

/// This side's ends of pipes.
pub(super) type ReadEnd = pipe::Receiver;
pub(super) type WriteEnd = pipe::Sender;
/// What both are made of.
pub(super) type Open = OwnedFd;

/// As a child wants it, which blocks where there is nothing.
pub(super) fn into_stdio(end: impl Into<Open>) -> io::Result<Stdio> {
    let open = end.into();
    ioctl_fionbio(&open, false)?;
    Ok(open.into())
}

/// What a worker gives to the shard.
pub(super) struct Started {
    running: Running,
    pub(super) stdin: Option<WriteEnd>,
    pub(super) stdout: Option<ReadEnd>,
    pub(super) stderr: Option<ReadEnd>,
}

impl Started {
    /// For workers. A child that `leads_group` was started that way.
    pub(super) fn new(command: &mut Command, kill_on_drop: bool, leads_group: bool) -> io::Result<Self> {
        reaper::attend();
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().map(WriteEnd::from);
        let stdout = child.stdout.take().map(ReadEnd::from);
        let stderr = child.stderr.take().map(ReadEnd::from);
        // Killed if any of what follows fails.
        let mut running =
            Running { end: End::Unwatched, child: Some(child), kill_on_drop: true, leads_group };
        if let Some(stdin) = &stdin {
            stdin.set_nonblocking(true)?;
        }
        for output in [&stdout, &stderr].into_iter().flatten() {
            output.set_nonblocking(true)?;
        }
        running.end = End::of(running.child())?;
        running.kill_on_drop = kill_on_drop;
        Ok(Started { running, stdin, stdout, stderr })
    }
}

/// A child, watched by the current shard.
pub(super) struct Process {
    // Dropped first: the shard forgets the descriptor before it is closed and reused.
    registration: Option<Registration>,
    running: Running,
}

impl Process {
    /// The streams are taken out of `started`.
    pub(super) fn new(started: Started) -> io::Result<Self> {
        let mut running = started.running;
        let registration = match &running.end {
            End::PidFd(pidfd) => match pidfd.register() {
                Ok(registration) => Some(registration),
                Err(error) => {
                    running.kill_on_drop = true;
                    return Err(error);
                }
            },
            _ => None,
        };
        Ok(Process { registration, running })
    }

    pub(super) fn id(&self) -> u32 {
        self.running.child().id()
    }

    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let result = self.running.child_mut().try_wait();
        if !matches!(result, Ok(None)) {
            self.registration = None;
            self.running.end = End::Over;
        }
        result
    }

    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Poll::Ready(Ok(status));
            }
            if let Some(registration) = &self.registration {
                registration.would_block(Direction::Read);
            }
            // What has come in between is an event that the kernel has not told yet.
            ready!(self.poll_end(cx));
        }
    }

    /// Ready if the child may have ended.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        match (&self.registration, &self.running.end) {
            (Some(registration), _) => registration.poll_ready(Direction::Read, cx),
            (None, End::Thread(waiting)) => waiting.poll(cx),
            (None, _) => Poll::Ready(()),
        }
    }

    /// From now on it is killed.
    pub(super) fn kill_on_drop(&mut self) {
        self.running.kill_on_drop = true;
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    pub(super) fn signal(&self, number: i32) -> io::Result<()> {
        match self.running.end {
            End::Over => Ok(()),
            _ => send_signal(self.running.child(), number),
        }
    }

    pub(super) fn kill_group(&self) -> io::Result<()> {
        self.signal_group(libc::SIGKILL)
    }

    pub(super) fn signal_group(&self, number: i32) -> io::Result<()> {
        if !self.running.leads_group {
            let text = "the child has no process group of its own: it is not detached";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        match self.running.end {
            End::Over => {
                let text = "the child was waited for, and its process group may be another's";
                Err(io::Error::new(io::ErrorKind::NotFound, text))
            }
            _ => send_signal_to_group(self.running.child(), number),
        }
    }

    /// Kills what there is of it: its group, if it leads one.
    pub(super) fn kill_all(&self) -> io::Result<()> {
        if self.running.leads_group { self.kill_group() } else { self.kill() }
    }
}

/// A child that is not reaped, unless its end is [`End::Over`]. Dropped before, it is left to who reaps it.
struct Running {
    end: End,
    /// There until it is dropped.
    child: Option<Child>,
    kill_on_drop: bool,
    leads_group: bool,
}

/// What tells of a child's end.
enum End {
    PidFd(PidFd),
    Thread(Arc<Waiting>),
    /// Nothing yet.
    Unwatched,
    /// There is nothing more to be told.
    Over,
}

impl End {
    fn of(child: &Child) -> io::Result<Self> {
        match PidFd::of(child) {
            Ok(pidfd) => Ok(End::PidFd(pidfd)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(End::Thread(Waiting::start(child)?))
            }
            Err(error) => Err(error),
        }
    }
}

impl Running {
    fn child(&self) -> &Child {
        self.child.as_ref().expect("there until it is dropped")
    }

    fn child_mut(&mut self) -> &mut Child {
        self.child.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let end = mem::replace(&mut self.end, End::Over);
        if matches!(end, End::Over) {
            return;
        }
        // Before it is reaped, as its number is its group's.
        let group_killed =
            (self.kill_on_drop && self.leads_group).then(|| send_signal_to_group(&child, libc::SIGKILL));
        if has_ended(&mut child) {
            return;
        }
        if self.kill_on_drop
            && let Err(error) = group_killed.unwrap_or_else(|| child.kill())
        {
            warn(format_args!("lakh: child process {} is not killed: {error}", child.id()));
        }
        match end {
            End::PidFd(pidfd) => reaper::adopt(child, pidfd),
            End::Thread(waiting) => waiting.adopt(child),
            // It was killed just now, and this is a worker. An error says that it is reaped.
            End::Unwatched => _ = child.wait(),
            End::Over => {}
        }
    }
}

/// Reaps it if it has. An error says that somebody else has reaped it.
pub(super) fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

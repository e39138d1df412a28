//! A child that was started.

use super::{
    PipeReader, PipeWriter, ProcessError,
    error::{Fault, Name},
    imp::{Process, Started},
};
use std::{
    fmt,
    future::poll_fn,
    io,
    marker::PhantomData,
    process::{ExitStatus, Output},
    task::{Context, Poll},
};

/// A child process of the current shard, from [`Command::spawn`](super::Command::spawn).
///
/// Dropping it leaves the child running, unless it is to be [killed](super::Command::kill_on_drop), and has it reaped
/// when it ends. A drain does not wait for it: who wants that holds a [`WorkGuard`](crate::WorkGuard) meanwhile.
pub struct Child {
    /// Its standard input, if it is piped. Dropping it is the end of what the child reads.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if it is piped.
    pub stdout: Option<PipeReader>,
    /// Its standard error, if it is piped.
    pub stderr: Option<PipeReader>,
    process: Process,
    name: Option<Name>,
    home: Home,
}

/// A child means nothing on another thread, whose descriptors may be others; nor does a future that is about to have it.
pub(super) type Home = PhantomData<*const ()>;

impl Child {
    pub(super) fn new(mut started: Started, name: Name, home: Home) -> Result<Self, Fault> {
        let (stdin, stdout, stderr) = (started.stdin.take(), started.stdout.take(), started.stderr.take());
        let mut process = Process::new(started)?;
        let streams = || {
            let [stdout, stderr] = [stdout, stderr].map(|end| end.map(PipeReader::new).transpose());
            Ok((stdin.map(PipeWriter::new).transpose()?, stdout?, stderr?))
        };
        // Who gets an error has no child.
        let (stdin, stdout, stderr) = streams().inspect_err(|_: &io::Error| process.kill_on_drop())?;
        Ok(Child { stdin, stdout, stderr, process, name: Some(name), home })
    }

    /// Its number. It may be another process's once this one was waited for.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has ended, and closes its standard input before, so that it does not wait for input that never
    /// comes. Output that is piped and not read may keep it from ending: [`wait_with_output`](Self::wait_with_output)
    /// reads it.
    ///
    /// Cancel safe. May be called again.
    ///
    /// # Errors
    /// Those of waitpid(2): `ECHILD` if somebody else has reaped it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// Ready with what [`wait`](Self::wait) gives. One task waits: the one that polled last.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        self.stdin = None;
        self.process.poll_wait(cx)
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Kills it (SIGKILL), and not what it has started: see [`kill_group`](Self::kill_group). Nothing happens if it has
    /// ended. Wait for it afterwards, or drop it.
    ///
    /// # Errors
    /// Those of kill(2): it may run as somebody else.
    pub fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Sends it a signal: signal(7). Nothing happens if it has been waited for.
    ///
    /// # Errors
    /// Those of kill(2): there is no such signal, or it runs as somebody else.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.process.signal(number)
    }

    /// Kills it and what it has started (SIGKILL): its process group, which a child has that is
    /// [detached](super::Command::detach). Processes that have left the group are not reached. Call it before you have
    /// waited for the child; it may have ended.
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # lakh_core::block_on(async {
    /// use lakh_core::{process::Command, timeout};
    /// use std::time::Duration;
    ///
    /// let mut child = Command::new("sh").args(["-c", "sleep 1000 | sleep 1000"]).detach().spawn().await?;
    /// if timeout(Duration::from_millis(10), child.wait()).await.is_err() {
    ///     child.kill_group()?;
    ///     child.wait().await?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is not detached. `NotFound` if it has been waited for: its number may be another group's. Those
    /// of kill(2).
    pub fn kill_group(&self) -> io::Result<()> {
        self.process.kill_group()
    }

    /// Sends a signal to all to whom [`kill_group`](Self::kill_group) sends SIGKILL.
    ///
    /// # Errors
    /// As [`kill_group`](Self::kill_group); there is no such signal.
    pub fn signal_group(&self, number: i32) -> io::Result<()> {
        self.process.signal_group(number)
    }

    /// Waits until it has ended and all that have its piped output and error have closed them, and gives what was written
    /// there: up to `limit` bytes each. Standard input is closed before.
    ///
    /// # Cancel safety
    /// What was read is lost, and the child is dropped.
    ///
    /// # Errors
    /// If there is more than that ([`ProcessError::is_too_much`]): it is killed then (if it is
    /// [detached](super::Command::detach), with its group), and reaped. Those of read(2) and
    /// waitpid(2).
    pub async fn wait_with_output(mut self, limit: usize) -> Result<Output, ProcessError> {
        let name = self.name.take().expect("taken with the child alone");
        self.output(limit).await.map_err(|fault| name.error(fault))
    }

    pub(super) async fn output(mut self, limit: usize) -> Result<Output, Fault> {
        self.stdin = None;
        let mut streams = [self.stdout.take(), self.stderr.take()].map(|pipe| (pipe, Vec::new()));
        let gathered = poll_fn(|cx| {
            let mut all = Poll::Ready(Ok(true));
            for (pipe, bytes) in &mut streams {
                let Some(reader) = pipe else { continue };
                match reader.poll_gather(cx, bytes, limit) {
                    Poll::Ready(Ok(true)) => *pipe = None,
                    Poll::Pending => all = Poll::Pending,
                    failed => return failed,
                }
            }
            all
        });
        if !gathered.await? {
            self.process.kill_all()?;
            return Err(Fault::TooMuch { limit });
        }
        let status = self.wait().await?;
        let [(_, stdout), (_, stderr)] = streams;
        Ok(Output { status, stdout, stderr })
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).finish_non_exhaustive()
    }
}

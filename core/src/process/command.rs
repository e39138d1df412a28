//! What is to be run, and how.

use super::{
    Child, ProcessError,
    error::{Fault, Name},
    imp,
};
use crate::{pool::Lane, shard, sys::table};
use std::{
    ffi::OsStr,
    marker::PhantomData,
    path::Path,
    process::{self, ExitStatus, Output, Stdio},
};

/// A program to be run, as `std::process::Command`.
///
/// **Errors** of what starts it: there is no such program or directory, or no right to run it; no process or
/// descriptor is left; the pool's file lane is full ([`ProcessError::is_full`]); `Unsupported` where the
/// [module](super) says so. All of them name the program.
///
/// ```
/// # #[cfg(unix)]
/// # lakh_core::block_on(async {
/// use lakh_core::process::{Command, Stdio};
///
/// let mut child = Command::new("tr")
///     .args(["a-z", "A-Z"])
///     .stdin(Stdio::piped())
///     .stdout(Stdio::piped())
///     .kill_on_drop(true)
///     .spawn()
///     .await?;
/// let mut stdin = child.stdin.take().unwrap();
/// stdin.write_all(b"loud").await?;
/// drop(stdin); // the end of its input
/// let output = child.wait_with_output(100).await?;
/// assert_eq!(output.stdout, b"LOUD");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug)]
pub struct Command {
    command: process::Command,
    kill_on_drop: bool,
    detached: bool,
    /// Whether standard input, output and error were chosen.
    chosen: [bool; 3],
}

impl Command {
    /// A program, by its path or by a name that is looked for in `PATH`; no shell is involved. It inherits the standard
    /// streams and the environment, and has no arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            command: process::Command::new(program),
            kill_on_drop: false,
            detached: false,
            chosen: [false; 3],
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment. `PATH` decides where the program is looked for, too.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Empties its environment; what is set afterwards is all that it gets.
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Where it runs. A relative path of the program may be looked for there or here, so give an absolute one.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// The user that it runs as (setuid(2)): for processes of root, whose other groups it loses.
    #[cfg(unix)]
    pub fn uid(mut self, id: u32) -> Self {
        std::os::unix::process::CommandExt::uid(&mut self.command, id);
        self
    }

    /// The group that it runs as (setgid(2)).
    #[cfg(unix)]
    pub fn gid(mut self, id: u32) -> Self {
        std::os::unix::process::CommandExt::gid(&mut self.command, id);
        self
    }

    /// Its standard input: `Stdio::inherit()` by default, `null()`, `piped()`, or a file (`Stdio::from(file)`).
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self.chosen[0] = true;
        self
    }

    /// Its standard output; as [`stdin`](Self::stdin), but [`output`](Self::output) has it piped by default.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self.chosen[1] = true;
        self
    }

    /// Its standard error; as [`stdout`](Self::stdout).
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self.chosen[2] = true;
        self
    }

    /// Has it lead a session of its own (setsid(2)): what the terminal sends (Ctrl-C, hanging up) does not reach it. It
    /// outlives this process in any case, unless it is killed. It has a process group of its own as well, with all that
    /// it starts: [`Child::kill_group`]. Starting is slower by it where this process has much memory, as it takes fork(2);
    /// so do [`uid`](Self::uid), [`gid`](Self::gid), and another `PATH` for a program without a path.
    #[cfg(unix)]
    pub fn detach(mut self) -> Self {
        // A second session would be refused.
        if !self.detached {
            crate::sys::process::new_session(&mut self.command);
        }
        self.detached = true;
        self
    }

    /// Whether the child is killed when its [`Child`] is dropped, or a future that has it, before it was waited for: not by
    /// default. Processes that it has started are killed with it if it is [detached](Self::detach), as by
    /// [`Child::kill_group`], and not otherwise.
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// Starts it, on a worker of the pool.
    ///
    /// # Cancel safety
    /// Dropping the future takes back what has not begun. A child that was being started counts as dropped: see
    /// [`kill_on_drop`](Self::kill_on_drop).
    ///
    /// # Errors
    /// As the [type](Self) says.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn spawn(self) -> Result<Child, ProcessError> {
        let name = Name::of(&self.command);
        self.start().await.map_err(|fault| name.error(fault))
    }

    /// Starts it and waits for its end. Pipes are closed before, as nobody has their other ends: whatever it writes to one
    /// is refused.
    ///
    /// # Cancel safety
    /// As [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// As the [type](Self) says. Not if the program fails: the status tells.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn status(self) -> Result<ExitStatus, ProcessError> {
        let name = Name::of(&self.command);
        let ended = async {
            let mut child = self.start().await?;
            (child.stdout, child.stderr) = (None, None);
            Ok(child.wait().await?)
        };
        ended.await.map_err(|fault: Fault| name.error(fault))
    }

    /// Starts it, and waits for its end and its output: [`Child::wait_with_output`], with `limit` bytes for each of
    /// standard output and error, which are piped unless they were chosen. Its standard input is empty, unless it was
    /// chosen.
    ///
    /// # Cancel safety
    /// As [`spawn`](Self::spawn); what was read is lost.
    ///
    /// # Errors
    /// As the [type](Self) says, and if there is more output than that ([`ProcessError::is_too_much`]): it is killed
    /// then. Not if the program fails: the status tells.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn output(mut self, limit: usize) -> Result<Output, ProcessError> {
        let name = Name::of(&self.command);
        let [stdin, stdout, stderr] = self.chosen;
        if !stdin {
            self.command.stdin(Stdio::null());
        }
        if !stdout {
            self.command.stdout(Stdio::piped());
        }
        if !stderr {
            self.command.stderr(Stdio::piped());
        }
        let ended = async { self.start().await?.output(limit).await };
        ended.await.map_err(|fault| name.error(fault))
    }

    async fn start(self) -> Result<Child, Fault> {
        if table::is_private() {
            return Err(table::refusal("child processes cannot be started here").into());
        }
        let Command { mut command, kill_on_drop, detached, .. } = self;
        let name = Name::of(&command);
        let home = PhantomData;
        let job = shard::with(|shard| {
            shard.pool().run(Lane::FILE, move || imp::Started::new(&mut command, kill_on_drop, detached))
        });
        Child::new(job?.await??, name, home)
    }
}

//! Child processes.
//!
//! Starting one takes a while (the kernel makes a process and loads a program), so a worker of the pool does it; its
//! end is an event of the shard, and so are its standard streams. There is no handler of SIGCHLD, and no process
//! stays behind as a zombie: who has ended is reaped by whoever waits for it, and a [`Child`] that is dropped before
//! is reaped by a thread of the process (`lakh-reaper`), which is there as long as such children run.
//!
//! ```
//! # #[cfg(unix)]
//! # lakh_core::block_on(async {
//! use lakh_core::process::Command;
//!
//! let output = Command::new("echo").arg("hello").output(1024).await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok::<(), lakh_core::process::ProcessError>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! A time limit is a [`timeout`](crate::timeout()) around whatever waits. It drops the future, and the child runs on,
//! unless it is killed: by [`kill_on_drop`](Command::kill_on_drop), or by hand. What the child has started runs on all the
//! same, unless the child is [detached](Command::detach) and thus has a process group of its own.
//!
//! ```
//! # #[cfg(unix)]
//! # lakh_core::block_on(async {
//! use lakh_core::{process::Command, timeout};
//! use std::time::Duration;
//!
//! let mut child = Command::new("sleep").arg("1000").spawn().await?;
//! if timeout(Duration::from_millis(10), child.wait()).await.is_err() {
//!     child.kill()?;
//!     assert!(!child.wait().await?.success());
//! }
//!
//! let slow = Command::new("sleep").arg("1000").kill_on_drop(true);
//! assert!(timeout(Duration::from_millis(10), slow.status()).await.is_err());
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! # What a child inherits
//! As with std: the environment, the working directory, the standard streams unless others are chosen, signals that
//! are ignored (but SIGPIPE) or blocked on the thread that started the runtime, and limits. That of open files is the
//! one that lakh has raised ([`raise_descriptor_limit`](crate::sys::limits::raise_descriptor_limit)), which programs
//! that use select(2) may not be prepared for. No other descriptor gets through: lakh's and std's are closed by exec.
//!
//! # What it needs
//! Unix; elsewhere starting fails with [`Unsupported`](std::io::ErrorKind::Unsupported), as it does on shards with
//! [descriptor tables of their own](crate::Builder::private_descriptors). On Linux from 5.3 on the end of a child is
//! told by pidfd_open(2); other systems take a thread for each child (`lakh-wait`). Neither works if somebody else
//! reaps the process's children, or has SIGCHLD ignored: waiting fails then (`ECHILD`).

mod child;
mod command;
mod error;
#[cfg(not(unix))]
#[path = "elsewhere.rs"]
mod imp;
#[cfg(unix)]
#[path = "unix.rs"]
mod imp;
mod pipe;
#[cfg(unix)]
mod reaper;
#[cfg(unix)]
mod waiting;

pub use child::Child;
pub use command::Command;
pub use error::ProcessError;
pub use pipe::{PipeReader, PipeWriter};
pub use std::process::{ExitStatus, Output, Stdio};

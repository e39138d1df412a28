//! How a terminal takes what is typed.

use crate::sys::{
    table,
    terminal::{Change, Changed},
};
use std::{io, os::fd::AsFd};

/// A terminal whose settings are changed until this is dropped. (`uv_tty_set_mode`, with the resetting.)
///
/// They are as before also when a panic unwinds, when the process ends by `exit`, and when SIGINT, SIGTERM, SIGHUP or
/// SIGQUIT end it or SIGTSTP stops it; when it goes on, they are changed again. That is so for signals that do what they
/// do by default when the change is made: who handles them, as a server does to drain, ends by dropping this. Nothing
/// helps against SIGKILL, and against a panic with `panic = "abort"` a hook.
///
/// The settings are the terminal's: whoever else has it open sees them, too. A process in the background leaves them as
/// whoever is in the foreground has made them. One terminal of a process at a time
/// can be changed.
///
/// It needs no shard.
#[derive(Debug)]
pub struct Mode(Changed);

impl Mode {
    /// Raw: each byte as it is typed, Ctrl-C too, and nothing is shown or translated (cfmakeraw(3)). Lines that are
    /// written have to end with `\r\n`.
    ///
    /// # Errors
    /// `ENOTTY` if it is no terminal; `ResourceBusy` if one is changed already; `Unsupported` on shards with descriptor
    /// tables of their own, which get no signals.
    pub fn raw(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, Change::Raw)
    }

    /// Lines, of which only the end is shown: for passwords. What was typed before is forgotten, and so it is after a
    /// stop.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn silent(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, Change::Silent)
    }

    /// Keys: each as it is typed, and none is shown. Ctrl-C is one of them; what else makes a signal (Ctrl-Z) still does, and
    /// what is written is translated as before. For views that are drawn anew again and again.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn keys(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, Change::Keys)
    }

    /// How often the process has been stopped and has gone on since then: whatever was on the screen is to be drawn
    /// anew.
    pub fn resumed(&self) -> u32 {
        self.0.resumed()
    }

    fn change(terminal: impl AsFd, change: Change) -> io::Result<Self> {
        if table::is_private() {
            return Err(table::refusal("the settings of terminals cannot be changed here"));
        }
        Changed::new(terminal.as_fd().try_clone_to_owned()?, change).map(Mode)
    }
}

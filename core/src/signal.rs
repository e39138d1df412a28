//! Signals of the process as events of a shard: signal(7).
//!
//! Any number of [`Signal`]s may listen to the same signal, on any shard; each hears it. They are streams
//! ([`futures_core::Stream`]), too.
//!
//! ```
//! # #[cfg(unix)]
//! # lakh_core::block_on(async {
//! use lakh_core::{process::Command, signal::{SIGUSR1, Signal}};
//!
//! let mut reload = Signal::new(SIGUSR1)?;
//! let this = std::process::id();
//! Command::new("kill").args(["-USR1", &this.to_string()]).status().await?;
//! reload.recv().await;
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! # What becomes of what a signal does by itself
//! Whoever listens to a signal takes it over for the whole process, and for good: from the first listener on, the signal
//! does not end, stop or continue the process any more (signal(7) has the table), and that stays so when the last listener is
//! gone. Signals that come then are lost. Children that are started meanwhile have the default back. A program
//! that listens to SIGINT or SIGTERM ends itself, or is killed; [`Runtime::run_until_signal`](crate::Runtime::run_until_signal)
//! does that part.
//!
//! # How many arrive
//! None is lost between two polls, but signals that come before a listener has seen the last one are one to it, as they are to
//! the kernel (signal(7), "queueing"). It tells that something has happened, not how often.

#[cfg(unix)]
mod hub;

#[cfg(unix)]
pub(crate) use hub::start;
#[cfg(unix)]
pub use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

use futures_core::Stream;
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

/// One kind of signal, as it arrives at this process: see the [module](self).
///
/// It may be used on any shard, those with [descriptor tables of their own](crate::Builder::private_descriptors) as well, and
/// moved to other threads. Elsewhere than on Unix none ever arrives, and Ctrl-C ends the process.
pub struct Signal(imp::Listening);

impl Signal {
    /// Listens for the signal with this number from now on.
    ///
    /// # Errors
    /// `InvalidInput` for numbers that are no signals, or of signals that cannot be caught (SIGKILL, SIGSTOP) or follow from
    /// a fault, which comes again as soon as it is caught (SIGSEGV, SIGBUS, SIGFPE, SIGILL). If no descriptor or thread is left, at the first time. `Unsupported` elsewhere than
    /// on Unix.
    pub fn new(number: i32) -> io::Result<Self> {
        imp::Listening::new(number).map(Signal)
    }

    /// SIGINT: Ctrl-C in the terminal.
    ///
    /// # Errors
    /// As [`Signal::new`]; none elsewhere than on Unix.
    pub fn interrupt() -> io::Result<Self> {
        imp::Listening::to(imp::INTERRUPT).map(Signal)
    }

    /// SIGTERM: what service managers send.
    ///
    /// # Errors
    /// As [`Signal::interrupt`].
    pub fn terminate() -> io::Result<Self> {
        imp::Listening::to(imp::TERMINATE).map(Signal)
    }

    /// SIGQUIT: a graceful end, as nginx has it.
    ///
    /// # Errors
    /// As [`Signal::interrupt`].
    pub fn quit() -> io::Result<Self> {
        imp::Listening::to(imp::QUIT).map(Signal)
    }

    /// SIGHUP: the terminal has gone; for services: reload.
    ///
    /// # Errors
    /// As [`Signal::interrupt`].
    pub fn hangup() -> io::Result<Self> {
        imp::Listening::to(imp::HANGUP).map(Signal)
    }

    /// Waits for the signal. Cancel safe.
    pub async fn recv(&mut self) {
        poll_fn(|cx| self.poll_recv(cx)).await;
    }

    /// Ready if the signal has arrived since it was last seen.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx).map(Some)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.0.number()).finish()
    }
}

#[cfg(unix)]
mod imp {
    use super::hub::{self, Listener};
    use signal_hook::consts::{FORBIDDEN, SIGBUS};
    pub(super) use signal_hook::consts::{
        SIGHUP as HANGUP, SIGINT as INTERRUPT, SIGQUIT as QUIT, SIGTERM as TERMINATE,
    };
    use std::{
        io,
        sync::Arc,
        task::{Context, Poll},
    };

    /// No system has more signals.
    const NUMBERS: std::ops::Range<i32> = 1..128;

    pub(super) struct Listening(Arc<Listener>);

    impl Listening {
        pub(super) fn new(number: i32) -> io::Result<Self> {
            if !NUMBERS.contains(&number) || FORBIDDEN.contains(&number) || number == SIGBUS {
                let text = format!("signal {number} cannot be caught");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Self::to(number)
        }

        pub(super) fn to(number: i32) -> io::Result<Self> {
            hub::listen(number).map(Listening)
        }

        pub(super) fn number(&self) -> i32 {
            self.0.number()
        }

        pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
            self.0.poll(cx)
        }
    }

    impl Drop for Listening {
        fn drop(&mut self) {
            hub::leave(&self.0);
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::{
        io,
        task::{Context, Poll},
    };

    pub(super) const HANGUP: i32 = 1;
    pub(super) const INTERRUPT: i32 = 2;
    pub(super) const QUIT: i32 = 3;
    pub(super) const TERMINATE: i32 = 15;

    pub(super) struct Listening(i32);

    impl Listening {
        pub(super) fn new(_: i32) -> io::Result<Self> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "there are signals on Unix only"))
        }

        pub(super) fn to(number: i32) -> io::Result<Self> {
            Ok(Listening(number))
        }

        pub(super) fn number(&self) -> i32 {
            self.0
        }

        pub(super) fn poll(&self, _: &Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
}

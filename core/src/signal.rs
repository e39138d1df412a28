//! Signals of the process as events of a shard.

#[cfg(not(unix))]
pub use elsewhere::Signal;
#[cfg(unix)]
pub use unix::Signal;

#[cfg(unix)]
mod unix {
    use crate::{
        reactor::{Direction, Registration},
        sys::table,
    };
    use signal_hook::{SigId, consts, low_level};
    use std::{
        fmt,
        future::poll_fn,
        io::{self, Read},
        os::fd::OwnedFd,
        task::{Context, Poll, ready},
    };

    /// One kind of signal, as it arrives at this process: signal(7).
    ///
    /// From the first one on, and for the life of the process, the signal does not do what it does
    /// by default (end the process, say), even when nobody listens any more. Several may exist for
    /// the same signal, on any shard; each sees it. Signals that arrive close together may be seen
    /// as one, as the kernel does it too.
    pub struct Signal {
        // Before the receiver: unregistered first, so that no handler writes into a closed pipe.
        id: SigId,
        registration: Registration,
        receiver: mio::net::UnixStream,
    }

    impl Signal {
        /// Listens for the signal with this number on the current shard.
        ///
        /// # Errors
        /// For numbers that cannot be caught (SIGKILL, SIGSTOP, SIGSEGV, …), or if no descriptor
        /// is left. `Unsupported` on shards with descriptor tables of their own, since a signal's handler
        /// runs on another thread.
        ///
        /// # Panics
        /// Outside a shard.
        pub fn new(number: i32) -> io::Result<Self> {
            if consts::FORBIDDEN.contains(&number) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("signal {number} cannot be caught"),
                ));
            }
            if table::is_private() {
                return Err(table::refusal("signals are not heard here"));
            }
            let (mut receiver, sender) = mio::net::UnixStream::pair()?;
            let registration = Registration::ready(&mut receiver)?;
            let id = low_level::pipe::register(
                number,
                OwnedFd::from(std::os::unix::net::UnixStream::from(sender)),
            )?;
            Ok(Signal { id, registration, receiver })
        }

        /// SIGINT: Ctrl-C in the terminal.
        ///
        /// # Errors
        /// As [`Signal::new`].
        pub fn interrupt() -> io::Result<Self> {
            Self::new(consts::SIGINT)
        }

        /// SIGTERM: what service managers send.
        ///
        /// # Errors
        /// As [`Signal::new`].
        pub fn terminate() -> io::Result<Self> {
            Self::new(consts::SIGTERM)
        }

        /// SIGQUIT: a graceful end, as nginx has it.
        ///
        /// # Errors
        /// As [`Signal::new`].
        pub fn quit() -> io::Result<Self> {
            Self::new(consts::SIGQUIT)
        }

        /// SIGHUP: the terminal has gone; for services: reload.
        ///
        /// # Errors
        /// As [`Signal::new`].
        pub fn hangup() -> io::Result<Self> {
            Self::new(consts::SIGHUP)
        }

        /// Waits for the signal. Cancel safe.
        pub async fn recv(&mut self) {
            poll_fn(|cx| self.poll_recv(cx)).await;
        }

        /// Ready if the signal has arrived since it was last seen.
        pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let mut bytes = [0; 64];
            // The other end lives as long as the handler, so neither an end nor an error comes.
            let read = || (&self.receiver).read(&mut bytes);
            let _ = ready!(self.registration.poll_io(Direction::Read, cx, read));
            Poll::Ready(())
        }
    }

    impl Drop for Signal {
        fn drop(&mut self) {
            low_level::unregister(self.id);
        }
    }

    impl fmt::Debug for Signal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Signal").finish_non_exhaustive()
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::{
        future::pending,
        io,
        task::{Context, Poll},
    };

    /// Signals exist on Unix only; here one never arrives, and Ctrl-C ends the process.
    #[derive(Debug)]
    pub struct Signal(());

    impl Signal {
        /// Never arrives here.
        ///
        /// # Errors
        /// None.
        pub fn interrupt() -> io::Result<Self> {
            Ok(Signal(()))
        }

        /// Never arrives here.
        ///
        /// # Errors
        /// None.
        pub fn terminate() -> io::Result<Self> {
            Ok(Signal(()))
        }

        /// Never arrives here.
        ///
        /// # Errors
        /// None.
        pub fn quit() -> io::Result<Self> {
            Ok(Signal(()))
        }

        /// Waits for ever.
        pub async fn recv(&mut self) {
            pending::<()>().await;
        }

        /// Never ready.
        pub fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
}

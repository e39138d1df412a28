//! A terminal as a source of a shard.

use super::{Mode, Size};
use crate::{async_fd::AsyncFd, reactor::Direction, signal::Signal};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use rustix::{
    fs::{Mode as Rights, OFlags, open},
    io::{Errno, dup, read, write},
    termios::{isatty, tcgetwinsize},
};
use std::{
    ffi::CString,
    future::poll_fn,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A terminal that is read and written on the current shard. (`uv_tty_t`.)
///
/// A process in the background that reads or writes it is stopped by the kernel (SIGTTIN, SIGTTOU), as ever.
///
/// It is of its shard, and of the shard's descriptor table if that has one.
#[derive(Debug)]
pub struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    /// The terminal that the process belongs to: `/dev/tty`, wherever its standard streams lead.
    ///
    /// # Errors
    /// `ENXIO` if there is none.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn open() -> io::Result<Self> {
        Self::of(open("/dev/tty", flags(), Rights::empty()))
    }

    /// The terminal that standard input is.
    ///
    /// # Errors
    /// As [`reopen`](Self::reopen).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn stdin() -> io::Result<Self> {
        Self::reopen(io::stdin())
    }

    /// The terminal that standard output is.
    ///
    /// # Errors
    /// As [`reopen`](Self::reopen).
    ///
    /// # Panics
    /// Outside a shard.
    pub fn stdout() -> io::Result<Self> {
        Self::reopen(io::stdout())
    }

    /// Opens the terminal that a descriptor is of once more; the descriptor stays as it is, and blocking.
    ///
    /// # Errors
    /// `ENOTTY` if it is none, and what open(2) says.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn reopen(terminal: impl AsFd) -> io::Result<Self> {
        if !isatty(&terminal) {
            return Err(Errno::NOTTY.into());
        }
        Self::of(open(path_of(terminal.as_fd())?, flags(), Rights::empty()))
    }

    fn of(opened: rustix::io::Result<OwnedFd>) -> io::Result<Self> {
        Ok(Terminal(AsyncFd::new(opened?)?))
    }

    /// Reads what was typed: a line, or in [raw mode](Mode::raw) whatever there is. 0 is the end (Ctrl-D), after
    /// which there may be more.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// `EIO` once the terminal is gone.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, |terminal| Ok(read(terminal, &mut *into)?)).await
    }

    /// Writes as much as the terminal takes, one byte at least.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// `EIO` once the terminal is gone.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, |terminal| Ok(write(terminal, bytes)?)).await
    }

    /// Writes all of it. Not cancel safe: a part may be written.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Changes how it takes what is typed, until the mode is dropped; see [`Mode::raw`].
    ///
    /// # Errors
    /// As [`Mode::raw`].
    pub fn raw(&self) -> io::Result<Mode> {
        Mode::raw(self)
    }

    /// The window's size now (`uv_tty_get_winsize`).
    ///
    /// # Errors
    /// `EIO` once the terminal is gone.
    pub fn size(&self) -> io::Result<Size> {
        size(self.as_fd())
    }

    /// The window's sizes to come, for as long as it has another one from time to time (SIGWINCH).
    ///
    /// # Errors
    /// As [`Signal::new`], and if no descriptor is left.
    pub fn sizes(&self) -> io::Result<Sizes> {
        let signal = Signal::new(signal_hook::consts::SIGWINCH)?;
        Ok(Sizes { signal, terminal: dup(self)?, last: self.size()? })
    }
}

/// Nothing waits, and it becomes nobody's controlling terminal.
fn flags() -> OFlags {
    OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

/// By the descriptor, since a terminal of another mount namespace has a name that leads elsewhere. A thread's table may
/// be its own.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn path_of(terminal: BorrowedFd<'_>) -> io::Result<CString> {
    use std::os::fd::AsRawFd;
    Ok(CString::new(format!("/proc/thread-self/fd/{}", terminal.as_raw_fd()))?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn path_of(terminal: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(rustix::termios::ttyname(terminal, Vec::new())?)
}

fn size(terminal: BorrowedFd<'_>) -> io::Result<Size> {
    let size = tcgetwinsize(terminal)?;
    Ok(Size { columns: size.ws_col, rows: size.ws_row })
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_io(Direction::Read, cx, |terminal| Ok(read(terminal, &mut *into)?))
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_io(Direction::Write, cx, |terminal| Ok(write(terminal, bytes)?))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The sizes that a terminal's window gets, from [`Terminal::sizes`]: a stream without an end.
///
/// The kernel tells the processes in the foreground. Sizes that follow each other closely may be seen as one.
#[derive(Debug)]
pub struct Sizes {
    signal: Signal,
    terminal: OwnedFd,
    last: Size,
}

impl Sizes {
    /// Waits for another size than the one before.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// `EIO` once the terminal is gone.
    pub async fn changed(&mut self) -> io::Result<Size> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Size>> {
        loop {
            ready!(self.signal.poll_recv(cx));
            let size = size(self.terminal.as_fd())?;
            if std::mem::replace(&mut self.last, size) != size {
                return Poll::Ready(Ok(size));
            }
        }
    }
}

impl Stream for Sizes {
    type Item = io::Result<Size>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_changed(cx).map(Some)
    }
}

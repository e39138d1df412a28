//! Any descriptor as a source of events.

use crate::reactor::{Direction, Registration};
use mio::unix::SourceFd;
use rustix::fs::{FileType, fstat};
use std::{
    fmt,
    future::poll_fn,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    task::{Context, Poll},
};

/// A descriptor that the current shard waits for: a pipe, a terminal, an eventfd, a netlink socket, whatever a library
/// of C says can be polled. (`uv_poll_t`.)
///
/// - The descriptor has to be **non-blocking** (`O_NONBLOCK`), or an operation holds up the shard when the readiness was
///   a false alarm. This does not make it so: the setting belongs to the open file, which other processes may share.
/// - **Files on a disk** cannot be waited for, as they are always ready and block all the same: they are refused. Use
///   [`fs`](crate::fs).
/// - One task waits for each direction: the one that did so last. A descriptor is in one `AsyncFd` of a shard at a time;
///   duplicates (`dup(2)`) are others.
/// - On a shard with a descriptor table of its own, the descriptor has to be one of that table.
///
/// Dropping it drops what it is made of, which is registered no longer.
///
/// ```
/// use lakh_core::{AsyncFd, Direction};
/// use rustix::{event::{EventfdFlags, eventfd}, io::{read, write}};
///
/// lakh_core::block_on(async {
///     let event = AsyncFd::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)?;
///     write(event.get_ref(), &7u64.to_ne_bytes())?;
///     let mut count = [0; 8];
///     event.io(Direction::Read, |event| Ok(read(event, &mut count)?)).await?;
///     assert_eq!(u64::from_ne_bytes(count), 7);
///     std::io::Result::Ok(())
/// })??;
/// # std::io::Result::Ok(())
/// ```
pub struct AsyncFd<T: AsFd> {
    registration: Registration,
    /// `None` once it has been given back.
    inner: Option<T>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers the descriptor with the current shard, for both directions. It has to stay the same as long as `inner`
    /// is in here.
    ///
    /// # Errors
    /// `Unsupported` for regular files, directories and what else the kernel cannot wait for; `AlreadyExists` if the
    /// descriptor is registered with this shard; what epoll_ctl(2) says else.
    ///
    /// # Panics
    /// Outside a shard.
    pub fn new(inner: T) -> io::Result<Self> {
        refuse_files(inner.as_fd())?;
        let registration = Registration::numbered(inner.as_fd().as_raw_fd(), false).map_err(explained)?;
        Ok(AsyncFd { registration, inner: Some(inner) })
    }

    /// What it was made of.
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().expect("there until it is given back")
    }

    /// Gives back what it was made of, which is registered no longer.
    pub fn into_inner(mut self) -> T {
        self.forget();
        self.inner.take().expect("there until it is given back")
    }

    /// Waits until reading may succeed: a hint, and so are the others. It stays ready until an operation in
    /// [`try_io`](Self::try_io) or [`io`](Self::io) says `WouldBlock`.
    ///
    /// Cancel safe.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub async fn readable(&self) {
        poll_fn(|cx| self.poll_ready(Direction::Read, cx)).await;
    }

    /// Waits until writing may succeed; as [`readable`](Self::readable).
    ///
    /// Cancel safe.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub async fn writable(&self) {
        poll_fn(|cx| self.poll_ready(Direction::Write, cx)).await;
    }

    /// Ready when an operation in this direction may succeed; else the task is woken then.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.poll_ready(direction, cx)
    }

    /// Tries an operation, whatever is known of the readiness. If it would have blocked, the direction is not ready
    /// until the kernel says so.
    ///
    /// # Errors
    /// What `operation` returns, `WouldBlock` among it.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = operation(self.get_ref());
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.registration.would_block(direction);
            self.registration.rearm(&mut SourceFd(&self.number()))?;
        }
        result
    }

    /// Runs an operation when the descriptor is ready, and again when it would have blocked, until it gives a result.
    ///
    /// Cancel safe if `operation` leaves nothing half done.
    ///
    /// # Errors
    /// What `operation` returns, except `WouldBlock` and `Interrupted`.
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|cx| self.poll_io(direction, cx, &mut operation)).await
    }

    /// As [`io`](Self::io), for hand-written futures.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    ///
    /// # Panics
    /// Elsewhere than on its own shard.
    pub fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_io(direction, cx, || self.try_io(direction, &mut operation))
    }

    fn number(&self) -> i32 {
        self.get_ref().as_fd().as_raw_fd()
    }

    /// The kernel would tell of the descriptor as long as anything has it open.
    fn forget(&mut self) {
        if self.inner.is_some() {
            // Elsewhere it is not registered, and what was closed already is forgotten.
            let _ = self.registration.deregister(&mut SourceFd(&self.number()));
        }
    }
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// Not every kernel refuses them.
fn refuse_files(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(descriptor)?.st_mode) {
        FileType::RegularFile | FileType::Directory => Err(not_waited_for("this is a file on a disk")),
        _ => Ok(()),
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            not_waited_for("the kernel cannot wait for this descriptor (epoll_ctl(2): EPERM)")
        }
        _ => error,
    }
}

fn not_waited_for(why: &str) -> io::Error {
    let text =
        format!("{why}: it is always ready, and may block all the same; files are read and written by `fs`");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

//! Tables of single threads by close_range(2), which containers allow where they refuse unshare(2).
#![allow(unsafe_code)]

use super::Descriptor;
use crate::reactor::{NOTIFIER, Reactor};
use mio::unix::SourceFd;
use rustix::{
    event::{EventfdFlags, eventfd},
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};
use std::{
    cell::Cell,
    ffi::{c_int, c_long},
    io, mem,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::OnceLock,
};

/// What tells the process's own table from all others, from the first of these on.
static MARK: OnceLock<Mark> = OnceLock::new();

thread_local! {
    /// Whether this thread's table is a private one, once it was asked.
    static PRIVATE: Cell<Option<bool>> = const { Cell::new(None) };
}

/// A socket that the process's table alone holds: under its number the others have nothing, or something else.
/// Open for good, so that no other file has its inode.
struct Mark {
    socket: OwnedFd,
    inode: u64,
}

impl Mark {
    fn new() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        Ok(Mark { socket, inode })
    }

    fn is_in_this_table(&self) -> bool {
        rustix::fs::fstat(&self.socket).is_ok_and(|stat| {
            let is_socket = stat.st_mode & libc::S_IFMT == libc::S_IFSOCK;
            is_socket && stat.st_ino == self.inode
        })
    }
}

/// Marks the table of the calling thread as the process's own, unless one is marked already: to be done before
/// the first table is made private.
pub(crate) fn prepare() -> io::Result<()> {
    if MARK.get().is_none() {
        // Of two at once, one is dropped.
        let _ = MARK.set(Mark::new()?);
    }
    Ok(())
}

/// Whether the calling thread has another table than the process: it is a shard's, or was started by one.
pub(crate) fn is_private() -> bool {
    let Some(mark) = MARK.get() else { return false };
    PRIVATE.get().unwrap_or_else(|| {
        let private = !mark.is_in_this_table();
        PRIVATE.set(Some(private));
        private
    })
}

/// Gives the calling thread a table of its own, in which are standard input, output and error, `event`, and
/// `handed`, whose owners in the new table this returns. The thread takes no signals from here on: their
/// handlers write to descriptors of the process's table.
///
/// Whatever else the caller owns must not be used or dropped on this thread any more.
pub(crate) fn make_private(event: RawFd, handed: &[RawFd]) -> io::Result<Vec<Descriptor>> {
    block_signals()?;
    let mut kept: Vec<RawFd> = handed.iter().copied().chain([event]).filter(|&kept| kept > STDERR).collect();
    kept.sort_unstable();
    let (mut last, mut flags) = (libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE);
    // From the top: the first range, which is never empty, gives the thread its table.
    for kept in [STDERR].into_iter().chain(kept).rev() {
        let kept = kept as libc::c_uint;
        if kept < last {
            close_range(kept + 1, last, mem::take(&mut flags))?;
            PRIVATE.set(Some(true));
        }
        last = kept.saturating_sub(1);
    }
    // SAFETY: the numbers were open when the table was copied, as their owners lived, and nobody else owns what
    // this table holds under them.
    Ok(handed.iter().map(|&number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

const STDERR: RawFd = 2;

fn close_range(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: it takes three numbers. What it closes belongs to nobody in a table that is the caller's alone
    // (`make_private`): the first range makes it so.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    result_of(result)
}

/// But those that a fault of the thread itself raises: blocked, they would end the process without a word.
fn block_signals() -> io::Result<()> {
    const FAULTS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];
    let mut set = mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) initialises the set, and the others take pointers to it.
    let error = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(set.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn result_of(result: c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What wakes a shard with a table of its own: made in the process's table, rung there, and watched in both.
pub(crate) fn new_event() -> io::Result<Descriptor> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Each ring is an edge, whether the last one was read or not; nobody reads them.
pub(crate) fn ring(event: &Descriptor) -> io::Result<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes())?;
    Ok(())
}

/// Lets the shard's kernel poll watch the event of this number.
pub(crate) fn watch(reactor: &Reactor, event: RawFd) -> io::Result<()> {
    reactor.watch(&mut SourceFd(&event), NOTIFIER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::AsRawFd,
        thread,
    };

    fn is_open(number: RawFd) -> bool {
        std::path::Path::new(&format!("/proc/thread-self/fd/{number}")).exists()
    }

    #[test]
    fn a_private_table_has_what_it_was_handed_and_standard_streams_alone() {
        prepare().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let file = File::open("/proc/self/stat").unwrap();
        let (event, later) = (new_event().unwrap(), File::open("/proc/self/stat").unwrap());
        let numbers = [file.as_raw_fd(), later.as_raw_fd(), reader.as_raw_fd()];
        let (event_number, handed) = (event.as_raw_fd(), writer.as_raw_fd());
        let inside = thread::spawn(move || {
            assert!(!is_private());
            let mut owners = make_private(event_number, &[handed]).unwrap();
            assert!(is_private());
            assert!([0, 1, 2, event_number, handed].into_iter().all(is_open));
            assert!(!numbers.into_iter().any(is_open));
            // A thread that it starts shares the table, and finds that out by itself.
            assert!(thread::spawn(is_private).join().unwrap());
            let writer = owners.pop().unwrap();
            assert!(owners.is_empty());
            std::io::PipeWriter::from(writer).write_all(b"inside").unwrap();
            assert!(!is_open(handed), "it was closed in this table");
        });
        inside.join().unwrap();
        assert!(!is_private());
        assert!(numbers.into_iter().all(is_open) && is_open(handed), "and in no other");
        drop((writer, file, later));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "inside");
        ring(&event).unwrap();
        let mut count = [0; 8];
        rustix::io::read(&event, &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}

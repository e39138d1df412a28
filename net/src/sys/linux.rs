use crate::TcpStream;
use lakh_core::Direction;
use rustix::net::SendFlags;
use std::{
    fs::File,
    io,
    task::{Context, Poll},
};

/// The kernel spreads new connections over all listeners of a port: SO_REUSEPORT in socket(7).
pub const PORT_SHARING: bool = true;

/// The kernel transfers no more at once, and refuses lengths that are no `ssize_t`.
const MAX_LEN: usize = 0x7fff_f000;

/// As [`TcpStream::try_write`], but the kernel may keep an incomplete segment back, for at most a fifth
/// of a second, until more is written: MSG_MORE in send(2).
///
/// # Errors
/// As [`TcpStream::try_write`].
pub fn send_with_more_to_come(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    stream.note_write(bytes.len(), || Ok(rustix::net::send(stream.inner(), bytes, flags)?))
}

/// Sends up to `len` bytes of `file` from `offset` without copying them through this process:
/// sendfile(2). Gives the number of bytes sent, 0 at the end of the file.
///
/// Reading the file can block the shard: call it only for ranges that are in the page cache.
/// Cancel safe: what was sent is returned at once.
///
/// # Errors
/// Those of sendfile(2): `InvalidInput` if the file cannot be mapped, and the connection's.
pub fn send_file(
    stream: &TcpStream,
    file: &File,
    offset: u64,
    len: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    stream.registration().poll_io(Direction::Write, cx, || {
        stream.inner().try_io(|| {
            let mut offset = offset;
            let len = len.min(MAX_LEN);
            Ok(rustix::fs::sendfile(stream.inner(), file, Some(&mut offset), len)?)
        })
    })
}

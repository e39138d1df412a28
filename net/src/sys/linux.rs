use crate::{TcpStream, table};
use lakh_core::Direction;
use rustix::net::{RecvFlags, SendFlags};
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
    let socket = stream.inner();
    stream.note_write(bytes.len(), || socket.try_io(|| Ok(rustix::net::send(socket, bytes, flags)?)))
}

/// Sends up to `len` bytes of `file` from `offset` without copying them through this process:
/// sendfile(2). Gives the number of bytes sent, 0 at the end of the file.
///
/// Reading the file can block the shard: call it only for ranges that are in the page cache.
/// Cancel safe: what was sent is returned at once.
///
/// # Errors
/// Those of sendfile(2): `InvalidInput` if the file cannot be mapped, and the connection's. `Unsupported` on
/// shards with descriptor tables of their own: the file may have been opened in another one.
pub fn send_file(
    stream: &TcpStream,
    file: &File,
    offset: u64,
    len: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if table::is_private() {
        return Poll::Ready(Err(table::refusal("files cannot be sent from here")));
    }
    stream.registration().poll_io(Direction::Write, cx, || {
        stream.inner().try_io(|| {
            let mut offset = offset;
            let len = len.min(MAX_LEN);
            Ok(rustix::fs::sendfile(stream.inner(), file, Some(&mut offset), len)?)
        })
    })
}

/// Reads from a socket: recv(2).
///
/// By a system call of its own: glibc's wrappers are cancellation points, which in a process with
/// threads cost two atomic operations a call.
#[inline]
pub(crate) fn recv(socket: &mio::net::TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    socket.try_io(|| Ok(rustix::net::recv(socket, buf, RecvFlags::empty())?.0))
}

/// Writes to a socket: send(2), without SIGPIPE. See [`recv`].
#[inline]
pub(crate) fn send(socket: &mio::net::TcpStream, buf: &[u8]) -> io::Result<usize> {
    socket.try_io(|| Ok(rustix::net::send(socket, buf, SendFlags::NOSIGNAL)?))
}

/// Changes how many connections may wait to be accepted; those that do stay: listen(2) may be called again.
/// The kernel lets one in more than that, and drops the other SYNs, so that clients try again.
pub(crate) fn set_backlog(listener: &mio::net::TcpListener, connections: i32) -> io::Result<()> {
    Ok(rustix::net::listen(listener, connections)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_is_kept_back_arrives_before_what_follows_and_without_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let reader = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut arrived = [0; 14];
            peer.read_exact(&mut arrived).unwrap();
            peer.write_all(&arrived).unwrap();
        });
        let echoed = lakh_core::block_on(async move {
            let stream = TcpStream::connect(addr).await?;
            assert_eq!(send_with_more_to_come(&stream, b"head")?, 4);
            assert_eq!(stream.try_write(b", body")?, 6);
            assert_eq!(send_with_more_to_come(&stream, b"last")?, 4);
            let mut echoed = [0; 14];
            let mut len = 0;
            while len < echoed.len() {
                len += stream.read(&mut echoed[len..]).await?;
            }
            Ok::<_, io::Error>(echoed)
        });
        assert_eq!(&echoed.unwrap().unwrap(), b"head, bodylast");
        reader.join().unwrap();
    }
}

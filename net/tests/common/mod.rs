//! What the tests of sockets share.
#![allow(dead_code)] // each test file uses a part of it

use lakh_net::{TcpListener, TcpStream};
use std::{
    future::Future,
    hash::{DefaultHasher, Hasher},
    io,
    net::SocketAddr,
    time::Duration,
};

/// Ends a test that hangs; no test is meant to come near it.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// Runs `future` on a shard of its own and fails if it hangs.
pub(crate) fn on_shard<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let result = lakh_core::block_on(lakh_core::timeout(HANG, future)).expect("a shard");
    result.expect("the test hangs")
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Two ends of a connection: the one that connected, and the one that was accepted.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, connecting.local_addr().unwrap());
    (connecting, accepted)
}

/// A connection whose other end belongs to no shard.
pub(crate) async fn pair_with_std() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(HANG)).unwrap();
    peer.set_write_timeout(Some(HANG)).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// Reads to the end of the stream.
pub(crate) async fn read_to_end(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

/// Reads exactly as much as `buf` holds.
pub(crate) async fn read_exact(stream: &TcpStream, buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match stream.read(&mut buf[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    Ok(())
}

/// Writes without waiting until the kernel takes no more; how much it took.
pub(crate) fn fill(stream: &TcpStream) -> usize {
    let mut sent = 0;
    loop {
        match stream.try_write(&[7; 16 * 1024]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
            Err(error) => panic!("filling a socket: {error}"),
        }
    }
}

/// Bytes in which no block repeats, so that a lost or doubled one shows.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Length and hash.
#[derive(Default)]
pub(crate) struct Checksum {
    len: u64,
    hasher: DefaultHasher,
}

impl Checksum {
    pub(crate) fn of(bytes: &[u8]) -> (u64, u64) {
        let mut sum = Checksum::default();
        sum.add(bytes);
        sum.finish()
    }

    /// However the bytes are split into calls, the result is the same.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        for byte in bytes {
            self.hasher.write_u8(*byte);
        }
    }

    pub(crate) fn finish(&self) -> (u64, u64) {
        (self.len, self.hasher.finish())
    }
}

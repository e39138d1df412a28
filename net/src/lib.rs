//! TCP and UDP sockets on Lakh's event loops.
//!
//! Every socket belongs to the shard it was made on. Operations are tried first and wait only if
//! the kernel says that they would block; no buffer is kept for a socket that waits.
//!
//! ```
//! use lakh_net::{TcpListener, TcpStream};
//!
//! # lakh_core::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//! let addr = listener.local_addr()?;
//! let server = lakh_core::spawn(async move {
//!     let (stream, _peer) = listener.accept().await?;
//!     stream.write_all(b"hello").await
//! });
//! let stream = TcpStream::connect(addr).await?;
//! let mut buf = [0; 16];
//! let n = stream.read(&mut buf).await?;
//! assert_eq!(&buf[..n], b"hello");
//! server.await.unwrap()?;
//! # std::io::Result::Ok(())
//! # })??;
//! # std::io::Result::Ok(())
//! ```
//!
//! Names are not resolved here: every function takes socket addresses. What a machine's own file says of names is in
//! [`hosts`].

#![deny(unsafe_code)]

pub mod hosts;
pub mod sys;
mod table;
mod tcp;
mod udp;

pub use tcp::{
    AcceptMetrics, Accepted, Backlog, ConnectAnyError, ConnectOptions, Keepalive, ListenOptions,
    ListenerGroup, ShardListeners, TcpListener, TcpStream, connect_any, is_exhausted,
};
pub use udp::{UdpOptions, UdpSocket, bind_udp_group};

//! Connections that leave HTTP: the protocol is switched (RFC 9110, 7.8).

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::{HeaderValue, StatusCode, header};
use lakh_core::{Shard, WorkGuard, named};
use lakh_net::TcpStream;
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use crate::response::{Ending, Response};

impl Response {
    /// 101: hands the connection to `handler`, which speaks `protocol` on it from here on.
    ///
    /// Once the answer is sent, the connection is the handler's alone, with whatever the client has sent behind
    /// its request; nothing of HTTP stays in memory. The handler runs as a task of its own. A drain counts it as
    /// work in flight up to the server's grace: wait for [`drain_requested`](lakh_core::drain_requested) in it,
    /// and end then. None of the server's [`Limits`](crate::Limits) hold for it.
    ///
    /// A client that has not asked for this protocol (the `Upgrade` field of HTTP/1.1, with the option `upgrade` of
    /// `Connection`) is answered with 426 and told of it; 400 if the body of its request was left unread.
    ///
    /// ```
    /// use lakh_http::{App, Response, Upgraded};
    ///
    /// async fn shout(mut stream: Upgraded) -> std::io::Result<()> {
    ///     let mut buffer = [0; 1024];
    ///     loop {
    ///         let n = stream.read(&mut buffer).await?;
    ///         if n == 0 {
    ///             return Ok(());
    ///         }
    ///         buffer[..n].make_ascii_uppercase();
    ///         stream.write_all(&buffer[..n]).await?;
    ///     }
    /// }
    ///
    /// let app = App::new().get("/shout", || {
    ///     Response::upgrade("shout", async |stream| {
    ///         if let Err(error) = shout(stream).await {
    ///             eprintln!("{error}");
    ///         }
    ///     })
    /// });
    /// ```
    ///
    /// # Panics
    /// If `protocol` is not legal in a header.
    #[track_caller]
    pub fn upgrade<F, Fut>(protocol: &'static str, handler: F) -> Self
    where
        F: FnOnce(Upgraded) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        // The route's, if this is made by its handler.
        let work = lakh_core::try_with(Shard::work).unwrap_or_default();
        Self::upgrade_with(protocol, move |upgraded, guard| {
            lakh_core::spawn_detached(named(work, handler(upgraded)).guarded(guard));
        })
    }

    /// As [`Response::upgrade`], for a handler that spawns its task itself: it is called on the connection's shard
    /// once the answer is sent. The guard is to live as long as a drain has to wait for the connection.
    ///
    /// # Panics
    /// If `protocol` is not legal in a header.
    #[track_caller]
    pub fn upgrade_with(protocol: &'static str, start: impl FnOnce(Upgraded, WorkGuard) + 'static) -> Self {
        let field = HeaderValue::from_static(protocol);
        let mut response =
            Response::empty(StatusCode::SWITCHING_PROTOCOLS).with_field(header::UPGRADE, field);
        response.parts.ending = Some(Ending::Upgrade(OnUpgrade { protocol, start: Box::new(start) }));
        response
    }
}

/// What becomes of the connection after a 101.
pub(crate) struct OnUpgrade {
    pub(crate) protocol: &'static str,
    start: Box<dyn FnOnce(Upgraded, WorkGuard)>,
}

impl OnUpgrade {
    /// Hands the connection on. `read` was read behind the request.
    pub(crate) fn start(self, stream: TcpStream, read: Vec<u8>, guard: WorkGuard) {
        (self.start)(Upgraded { stream, read: read.into() }, guard);
    }
}

/// A connection that has left HTTP, with what was read behind its last request; see [`Response::upgrade`].
///
/// It closes when it is dropped.
pub struct Upgraded {
    stream: TcpStream,
    read: Bytes,
}

impl Upgraded {
    /// The connection itself, and the bytes that come before everything that is read from it.
    pub fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.read)
    }

    /// The connection itself: for its addresses and options, and to write. Reading from it would pass over
    /// what was read already.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once something is there; 0 bytes mean that the peer has finished sending.
    ///
    /// Cancel safe: a dropped future has read nothing.
    ///
    /// # Errors
    /// Those of recv(2).
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Ready with what [`Upgraded::read`] gives.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.read.is_empty() {
            return self.stream.poll_read(cx, buf);
        }
        let n = self.read.len().min(buf.len());
        buf[..n].copy_from_slice(&self.read.split_to(n));
        if self.read.is_empty() {
            self.read = Bytes::new(); // frees what it was a part of
        }
        Poll::Ready(Ok(n))
    }

    /// Writes all of `buf`. Not cancel safe; see [`TcpStream::write_all`].
    ///
    /// # Errors
    /// Those of send(2); `WriteZero` if the kernel takes nothing.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.stream.write_all(buf).await
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Upgraded::poll_read(&mut self, cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).field("read", &self.read.len()).finish()
    }
}

//! A blocking connection, and answers that are read from it.

use super::{
    SAFETY_NET,
    response::{self, TestResponse, parse_head},
};
use crate::{
    StreamError,
    proto::{ChunkLimits, ChunkedDecoder, encode, parse_trailers},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

/// Bytes of an answer's head.
const HEAD_AT_MOST: usize = 1 << 20;

/// The connection that waits for the next request, if there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Option<Wire>>>);

impl Idle {
    /// Takes it out once the last request has been sent to its end, which the server may have answered before,
    /// unless the server has closed it.
    pub(super) fn take(&self) -> Option<Wire> {
        let mut wire = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (wire.wait_until_sent() && wire.is_open()).then_some(wire)
    }

    fn put(&self, wire: Wire) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(wire);
    }
}

/// A connection, and what was read from it and not used yet.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    unused: Vec<u8>,
    /// Of the last request's body.
    sending: Option<JoinHandle<io::Result<()>>>,
}

impl Wire {
    #[track_caller]
    pub(super) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, SAFETY_NET).expect("a connection to the server");
        let configured = stream
            .set_read_timeout(Some(SAFETY_NET))
            .and_then(|()| stream.set_write_timeout(Some(SAFETY_NET)))
            .and_then(|()| stream.set_nodelay(true));
        configured.expect("a socket with deadlines");
        Wire { stream, unused: Vec::new(), sending: None }
    }

    /// Nothing has come, not even an end.
    fn is_open(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let is_blocking = self.stream.set_nonblocking(false).is_ok();
        is_blocking && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until the last request has been sent, and says whether all of it was.
    fn wait_until_sent(&mut self) -> bool {
        self.sending.take().is_none_or(|sending| sending.join().is_ok_and(|sent| sent.is_ok()))
    }

    /// Sends a request. A body is sent by a thread of its own, since the server may answer with it.
    #[track_caller]
    pub(super) fn send(&mut self, head: Vec<u8>, body: VecDeque<Bytes>) {
        let mut stream = self.stream.try_clone().expect("a second descriptor of the socket");
        if body.is_empty() {
            return stream.write_all(&head).expect("a server that reads");
        }
        // A server that does not want all of it tells by its answer.
        self.sending = Some(thread::spawn(move || {
            stream.write_all(&head)?;
            body.iter().try_for_each(|piece| stream.write_all(piece))
        }));
    }

    /// Reads the head of the answer, and leaves out those of 1xx but 101, behind which there is no other.
    #[track_caller]
    pub(super) fn answer(mut self, method: &Method, idle: Idle) -> TestResponse<OverWire> {
        loop {
            if let Some((head, len)) = parse_head(&self.unused) {
                self.unused.drain(..len);
                let is_switched = head.status() == StatusCode::SWITCHING_PROTOCOLS;
                if is_switched || !head.status().is_informational() {
                    let has_body = encode::body_allowed(head.status(), method);
                    let rest =
                        if is_switched { Rest::UntilClose } else { Rest::of(head.headers(), has_body) };
                    let keep_alive = head.header(header::CONNECTION) != Some("close");
                    let mut body = OverWire { wire: Some(self), rest, keep_alive, idle, trailers: None };
                    body.let_go_at_the_end();
                    return head.with_body(|()| body);
                }
                continue;
            }
            assert!(self.unused.len() < HEAD_AT_MOST, "an answer's head of more than 1 MiB");
            let n = self.read_more().expect("an answer from the server");
            assert!(n > 0, "the server has closed the connection without an answer");
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let n = self.stream.read(&mut buffer)?;
        self.unused.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

/// The body of a [`TestServer`](super::TestServer)'s answer. Dropped before its end, it closes the
/// connection.
#[derive(Debug)]
pub struct OverWire {
    /// Until the body was read to its end.
    wire: Option<Wire>,
    rest: Rest,
    keep_alive: bool,
    idle: Idle,
    /// Once the body has ended.
    trailers: Option<HeaderMap>,
}

/// What is still to come of a body.
#[derive(Debug)]
enum Rest {
    Bytes(u64),
    Chunks {
        decoder: ChunkedDecoder,
        /// Of the trailer section.
        trailers: Vec<u8>,
    },
    UntilClose,
}

impl Rest {
    fn of(headers: &HeaderMap, has_body: bool) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        match length {
            _ if !has_body => Rest::Bytes(0),
            _ if headers.contains_key(header::TRANSFER_ENCODING) => {
                Rest::Chunks { decoder: ChunkedDecoder::default(), trailers: Vec::new() }
            }
            Some(length) => Rest::Bytes(length),
            None => Rest::UntilClose,
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Rest::Bytes(left) => *left == 0,
            Rest::Chunks { decoder, .. } => decoder.is_done(),
            Rest::UntilClose => false,
        }
    }

    /// Takes body bytes from the front of what was read.
    fn take(&mut self, unused: &mut Vec<u8>) -> Result<Bytes, StreamError> {
        let (consumed, data) = match self {
            Rest::Bytes(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(unused.len());
                *left -= n as u64;
                (n, 0..n)
            }
            Rest::Chunks { decoder, trailers } => {
                let chunk = decoder.decode(unused, &ChunkLimits::default())?;
                trailers.extend_from_slice(&unused[chunk.trailers]);
                (chunk.consumed, chunk.data)
            }
            Rest::UntilClose => (unused.len(), 0..unused.len()),
        };
        let bytes = Bytes::copy_from_slice(&unused[data]);
        unused.drain(..consumed);
        Ok(bytes)
    }
}

impl OverWire {
    fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        while let Some(wire) = &mut self.wire {
            let bytes = self.rest.take(&mut wire.unused)?;
            let has_to_read = bytes.is_empty() && wire.unused.is_empty() && !self.rest.is_over();
            if has_to_read && wire.read_more()? == 0 {
                self.wire = None;
                let is_end = matches!(self.rest, Rest::UntilClose);
                return if is_end { Ok(None) } else { Err("the connection has ended in the body".into()) };
            }
            self.let_go_at_the_end();
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Gives the connection to the next request once all is read.
    fn let_go_at_the_end(&mut self) {
        if !self.rest.is_over() {
            return;
        }
        if let Rest::Chunks { trailers, .. } = &self.rest
            && !trailers.is_empty()
        {
            self.trailers = Some(parse_trailers(trailers));
        }
        if let Some(wire) = self.wire.take()
            && self.keep_alive
            && wire.unused.is_empty()
        {
            self.idle.put(wire);
        }
    }
}

impl TestResponse<OverWire> {
    /// The next bytes of the body as they come; `None` at its end.
    ///
    /// # Panics
    /// If the body is cut, or nothing comes for a minute.
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Bytes> {
        self.try_chunk().unwrap_or_else(|error| panic!("the answer was cut: {error}"))
    }

    /// As [`chunk`](Self::chunk), for bodies that may be cut.
    ///
    /// # Errors
    /// If the connection ends, or the coding breaks, before the body has ended.
    pub fn try_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        let next = self.body.next();
        if next.is_err() {
            self.body.wire = None;
        }
        next
    }

    /// The trailer fields that came behind the body, once it was read to its end. `None` before that, and if
    /// there are none: a server sends them for `TE: trailers` alone.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.body.trailers.as_ref()
    }

    /// The connection, once the answer was a 101: it speaks another protocol from here on.
    ///
    /// ```
    /// use lakh_http::{App, Response, Upgraded, testing::TestServer};
    /// use std::io::{Read, Write};
    ///
    /// let server = TestServer::start(|_| {
    ///     App::new().get("/", || {
    ///         Response::upgrade("shout", async |mut stream: Upgraded| {
    ///             let mut word = [0; 2];
    ///             stream.read(&mut word).await.unwrap();
    ///             stream.write_all(&word.to_ascii_uppercase()).await.unwrap();
    ///         })
    ///     })
    /// });
    /// let answer = server.get("/").header("connection", "upgrade").header("upgrade", "shout").send();
    /// let mut stream = answer.into_upgraded();
    /// stream.write_all(b"hi").unwrap();
    /// let mut word = String::new();
    /// stream.read_to_string(&mut word).unwrap();
    /// assert_eq!(word, "HI");
    /// ```
    ///
    /// # Panics
    /// If the answer is no 101, or the connection has ended.
    #[track_caller]
    pub fn into_upgraded(self) -> UpgradedWire {
        assert_eq!(self.status(), StatusCode::SWITCHING_PROTOCOLS, "the protocol was not switched");
        UpgradedWire(self.body.wire.expect("the connection has ended"))
    }

    /// What is left of the body.
    ///
    /// # Panics
    /// If the body is cut, or is longer than 64 MiB.
    #[track_caller]
    pub fn bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk() {
            response::gather(&mut all, &chunk);
        }
        all
    }

    /// What is left of the body, as text.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes), and if it is not UTF-8.
    #[track_caller]
    pub fn text(&mut self) -> String {
        response::text(self.bytes())
    }

    /// What is left of the body, as JSON.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes), and if it is not JSON of this type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&mut self) -> T {
        response::json(&self.bytes())
    }
}

/// A connection that has left HTTP; see [`TestResponse::into_upgraded`]. What came right behind the answer's
/// head is read first. It blocks, for a minute at most.
#[derive(Debug)]
pub struct UpgradedWire(Wire);

impl UpgradedWire {
    /// The connection itself: for its options, and to close one direction of it. Reading from it would pass
    /// over what was read already.
    pub fn stream(&self) -> &TcpStream {
        &self.0.stream
    }
}

impl Read for UpgradedWire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Wire { stream, unused, .. } = &mut self.0;
        if unused.is_empty() {
            return stream.read(buf);
        }
        let n = unused.len().min(buf.len());
        buf[..n].copy_from_slice(&unused[..n]);
        unused.drain(..n);
        Ok(n)
    }
}

impl Write for UpgradedWire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_that_the_server_has_closed_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let idle = Idle::default();
        let connect = || {
            let wire = Wire::connect(listener.local_addr().unwrap());
            (wire, listener.accept().unwrap().0)
        };
        let (wire, peer) = connect();
        idle.put(wire);
        assert!(idle.take().is_some());
        drop(peer);
        let (wire, peer) = connect();
        drop(peer);
        assert_eq!(wire.stream.peek(&mut [0]).unwrap(), 0, "the end has come");
        idle.put(wire);
        assert!(idle.take().is_none());
    }
}

//! What an access log is told of each request.

use crate::proto::ParsedHead;
use http::{Method, StatusCode};
use lakh_net::TcpStream;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A request and its answer, once the answer is written.
#[derive(Debug, Clone)]
pub struct Note {
    method: Option<Method>,
    target: Vec<u8>,
    peer: Option<SocketAddr>,
    status: StatusCode,
    bytes: u64,
    began: Instant,
    took: Duration,
}

impl Note {
    pub(crate) fn of(head: &ParsedHead, bytes: &[u8], stream: &TcpStream) -> Box<Self> {
        Box::new(Note {
            method: Some(head.method.clone()),
            target: head.target.of(bytes).to_vec(),
            ..Self::blank(stream)
        })
    }

    pub(crate) fn of_refused(stream: &TcpStream) -> Box<Self> {
        Box::new(Self::blank(stream))
    }

    fn blank(stream: &TcpStream) -> Self {
        Note {
            method: None,
            target: Vec::new(),
            peer: stream.peer_addr().ok(),
            status: StatusCode::OK,
            bytes: 0,
            began: Instant::now(),
            took: Duration::ZERO,
        }
    }

    pub(crate) fn answered(&mut self, status: StatusCode, bytes: u64) {
        self.status = status;
        self.bytes = bytes;
    }

    pub(crate) fn finished(mut self) -> Self {
        self.took = self.began.elapsed();
        self
    }

    /// The method; `None` if no request could be made out.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The target as it was sent: visible ASCII. Empty if no request could be made out.
    pub fn target(&self) -> &str {
        std::str::from_utf8(&self.target).unwrap_or_default()
    }

    /// The peer, if it was still there.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The announced length of the answer's body in bytes; 0 for streams.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From the request's head to the last byte given to the kernel, or to its buffers.
    pub fn took(&self) -> Duration {
        self.took
    }
}

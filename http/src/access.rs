//! What an access log is told of each request.

use crate::proto::ParsedHead;
use http::{Method, StatusCode};
use lakh_net::TcpStream;
use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

/// A request and its answer, once the answer is given away or will never be: its last byte is with the kernel,
/// or in the connection's own buffer of what the kernel has not taken yet. Whether the client got it, nobody
/// here knows.
///
/// It is what [`Server::on_access`](crate::Server::on_access) tells of, refused requests and cut answers included.
/// What an app tells of the requests that it sees, with the client behind proxies and request ids, is a
/// [`middleware::AccessEntry`](crate::middleware::AccessEntry).
#[derive(Debug, Clone)]
pub struct AccessRecord {
    method: Option<Method>,
    target: Vec<u8>,
    peer: Option<SocketAddr>,
    status: Option<StatusCode>,
    bytes: u64,
    cut: bool,
    began: Instant,
    took: Duration,
}

impl AccessRecord {
    pub(crate) fn of(head: &ParsedHead, bytes: &[u8], stream: &TcpStream) -> Self {
        AccessRecord {
            method: Some(head.method.clone()),
            target: head.target.of(bytes).to_vec(),
            ..Self::of_refused(stream)
        }
    }

    pub(crate) fn of_refused(stream: &TcpStream) -> Self {
        AccessRecord {
            method: None,
            target: Vec::new(),
            peer: stream.peer_addr().ok(),
            status: None,
            bytes: 0,
            cut: false,
            began: Instant::now(),
            took: Duration::ZERO,
        }
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

    /// The answer's status; `None` if the connection ended before there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Whether the connection ended before the last byte of the answer was given to the kernel or to the
    /// connection's buffers: the client went away or was too slow, the answer's own source failed, or a
    /// drain's time was over. A short answer that waits in the buffers when that happens counts as given.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The announced length of the answer's body in bytes; 0 for streams.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From the request's head until the last byte of the answer was given to the kernel or to the connection's
    /// buffers, or until the connection's end.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// The record of a request that is not finished yet. Dropped before that, by whatever ends the connection,
/// it tells that the answer was cut.
pub(crate) struct OpenRecord {
    /// Taken out when it is told.
    record: Option<AccessRecord>,
    to: Rc<dyn Fn(AccessRecord)>,
}

impl OpenRecord {
    pub(crate) fn new(record: AccessRecord, to: &Rc<dyn Fn(AccessRecord)>) -> Box<Self> {
        // Cut until it is finished.
        Box::new(OpenRecord { record: Some(AccessRecord { cut: true, ..record }), to: Rc::clone(to) })
    }

    pub(crate) fn answered(&mut self, status: StatusCode, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.status = Some(status);
            record.bytes = bytes;
        }
    }

    /// The answer is given away to its end; dropping the record tells so.
    pub(crate) fn finish(&mut self) {
        if let Some(record) = &mut self.record {
            record.cut = false;
        }
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.took = record.began.elapsed();
            (self.to)(record);
        }
    }
}

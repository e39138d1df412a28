//! Static files.

#[allow(dead_code)]
pub(crate) mod conditional;
#[allow(dead_code)]
pub(crate) mod etag;
#[allow(dead_code)]
pub(crate) mod mime;
#[allow(dead_code)]
pub(crate) mod names;
#[allow(dead_code)]
pub(crate) mod navigation;
#[allow(dead_code)]
pub(crate) mod path;
#[allow(dead_code)]
pub(crate) mod range;
#[allow(dead_code)]
pub(crate) mod text;

use crate::handler::{Endpoint, Incoming, Outcome};
use lakh_net::TcpStream;
use std::{
    io,
    task::{Context, Poll},
};

/// stub
#[derive(Debug, Clone)]
pub struct Files;

impl Files {
    pub(crate) fn into_endpoint(self, _prefix: usize) -> impl Endpoint + Clone + 'static {
        self
    }
}

impl Endpoint for Files {
    fn call(&self, _: Incoming<'_>) -> Outcome {
        todo!()
    }
}

/// stub
#[derive(Debug)]
pub struct FileBody {}

impl FileBody {
    /// stub
    pub fn length(&self) -> u64 {
        0
    }
}

pub(crate) struct FileSender;

impl FileSender {
    pub(crate) fn new(_: FileBody) -> Self {
        FileSender
    }

    pub(crate) fn poll_send(&mut self, _: &TcpStream, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    pub(crate) fn is_done(&self) -> bool {
        true
    }

    pub(crate) fn waits_for_peer(&self) -> bool {
        false
    }
}

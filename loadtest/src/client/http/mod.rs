//! HTTP/1.1, as a client of a load test speaks it: requests of prepared bytes, and a reader of answers that keeps
//! nothing of what is complete.

mod request;
mod response;
#[cfg(test)]
mod tests;

use super::{Failure, Protocol, Sink};
use crate::plan::{HttpRequest, Target};
use response::Reader;

pub(crate) struct Http {
    /// The bytes of a request.
    request: Vec<u8>,
    expect: response::Expect,
}

impl Http {
    pub(crate) fn new(target: &Target, request: &HttpRequest) -> Self {
        Http {
            request: request::bytes(target, request),
            expect: response::Expect {
                status: request.expect_status,
                body: request.expect_body.clone(),
                no_body: request.method == "HEAD",
                closes: request.close,
            },
        }
    }
}

impl Protocol for Http {
    type Session = Reader;

    fn open(&self, _: &mut Reader, _: &mut Vec<u8>) {}

    #[inline]
    fn request(&self, _: &mut Reader, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    #[inline]
    fn receive(&self, reader: &mut Reader, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        reader.receive(&self.expect, input, sink)
    }

    fn end(&self, reader: &mut Reader, sink: &mut Sink<'_>) {
        reader.end(&self.expect, sink);
    }
}

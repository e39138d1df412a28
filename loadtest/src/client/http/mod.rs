//! HTTP/1.1, as a client of a load test speaks it: requests of prepared bytes, or written into the shard's buffer where
//! they differ, and a reader of answers that keeps nothing of what is complete.

pub(super) mod request;
mod response;
#[cfg(test)]
mod tests;

use super::{Failure, Protocol, Sink};
use crate::{
    plan::{Asked, HttpRequest, Target},
    template::Values,
};
use request::Requests;
use response::Reader;

pub(crate) struct Http {
    requests: Requests,
    expect: response::Expect,
}

impl Http {
    /// `values` are those of this shard's requests.
    pub(crate) fn new(target: &Target, request: &HttpRequest, values: Values) -> Self {
        let is_head = match &request.asked {
            Asked::List(list) => list.is_head(),
            Asked::Target | Asked::Template(_) => request.method == "HEAD",
        };
        Http {
            requests: Requests::new(target, request, values),
            expect: response::Expect {
                status: request.expect_status,
                body: request.expect_body.clone(),
                no_body: is_head,
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
        self.requests.append(out);
    }

    #[inline]
    fn receive(&self, reader: &mut Reader, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        reader.receive(&self.expect, input, sink)
    }

    fn end(&self, reader: &mut Reader, sink: &mut Sink<'_>) {
        reader.end(&self.expect, sink);
    }
}

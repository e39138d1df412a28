//! Bytes over TCP that a server sends back.

use super::{Answer, Failure, Pattern, Protocol, Sink};
use crate::{plan::Plan, stats::Cause};

pub(crate) struct Tcp {
    pattern: Pattern,
}

/// What one connection keeps.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Messages that were sent, and those that came back as a whole.
    sent: u32,
    echoed: u32,
    /// Bytes of the next one that came back.
    at: usize,
}

impl Tcp {
    pub(crate) fn new(plan: &Plan) -> Self {
        // A message without a byte has no answer.
        Tcp { pattern: Pattern::new(plan.size.max(1)) }
    }
}

impl Protocol for Tcp {
    type Session = Session;

    fn open(&self, _: &mut Session, _: &mut Vec<u8>) {}

    #[inline]
    fn request(&self, session: &mut Session, out: &mut Vec<u8>) {
        self.pattern.append(session.sent, out);
        session.sent = session.sent.wrapping_add(1);
    }

    fn receive(&self, session: &mut Session, mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        while !input.is_empty() {
            let (bytes, rest) = input.split_at(input.len().min(self.pattern.len() - session.at));
            if session.echoed == session.sent {
                return Err(Failure::new(Cause::Garbage, "bytes that were not sent"));
            }
            if !self.pattern.matches(session.echoed, session.at, bytes) {
                return Err(Failure::new(Cause::Body, "other bytes than were sent"));
            }
            session.at += bytes.len();
            if session.at == self.pattern.len() {
                session.at = 0;
                session.echoed = session.echoed.wrapping_add(1);
                sink.answers.push(Answer::Good(0));
            }
            input = rest;
        }
        Ok(())
    }

    fn end(&self, _: &mut Session, _: &mut Sink<'_>) {}
}

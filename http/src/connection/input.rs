//! Requests and their bodies, out of what was read.

use super::{
    Driver, FLUSH_AT, Phase, REQUESTS, Step,
    body::IncomingBody,
    reply::{Exchange, Meta, panicked},
};
use crate::{
    access::{AccessRecord, OpenRecord},
    body::{BodyCell, BodyError, BodyFault, RequestBody},
    guard::{catch, drop_guarded},
    handler::{Answer, Incoming, Outcome},
    limits::seconds,
    overload,
    proto::{HeadScan, Parsed, ParsedHead},
    request::{Head, Peer},
    response::Response,
};
use http::{Method, StatusCode, Version};
use std::{rc::Rc, task::Poll};

impl Driver<'_, '_> {
    /// Uses the first `n` bytes of the shard's input buffer; keeps what cannot be used yet.
    pub(super) fn take_input(&mut self, n: usize) -> Step {
        let input = std::mem::take(&mut self.scratch.input);
        let used = self.take_requests(&input[..n]);
        if used < n {
            let active = self.active();
            active.scan = HeadScan::default();
            active.input.extend_from_slice(&input[used..n]);
        }
        self.scratch.input = input;
        self.begun.take().unwrap_or(Step::Again)
    }

    /// Input is left from before: whole requests, or the beginning of one.
    pub(super) fn step_head(&mut self) -> Step {
        let active = self.active();
        let mut input = std::mem::take(&mut active.input);
        if active.scan.scan(&input) {
            let used = self.take_requests(&input);
            input.drain(..used);
            let active = self.active();
            active.input = input;
            active.scan = HeadScan::default();
            if used > 0 {
                return self.begun.take().unwrap_or(Step::Again);
            }
        } else {
            active.input = input;
        }
        self.read_head()
    }

    /// Reads more of a head that has begun.
    fn read_head(&mut self) -> Step {
        let service = self.service;
        if let Some(error) = self.active().scan.over_limit(&service.limits().head) {
            return self.refuse(error.status());
        }
        match self.stream.poll_read(self.cx, &mut self.scratch.input) {
            Poll::Ready(Ok(0)) => self.refuse(StatusCode::BAD_REQUEST),
            Poll::Ready(Err(_)) => Step::Close,
            Poll::Ready(Ok(n)) => {
                let Some(active) = &mut self.connection.active else { return Step::Close };
                active.input.extend_from_slice(&self.scratch.input[..n]);
                Step::Again
            }
            Poll::Pending => {
                let time = seconds(self.service.limits().head_time);
                self.wait_in(Phase::Head, time).unwrap_or_else(|| self.refuse(StatusCode::REQUEST_TIMEOUT))
            }
        }
    }

    /// Answers requests from `input` until it is used up, ends within one, or one takes longer.
    /// Gives the number of bytes used.
    fn take_requests(&mut self, input: &[u8]) -> usize {
        let (mut used, is_overdue) = (0, self.is_overdue());
        while used < input.len()
            && self.is_free()
            && self.requests < REQUESTS
            && self.scratch.output.len() < FLUSH_AT
        {
            let rest = &input[used..];
            match self.scratch.head.parse(rest, &self.service.limits().head) {
                Ok(Parsed::Complete) => {
                    self.connection.phase = Phase::Busy;
                    self.requests += 1;
                    used += if is_overdue { self.shed(rest) } else { self.take_request(rest) };
                }
                Ok(Parsed::Partial) => break,
                Err(error) => {
                    // No byte after it is ever read as a request.
                    self.refuse(error.status());
                    return input.len();
                }
            }
        }
        used
    }

    /// Nothing keeps the next request waiting.
    fn is_free(&self) -> bool {
        self.connection.active.as_ref().is_none_or(|active| {
            active.exchange.is_none()
                && active.skip.is_none()
                && active.unsent.is_empty()
                && active.close == super::Close::No
                && active.upgrade.is_none()
        })
    }

    /// Whether what was read last has waited for too long. One compare, unless the shard is behind.
    #[inline]
    fn is_overdue(&mut self) -> bool {
        (self.connection.is_late || self.service.is_behind()) && self.ask_overdue()
    }

    #[cold]
    fn ask_overdue(&mut self) -> bool {
        self.connection.is_late = false;
        !self.service.is_draining() && self.service.overload().is_overdue(self.stream, self.service.shard())
    }

    /// Refuses the request whose head is parsed, which nobody may want any more, and all that follows it.
    #[cold]
    fn shed(&mut self, input: &[u8]) -> usize {
        self.service.metrics().count_shed();
        self.find_route(input);
        let has_body = IncomingBody::of(self.scratch.head.head(), || self.service.limits()).is_some();
        let meta = Meta::new(self.service, self.scratch, input, self.open_record(input)).closing();
        self.answer(overload::refusal(), meta, None);
        let active = self.active();
        active.input = Vec::new();
        active.close = super::Close::WhenSent { linger: has_body };
        input.len()
    }

    /// Finds what the request whose head is parsed is for. Every head has to come by here: for the next one, if it
    /// is the same, what was found stands.
    #[inline]
    fn find_route(&mut self, input: &[u8]) {
        let (router, scratch) = (self.service.router(), &mut *self.scratch);
        if !scratch.head.is_repeated() {
            scratch.found = router.find(scratch.head.head(), input, &mut scratch.params);
            scratch.work = router.work_of(scratch.found);
            scratch.is_plain = is_plain(scratch.head.head());
        }
    }

    /// Hands the request whose head is parsed to its handler. Gives the number of bytes that head
    /// and body have taken from `input`.
    fn take_request(&mut self, input: &[u8]) -> usize {
        self.find_route(input);
        let (service, found) = (self.service, self.scratch.found);
        match IncomingBody::of(self.scratch.head.head(), || service.limits_of(found)) {
            Some(body) => self.take_request_with_body(input, Box::new(body)),
            None => {
                self.take_bare_request(input);
                self.scratch.head.head().len
            }
        }
    }

    #[inline]
    fn take_bare_request(&mut self, input: &[u8]) {
        let record = self.open_record(input);
        let is_plain = self.scratch.is_plain && record.is_none();
        match self.call(input, &mut RequestBody::default) {
            Outcome::Ready(response) if is_plain && self.is_plain(&response) => self.answer_plainly(response),
            Outcome::Ready(response) => {
                self.answer(response, Meta::new(self.service, self.scratch, input, record), None)
            }
            Outcome::Later(answer) => {
                self.begin_handler(answer, Meta::new(self.service, self.scratch, input, record))
            }
        }
    }

    #[inline]
    fn open_record(&self, input: &[u8]) -> Option<Box<OpenRecord>> {
        self.service.on_access().map(|to| self.new_record(input, to))
    }

    #[cold]
    fn new_record(&self, input: &[u8], to: &Rc<dyn Fn(AccessRecord)>) -> Box<OpenRecord> {
        OpenRecord::new(AccessRecord::of(self.scratch.head.head(), input, self.stream), to)
    }

    fn take_request_with_body(&mut self, input: &[u8], mut body: Box<IncomingBody>) -> usize {
        let meta = Meta::new(self.service, self.scratch, input, self.open_record(input));
        if body.is_announced_too_long() {
            self.refuse_request(StatusCode::PAYLOAD_TOO_LARGE, meta);
            return input.len();
        }
        let mut open_body = || {
            let cell = BodyCell::new();
            body.set_reader(cell.clone());
            RequestBody::new(cell, body.length())
        };
        let outcome = self.call(input, &mut open_body);
        let head_len = self.scratch.head.head().len;
        let fed = body.feed(&input[head_len..]);
        match (outcome, &fed) {
            (Outcome::Later(answer), _) => {
                self.active().exchange = Some(Exchange::handling(answer, meta, Some(body)));
            }
            (Outcome::Ready(unsent), Err(fault)) => {
                drop_guarded(unsent);
                self.refuse_request(BodyError(*fault).status(), meta);
            }
            (Outcome::Ready(response), Ok(_)) => self.answer(response, meta, Some(body)),
        }
        // After a fault nothing of the input can be used; the reader knows of it.
        fed.map_or(input.len(), |fed| head_len + fed)
    }

    /// Lets the handler of a request without a body begin at once: many have nothing to wait for, and need no
    /// place to wait in.
    fn begin_handler(&mut self, answer: Answer, meta: Meta) {
        let step = self.step_handler(Exchange::handling(answer, meta, None));
        self.begun = (step != Step::Again).then_some(step);
    }

    /// Calls the handler.
    #[inline(always)] // on the way of every request
    fn call(&mut self, input: &[u8], open_body: &mut dyn FnMut() -> RequestBody) -> Outcome {
        let scratch = &*self.scratch;
        let (endpoint, names) = self.service.router().endpoint(scratch.found);
        let peer = Peer::Stream(self.stream);
        let head = Head::new(input, scratch.head.head(), names, &scratch.params, peer);
        let incoming = Incoming::new(head, &scratch.head, open_body);
        self.service.set_work(scratch.work);
        catch(|| endpoint.call(incoming)).unwrap_or_else(|| Outcome::Ready(panicked()))
    }

    /// Answers with a status of our own and closes: the client has broken a rule, or a limit.
    pub(super) fn refuse(&mut self, status: StatusCode) -> Step {
        self.refuse_request(status, Meta::refusal(self.service, self.stream))
    }

    /// As [`Driver::refuse`], for a request whose head is understood.
    fn refuse_request(&mut self, status: StatusCode, meta: Meta) -> Step {
        let response = match status {
            StatusCode::METHOD_NOT_ALLOWED => self.service.router().refuse_method(),
            _ => Response::plain(status),
        };
        self.answer(response, meta.closing(), None);
        let active = self.active();
        active.input = Vec::new();
        active.close = super::Close::WhenSent { linger: true };
        Step::Again
    }

    /// Gets more of the body for the handler that waits for it.
    pub(super) fn step_body(&mut self, body: &mut IncomingBody) -> Step {
        self.send_continue(body);
        match self.feed_more(body) {
            Fed::Some => Step::Again,
            Fed::Fault(fault) => {
                body.fail(fault);
                Step::Again
            }
            Fed::Wait => {
                let deadline = body.pace.wait(self.service.now());
                self.wait_until(deadline).unwrap_or_else(|| {
                    body.fail(BodyFault::TooSlow);
                    Step::Again
                })
            }
        }
    }

    /// Asks for the body, if the peer waits for that. Only in front of the answer's head.
    pub(super) fn send_continue(&mut self, body: &mut IncomingBody) {
        if std::mem::take(&mut body.expects_continue) {
            self.scratch.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Reads on through a body that nobody wants.
    pub(super) fn step_skip(&mut self) -> Step {
        let Some(mut body) = self.active().skip.take() else { return Step::Again };
        match self.feed_more(&mut body) {
            Fed::Some if body.is_complete() => Step::Again,
            Fed::Some if body.is_skippable() => {
                self.active().skip = Some(body);
                Step::Again
            }
            Fed::Some | Fed::Fault(_) => {
                self.close_when_sent(true);
                Step::Again
            }
            Fed::Wait => {
                let deadline = body.pace.wait(self.service.now());
                self.active().skip = Some(body);
                self.wait_until(deadline).unwrap_or(Step::Close)
            }
        }
    }

    /// Feeds a body from what is left of the input, or else from the socket.
    fn feed_more(&mut self, body: &mut IncomingBody) -> Fed {
        let kept = std::mem::take(&mut self.active().input);
        if !kept.is_empty() {
            return match body.feed(&kept) {
                Ok(used) => {
                    self.active().input = kept[used..].to_vec();
                    Fed::Some
                }
                Err(fault) => Fed::Fault(fault),
            };
        }
        match self.stream.poll_read(self.cx, &mut self.scratch.input) {
            Poll::Pending => Fed::Wait,
            Poll::Ready(Ok(0) | Err(_)) => Fed::Fault(BodyFault::Lost),
            Poll::Ready(Ok(n)) => {
                self.bytes += n;
                body.moved(self.service.now(), n);
                match body.feed(&self.scratch.input[..n]) {
                    Ok(used) => {
                        let Some(active) = &mut self.connection.active else { return Fed::Some };
                        active.input.extend_from_slice(&self.scratch.input[used..n]);
                        active.scan = HeadScan::default();
                        Fed::Some
                    }
                    Err(fault) => Fed::Fault(fault),
                }
            }
        }
    }
}

fn is_plain(head: &ParsedHead) -> bool {
    head.keep_alive && head.version == Version::HTTP_11 && head.method != Method::HEAD
}

enum Fed {
    Some,
    Wait,
    Fault(BodyFault),
}

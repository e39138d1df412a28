//! Answers: from the handler's future to the last byte of the body.

use super::{
    BYTES, Driver, FLUSH_AT, Step,
    body::IncomingBody,
    ending::{Offer, write_announcement, write_end},
    rendered::Rendered,
};
use crate::{
    access::{AccessRecord, OpenRecord},
    files::FileSender,
    guard::{catch, drop_guarded},
    handler::Answer,
    proto::encode,
    response::{Body, Chunks, Ending, Response, StreamError, Trailers, within},
    service::{Scratch, Service},
};
use bytes::Bytes;
use futures_core::Stream;
use http::{Method, StatusCode, Version};
use lakh_core::{WorkName, diagnostics::Working};
use lakh_net::TcpStream;
use std::{future::Future, io::IoSlice, pin::Pin, task::Poll, time::Instant};

/// A request whose answer is not finished yet.
pub(super) struct Exchange {
    state: State,
    meta: Meta,
    body: Option<Box<IncomingBody>>,
}

enum State {
    /// The handler is at work.
    Handling(Answer),
    /// The head is written; this is what is left of the body.
    Bytes(Bytes),
    Chunks {
        chunks: Chunks,
        framing: Framing,
    },
    File(FileSender),
}

/// How the client is told where a body of chunks ends.
enum Framing {
    /// The chunked coding, and what follows its last chunk.
    Coded(Option<Trailers>),
    /// So many bytes are left of those that were announced.
    Announced(u64),
    UntilClose,
}

/// What the answer has to know of its request.
pub(super) struct Meta {
    /// HEAD: the head alone is sent.
    head_only: bool,
    /// HTTP/1.0: no chunks, and keep-alive has to be said.
    old: bool,
    keep_alive: bool,
    /// The client understands trailer fields.
    pub(super) te_trailers: bool,
    /// What the watchdog calls the handler.
    work: WorkName,
    since: Instant,
    pub(super) record: Option<Box<OpenRecord>>,
    /// Protocols that the client would go on with.
    pub(super) offer: Option<Box<Offer>>,
}

impl Meta {
    #[inline]
    pub(super) fn new(
        service: &Service,
        scratch: &Scratch,
        bytes: &[u8],
        record: Option<Box<OpenRecord>>,
    ) -> Self {
        let head = scratch.head.head();
        Meta {
            head_only: head.method == Method::HEAD,
            old: head.version == Version::HTTP_10,
            keep_alive: head.keep_alive,
            te_trailers: head.te_trailers,
            work: scratch.work,
            since: service.shard().now(),
            record,
            offer: Offer::of(head, bytes),
        }
    }

    /// Nothing but the head and the body is to be sent, and nothing noted.
    #[inline]
    fn is_plain(&self) -> bool {
        self.keep_alive && !self.head_only && !self.old && self.record.is_none()
    }

    /// A method with the same rules for the answer's framing.
    fn method(&self) -> &'static Method {
        if self.head_only { &Method::HEAD } else { &Method::GET }
    }

    /// For an answer to something that is no request.
    pub(super) fn refusal(service: &Service, stream: &TcpStream) -> Self {
        Meta {
            head_only: false,
            old: false,
            keep_alive: false,
            te_trailers: false,
            work: WorkName::NONE,
            since: service.shard().now(),
            record: service.on_access().map(|to| OpenRecord::new(AccessRecord::of_refused(stream), to)),
            offer: None,
        }
    }

    pub(super) fn closing(self) -> Self {
        Meta { keep_alive: false, ..self }
    }
}

impl Exchange {
    pub(super) fn handling(answer: Answer, meta: Meta, body: Option<Box<IncomingBody>>) -> Self {
        Exchange { state: State::Handling(answer), meta, body }
    }

    /// For who asks.
    pub(super) fn working(&self) -> Working {
        Working { name: self.meta.work, since: self.meta.since }
    }

    /// The request's body is not read for now: the time is not its sender's.
    pub(super) fn pause_body(&mut self) {
        if let Some(body) = &mut self.body {
            body.pace.pause();
        }
    }
}

impl Driver<'_, '_> {
    pub(super) fn step_exchange(&mut self) -> Step {
        let Some(mut exchange) = self.active().exchange.take() else { return Step::Again };
        let step = match &mut exchange.state {
            State::Handling(_) => return self.step_handler(exchange),
            State::Bytes(bytes) => self.send_bytes(bytes),
            State::Chunks { chunks, framing } => {
                self.service.set_work(exchange.meta.work);
                self.attend(&exchange.body, true);
                let sent = self.send_chunk(chunks.as_mut(), framing);
                self.attend(&exchange.body, false);
                match (sent, &mut exchange.body) {
                    // The chunks are made of the request's body.
                    (Sent::Not(Step::Wait), Some(body)) if body.is_wanted() => {
                        Sent::Not(self.step_body(body))
                    }
                    (sent, _) => sent,
                }
            }
            State::File(file) => self.send_file(file),
        };
        match step {
            Sent::All => {
                let Exchange { state, meta, body } = exchange;
                // The answer is whole, whatever becomes of its stream.
                drop_guarded(state);
                self.finish(meta, body);
                Step::Again
            }
            Sent::Failed => {
                drop_guarded(exchange.state);
                Step::Close
            }
            Sent::Not(step) => {
                // Put back, so that the deadline of a slow peer closes it as a whole.
                self.active().exchange = Some(exchange);
                match step {
                    Step::Wait if self.is_blocked_by_peer() => self.wait_for_peer(),
                    Step::Wait => self.wait_for_answer(),
                    step => step,
                }
            }
        }
    }

    /// Waits for the handler or its stream. Neither is any use once the peer is gone for good; one
    /// that has only finished sending still gets its answer.
    fn wait_for_answer(&mut self) -> Step {
        match self.stream.poll_hangup(self.cx) {
            Poll::Ready(()) => Step::Close,
            Poll::Pending => Step::Wait,
        }
    }

    fn is_blocked_by_peer(&self) -> bool {
        let active = self.connection.active.as_ref();
        active.and_then(|active| active.exchange.as_ref()).is_some_and(|exchange| match &exchange.state {
            State::Bytes(_) => true,
            State::File(file) => file.waits_for_peer(),
            State::Handling(_) | State::Chunks { .. } => false,
        })
    }

    /// Tells the body's reader whether we look after it right now.
    fn attend(&self, body: &Option<Box<IncomingBody>>, attended: bool) {
        if let Some(cell) = body.as_ref().and_then(|body| body.reader()) {
            cell.attend(attended, self.cx);
        }
    }

    pub(super) fn step_handler(&mut self, mut exchange: Exchange) -> Step {
        let State::Handling(answer) = &mut exchange.state else { return Step::Again };
        self.service.set_work(exchange.meta.work);
        self.attend(&exchange.body, true);
        let polled = catch(|| Pin::new(answer).poll(self.cx));
        self.attend(&exchange.body, false);
        match polled {
            Some(Poll::Ready(response)) => {
                let Exchange { state, meta, body } = exchange;
                let response = if drop_guarded(state) { response } else { panicked() };
                self.answer(response, meta, body);
                Step::Again
            }
            Some(Poll::Pending) => {
                let step = match &mut exchange.body {
                    Some(body) if body.is_wanted() => self.step_body(body),
                    _ => self.wait_for_answer(),
                };
                self.active().exchange = Some(exchange);
                step
            }
            None => {
                let Exchange { state, meta, body } = exchange;
                drop_guarded(state);
                self.answer(panicked(), meta, body);
                Step::Again
            }
        }
    }

    /// Writes the head of an answer, and its body as far as it is short.
    #[inline]
    pub(super) fn answer(&mut self, response: Response, meta: Meta, body: Option<Box<IncomingBody>>) {
        if meta.is_plain() && body.is_none() && self.is_plain(&response) {
            self.answer_plainly(response);
        } else {
            self.answer_any(response, meta, body);
        }
    }

    /// The answer is a head that says nothing of the connection, and a short body.
    #[inline]
    pub(super) fn is_plain(&self, response: &Response) -> bool {
        let parts = &response.parts;
        parts.status == StatusCode::OK
            && parts.ending.is_none()
            && parts.body.short().is_some()
            && !self.service.is_draining()
    }

    #[inline]
    pub(super) fn answer_plainly(&mut self, response: Response) {
        self.plain += 1;
        let (out, body) = (&mut self.scratch.output, response.parts.body.short().unwrap_or_default());
        self.service.write_whole_head(out, &response, body.len() as u64);
        out.extend_from_slice(body);
        response.recycle();
    }

    /// As [`Driver::answer`], for every case.
    fn answer_any(&mut self, mut response: Response, mut meta: Meta, mut body: Option<Box<IncomingBody>>) {
        let ending = Self::take_ending(&mut response, &meta, body.as_deref());
        let trailers = match ending {
            Some(Ending::Upgrade(upgrade)) => return self.switch(&response, upgrade, meta),
            Some(Ending::Trailers(trailers)) => Some(trailers),
            None => None,
        };
        let rendered = Rendered::of(&mut response, self.service, meta.method(), meta.old);
        if self.service.is_draining() {
            meta.keep_alive = false;
        }
        if rendered.length.is_none() && !rendered.is_coded && rendered.is_sent {
            meta.keep_alive = false; // the end of the connection is the end of the body
        }
        if let Some(body) = &mut body
            && !body.is_complete()
        {
            if rendered.is_sent
                && matches!(rendered.body, Body::Stream(_) | Body::Sized(..))
                && body.is_held()
            {
                // The stream may go on reading; whether all was read shows at its end.
                self.send_continue(body);
            } else if body.expects_continue || !body.is_skippable() {
                meta.keep_alive = false;
            }
        }
        let trailers = match trailers {
            Some(trailers) if rendered.is_sent && rendered.is_coded => Some(trailers),
            unsent => {
                drop_guarded(unsent);
                None
            }
        };
        self.write_head(&response, &meta, &rendered, trailers.as_ref());
        if let Some(record) = &mut meta.record {
            record.answered(response.parts.status, rendered.length.filter(|_| rendered.is_sent).unwrap_or(0));
        }
        response.recycle();
        let Rendered { body: reply, is_coded, is_sent, .. } = rendered;
        let out = &mut self.scratch.output;
        let state = match reply {
            _ if !is_sent => {
                drop_guarded(reply);
                None
            }
            Body::Empty => None,
            _ if reply.short().is_some() => {
                out.extend_from_slice(reply.short().unwrap_or_default());
                None
            }
            Body::Static(bytes) => Some(State::Bytes(Bytes::from_static(bytes))),
            Body::Bytes(bytes) => Some(State::Bytes(bytes)),
            Body::File(file) if file.length() == 0 => None,
            Body::File(file) => Some(State::File(FileSender::new(*file))),
            Body::Sized(0, chunks) => {
                drop_guarded(chunks);
                None
            }
            Body::Sized(left, chunks) => Some(State::Chunks { chunks, framing: Framing::Announced(left) }),
            Body::Stream(chunks) if is_coded => {
                Some(State::Chunks { chunks, framing: Framing::Coded(trailers) })
            }
            Body::Stream(chunks) => Some(State::Chunks { chunks, framing: Framing::UntilClose }),
        };
        match state {
            Some(state) => self.active().exchange = Some(Exchange { state, meta, body }),
            None => self.finish(meta, body),
        }
    }

    fn write_head(
        &mut self,
        response: &Response,
        meta: &Meta,
        rendered: &Rendered,
        trailers: Option<&Trailers>,
    ) {
        self.service.metrics().count_response(response.parts.status);
        let out = &mut self.scratch.output;
        self.service.write_head_start(out, response);
        rendered.write_framing(out);
        if let Some(trailers) = trailers {
            write_announcement(out, trailers);
        }
        if response.parts.status == StatusCode::UPGRADE_REQUIRED {
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        if !meta.keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        } else if meta.old {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        encode::write_head_end(out);
    }

    /// An answer is written to its end: on to the next request, or to the connection's end.
    fn finish(&mut self, meta: Meta, body: Option<Box<IncomingBody>>) {
        if let Some(mut record) = meta.record {
            record.finish();
        }
        let unread = body.filter(|body| !body.is_complete());
        if !meta.keep_alive {
            self.close_when_sent(unread.is_some());
        } else if let Some(mut body) = unread {
            body.detach_reader();
            if body.is_skippable() {
                self.active().skip = Some(body);
            } else {
                self.close_when_sent(true);
            }
        }
    }

    fn send_bytes(&mut self, bytes: &mut Bytes) -> Sent {
        let head = self.scratch.output.len();
        // A kernel with much room takes megabytes at once.
        let part = &bytes[..bytes.len().min(BYTES)];
        let written = if head > 0 {
            let both = [IoSlice::new(&self.scratch.output), IoSlice::new(part)];
            self.stream.poll_write_vectored(self.cx, &both)
        } else {
            self.stream.poll_write(self.cx, part)
        };
        match written {
            Poll::Pending => Sent::Not(Step::Wait),
            Poll::Ready(Ok(n)) if n > 0 => {
                self.moved(n);
                if n < head {
                    let output = std::mem::take(&mut self.scratch.output);
                    self.active().unsent.extend_from_slice(&output[n..]);
                    self.scratch.output = output;
                } else {
                    drop(bytes.split_to(n - head));
                }
                self.clear_output();
                if bytes.is_empty() { Sent::All } else { Sent::Not(Step::Again) }
            }
            Poll::Ready(_) => Sent::Failed,
        }
    }

    fn send_chunk(
        &mut self,
        mut chunks: Pin<&mut dyn Stream<Item = Result<Bytes, StreamError>>>,
        framing: &mut Framing,
    ) -> Sent {
        if self.scratch.output.len() >= FLUSH_AT {
            return Sent::Not(Step::Again);
        }
        let next = catch(|| chunks.as_mut().poll_next(self.cx));
        let next = next.map(|next| match framing {
            Framing::Announced(left) => next.map(|next| within(left, next)),
            _ => next,
        });
        let out = &mut self.scratch.output;
        match (next, framing) {
            (Some(Poll::Pending), _) => Sent::Not(Step::Wait),
            (Some(Poll::Ready(Some(Ok(chunk)))), Framing::Coded(_)) => {
                encode::write_chunk(out, &chunk);
                Sent::Not(Step::Again)
            }
            (Some(Poll::Ready(Some(Ok(chunk)))), framing) => {
                out.extend_from_slice(&chunk);
                if matches!(framing, Framing::Announced(0)) { Sent::All } else { Sent::Not(Step::Again) }
            }
            (Some(Poll::Ready(None)), Framing::Coded(trailers)) => match write_end(out, trailers.take()) {
                true => Sent::All,
                false => self.cut(),
            },
            (Some(Poll::Ready(None)), Framing::UntilClose | Framing::Announced(_)) => Sent::All,
            (Some(Poll::Ready(Some(Err(_)))) | None, _) => self.cut(),
        }
    }

    /// What was sent cannot be taken back: the missing end tells the client.
    fn cut(&mut self) -> Sent {
        match self.flush() {
            Ok(_) | Err(_) => Sent::Failed,
        }
    }

    fn send_file(&mut self, file: &mut FileSender) -> Sent {
        let flushed = if file.follows_at_once() { self.flush_with_more_to_come() } else { self.flush() };
        match flushed {
            Ok(true) => {}
            Ok(false) => return Sent::Not(Step::Again),
            Err(_) => return Sent::Failed,
        }
        match file.poll_send(self.stream, self.cx) {
            Poll::Pending => Sent::Not(Step::Wait),
            Poll::Ready(Ok(n)) => {
                self.moved(n);
                if file.is_done() { Sent::All } else { Sent::Not(Step::Again) }
            }
            Poll::Ready(Err(_)) => Sent::Failed,
        }
    }

    fn moved(&mut self, n: usize) {
        let (now, limits) = (self.service.now(), self.service.limits());
        self.bytes += n;
        self.active().pace.moved(now, n, limits);
    }
}

/// How far a body has been sent.
enum Sent {
    All,
    Not(Step),
    Failed,
}

/// For handlers that panicked or gave what is no answer.
pub(crate) fn panicked() -> Response {
    Response::plain(StatusCode::INTERNAL_SERVER_ERROR)
}

//! What follows an answer: trailer fields, or another protocol.

use super::{Driver, Step, body::IncomingBody, reply::Meta};
use crate::{
    guard::{catch, drop_guarded},
    proto::{ParsedHead, encode, is_trailer_field},
    response::{Ending, Response, Trailers},
    upgrade::OnUpgrade,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// The protocols that a request offers to go on with: the values of its `Upgrade` fields.
pub(super) struct Offer(Vec<u8>);

impl Offer {
    /// `None` without an offer that counts (RFC 9110, 7.8).
    #[inline]
    pub(super) fn of(head: &ParsedHead, bytes: &[u8]) -> Option<Box<Self>> {
        if head.upgrade { Some(Self::gather(head, bytes)) } else { None }
    }

    #[cold]
    fn gather(head: &ParsedHead, bytes: &[u8]) -> Box<Self> {
        let values: Vec<&[u8]> = head.values(bytes, "upgrade").collect();
        Box::new(Offer(values.join(&b","[..])))
    }

    fn includes(&self, protocol: &str) -> bool {
        self.0.split(|&b| b == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(protocol.as_bytes()))
    }
}

impl Driver<'_, '_> {
    /// Takes out what follows an answer, if that may be: trailers are for clients that say that they
    /// understand them, and a switch that the client did not ask for becomes a refusal.
    pub(super) fn take_ending(
        response: &mut Response,
        meta: &Meta,
        body: Option<&IncomingBody>,
    ) -> Option<Ending> {
        let ending = response.parts.ending.take()?;
        let counts = match &ending {
            Ending::Trailers(_) => meta.te_trailers,
            Ending::Upgrade(_) if response.parts.status != StatusCode::SWITCHING_PROTOCOLS => false,
            Ending::Upgrade(upgrade) => match refusal(upgrade, meta, body) {
                None => true,
                Some(refusal) => {
                    drop_guarded(std::mem::replace(response, refusal));
                    false
                }
            },
        };
        if counts {
            return Some(ending);
        }
        drop_guarded(ending);
        None
    }

    /// Writes a 101; the connection is handed on when that is sent.
    pub(super) fn switch(&mut self, response: &Response, upgrade: OnUpgrade, mut meta: Meta) {
        self.service.metrics().count_response(response.parts.status);
        let out = &mut self.scratch.output;
        self.service.write_head_start(out, response);
        out.extend_from_slice(b"connection: upgrade\r\n");
        encode::write_head_end(out);
        if let Some(mut record) = meta.record.take() {
            record.answered(response.parts.status, 0);
            record.finish();
        }
        self.active().upgrade = Some(Box::new(upgrade));
    }

    pub(super) fn step_upgrade(&mut self) -> Step {
        match self.flush() {
            Ok(true) => Step::HandOn,
            Ok(false) => Step::Again,
            Err(_) => Step::Close,
        }
    }
}

/// Why the protocol is not switched.
fn refusal(upgrade: &OnUpgrade, meta: &Meta, body: Option<&IncomingBody>) -> Option<Response> {
    if !meta.offer.as_ref().is_some_and(|offer| offer.includes(upgrade.protocol)) {
        // RFC 9110, 15.5.22.
        let protocol = HeaderValue::from_static(upgrade.protocol);
        let response = Response::plain(StatusCode::UPGRADE_REQUIRED);
        return Some(response.with_field(header::UPGRADE, protocol));
    }
    // The new protocol would begin within the body.
    let unread = body.is_some_and(|body| !body.is_complete());
    unread.then(|| Response::plain(StatusCode::BAD_REQUEST))
}

/// Announces the fields to come (RFC 9110, 6.6.2).
pub(super) fn write_announcement(out: &mut Vec<u8>, trailers: &Trailers) {
    let names: Vec<&str> = allowed(trailers.names.iter()).map(HeaderName::as_str).collect();
    if !names.is_empty() {
        out.extend_from_slice(b"trailer: ");
        out.extend_from_slice(names.join(", ").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the end of a chunked body. False if the fields' maker has panicked.
pub(super) fn write_end(out: &mut Vec<u8>, trailers: Option<Trailers>) -> bool {
    let Some(trailers) = trailers else {
        encode::write_last_chunk(out);
        return true;
    };
    let Some(fields) = catch(trailers.make) else { return false };
    out.extend_from_slice(b"0\r\n");
    for (name, value) in fields.iter().filter(|(name, _)| is_trailer_field(name)) {
        encode::write_header(out, name, value);
    }
    encode::write_head_end(out);
    true
}

fn allowed<'a>(names: impl Iterator<Item = &'a HeaderName>) -> impl Iterator<Item = &'a HeaderName> {
    names.filter(|name| is_trailer_field(name))
}

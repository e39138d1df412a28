//! From a file that was found to an answer.

use super::{
    conditional::{self, Conditions, Decision},
    lookup::{Content, Facts, value},
    range::{self, ContentRange, Part, RangeOutcome},
    send::FileBody,
};
use crate::{
    request::Head,
    response::{Body, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use std::sync::Arc;

/// The answer to a GET or HEAD for a file.
pub(super) fn of_file(head: &Head<'_>, facts: &Facts, content: &Content) -> Response {
    let conditions = Conditions::read(head.headers().map(|(name, value)| (name.as_bytes(), value)));
    match conditional::evaluate(head.method(), &conditions, &facts.validators) {
        Decision::NotModified => not_modified(facts, content),
        Decision::PreconditionFailed => Response::plain(StatusCode::PRECONDITION_FAILED),
        Decision::Proceed { range_allowed: false } => whole(facts, content),
        Decision::Proceed { range_allowed: true } => {
            let wanted = conditions.range().map(|wanted| range::parse(wanted, facts.size));
            match wanted {
                Some(RangeOutcome::Single(part)) => partial(facts, content, part),
                Some(RangeOutcome::Unsatisfiable) => unsatisfiable(facts),
                Some(RangeOutcome::Whole | RangeOutcome::Several(_)) | None => whole(facts, content),
            }
        }
    }
}

/// The answer where something is missing and a page says so.
pub(super) fn of_page(facts: &Facts, content: &Content) -> Response {
    Response::new(body(content, Part { start: 0, len: facts.size }))
        .with_status(StatusCode::NOT_FOUND)
        .with_content_type(HeaderValue::from_static(facts.content_type))
        .with_field(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

/// The answer for a folder that was asked for without its slash.
pub(super) fn redirect(head: &Head<'_>) -> Response {
    let path = head.path().as_bytes();
    let location = super::path::redirect_location(path, head.query().map(str::as_bytes));
    Response::plain(StatusCode::MOVED_PERMANENTLY).with_field(header::LOCATION, value(location.as_bytes()))
}

/// The answer with a status and nothing else to say.
pub(super) fn of_status(status: StatusCode) -> Response {
    let response = Response::plain(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return response.with_field(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn whole(facts: &Facts, content: &Content) -> Response {
    with_block(StatusCode::OK, facts, body(content, Part { start: 0, len: facts.size }))
}

/// 304: what a cache needs to bring its copy up to date (RFC 9110, 15.4.5). The body is not sent; its length
/// is.
fn not_modified(facts: &Facts, content: &Content) -> Response {
    let has_etag = facts.validators.etag.is_some();
    let is_needed = |(name, _): &&(HeaderName, HeaderValue)| {
        *name == header::ETAG || *name == header::CACHE_CONTROL || *name == header::LAST_MODIFIED && !has_etag
    };
    let body = body(content, Part { start: 0, len: facts.size });
    let fields = facts.fields.fields().iter().filter(is_needed).cloned().collect();
    let mut response = Response::empty(StatusCode::NOT_MODIFIED);
    response.parts.fields = fields;
    response.parts.body = body;
    response
}

fn partial(facts: &Facts, content: &Content, part: Part) -> Response {
    let content_range = ContentRange::of(part, facts.size);
    with_block(StatusCode::PARTIAL_CONTENT, facts, body(content, part))
        .with_field(header::CONTENT_RANGE, value(content_range.as_bytes()))
}

fn unsatisfiable(facts: &Facts) -> Response {
    let content_range = ContentRange::unsatisfied(facts.size);
    Response::plain(StatusCode::RANGE_NOT_SATISFIABLE)
        .with_field(header::CONTENT_RANGE, value(content_range.as_bytes()))
}

fn with_block(status: StatusCode, facts: &Facts, body: Body) -> Response {
    let mut response = Response::new(body).with_status(status);
    response.parts.block = Some(Arc::clone(&facts.fields));
    response
}

fn body(content: &Content, part: Part) -> Body {
    match content {
        Content::Read(bytes) => {
            let start = part.start as usize;
            Body::Bytes(bytes.slice(start..start + part.len as usize))
        }
        Content::Open(file) => Body::File(Box::new(FileBody::new(Arc::clone(file), part))),
    }
}

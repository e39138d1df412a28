use super::{Middleware, Next};
use crate::{HandlerError, IntoResponse, Request, Response};
use http::StatusCode;
use std::rc::Rc;

/// Lets request bodies have so many bytes at most, for a group of routes or for what an outer middleware has
/// decided.
///
/// A body that announces more is answered with 413 before a byte of it is read. Of a chunked one the handler
/// gets as much as is allowed, then an error ([`BodyError::is_too_long`](crate::BodyError::is_too_long)) that
/// is 413 as well. This can only narrow what the server and the route let in:
/// [`RouteLimits::body`](crate::RouteLimits::body) can also widen it, and costs nothing.
///
/// ```
/// use lakh_http::{App, Bytes, middleware::BodyLimit};
///
/// let app = App::new()
///     .post("/notes", async |note: Bytes| note.len().to_string())
///     .wrap(BodyLimit::new(64 * 1024));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit {
    bytes: u64,
}

impl BodyLimit {
    /// At most so many bytes.
    pub fn new(bytes: u64) -> Self {
        BodyLimit { bytes }
    }
}

impl Middleware for BodyLimit {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        let body = request.body_mut();
        if body.length().is_some_and(|length| length > self.bytes) {
            return HandlerError::status_only(StatusCode::PAYLOAD_TOO_LARGE).into_response();
        }
        body.limit(self.bytes);
        next.run(request).await
    }
}

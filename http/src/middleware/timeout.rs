use super::{Middleware, Next};
use crate::{HandlerError, IntoResponse, Request, Response};
use http::StatusCode;
use std::{rc::Rc, time::Duration};

/// Answers in the place of a handler that takes too long, with 503.
///
/// The handler's future is dropped where it waits, as it is when the client goes away; what it has given to
/// the pool or spawned goes on unless its own handles end it. The time ends with the handler's answer: a body
/// that is streamed may take longer, and the server's limits hold for it. A handler that blocks the shard
/// cannot be cut off.
///
/// ```
/// use lakh_http::{App, StatusCode, middleware::Timeout};
/// use std::time::Duration;
///
/// let app = App::new()
///     .get("/report", async || "ready")
///     .wrap_route(Timeout::new(Duration::from_secs(10)))
///     .get("/upstream", async || "passed on")
///     .wrap_route(Timeout::new(Duration::from_secs(2)).with_status(StatusCode::GATEWAY_TIMEOUT));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    time: Duration,
    status: StatusCode,
}

impl Timeout {
    /// Waits so long for an answer, in steps of a millisecond.
    pub fn new(time: Duration) -> Self {
        Timeout { time, status: StatusCode::SERVICE_UNAVAILABLE }
    }

    /// Answers with this status of an error: 504 where the time is another server's.
    pub fn with_status(self, status: StatusCode) -> Self {
        Timeout { status, ..self }
    }
}

impl Middleware for Timeout {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        match lakh_core::timeout(self.time, next.run(request)).await {
            Ok(response) => response,
            Err(elapsed) => HandlerError::status_only(self.status).with_cause(elapsed).into_response(),
        }
    }
}

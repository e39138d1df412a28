use super::{Middleware, Next};
use crate::{HandlerError, IntoResponse, Request, Response};
use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::Poll,
};

/// Turns a panic of what is within into a [`HandlerError`].
///
/// The server does so at its edge by itself: a panic is 500, and the connection goes on. This is for knowing
/// of it: middleware further out sees an answer, and [`App::on_error`](crate::App::on_error) the panic's
/// message as the error's cause. A panic in a streamed body comes too late for it, and cuts the connection.
/// It needs `panic = "unwind"`, which is Cargo's default.
///
/// ```
/// use lakh_http::{App, HandlerError, StatusCode, middleware::CatchPanic};
///
/// let app = App::new()
///     .get("/", || "hello")
///     .wrap(CatchPanic::with(|message| {
///         eprintln!("a handler has panicked: {message}");
///         HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR)
///     }));
/// ```
pub struct CatchPanic {
    make: Box<dyn Fn(&str) -> HandlerError>,
}

impl CatchPanic {
    /// Answers with 500; the panic's message is the error's cause.
    pub fn new() -> Self {
        Self::with(|message| HandlerError::internal(format!("a panic: {message}")))
    }

    /// Answers with the error that `make` makes of the panic's message, which is empty if the panic has
    /// another payload than text.
    pub fn with(make: impl Fn(&str) -> HandlerError + 'static) -> Self {
        CatchPanic { make: Box::new(make) }
    }
}

impl Default for CatchPanic {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CatchPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CatchPanic")
    }
}

impl Middleware for CatchPanic {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let mut running = Box::pin(next.run(request));
        let polled = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        });
        let answer = polled.await;
        // A destructor is user code, too.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(running)));
        match (answer, dropped) {
            (Ok(response), Ok(())) => response,
            (Err(payload), _) | (_, Err(payload)) => (self.make)(message(&*payload)).into_response(),
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

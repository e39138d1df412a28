//! Services as handlers.

use super::{
    BoxError, HttpService,
    context::{Context, Within},
    convert::{failed, response_of, split},
    pipe::{Pump, SendBody},
};
use crate::{
    HandlerError,
    handler::{Answer, Endpoint, Handler, Incoming, Outcome},
    into_response::IntoResponse,
    request::Request,
    response::Response,
};
use http::{Uri, uri::PathAndQuery};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

/// How often in one poll the service may ask for more of a body that is there already.
const ROUNDS: usize = 16;

/// Makes a handler of a service: for [`App::any`](crate::App::any), [`App::fallback`](crate::App::fallback), or
/// one method. The service sees the whole path; [below a prefix](crate::App::nest_service) it does not.
///
/// There is an example in the [module's documentation](super).
pub fn tower_service<S: HttpService<SendBody>>(service: S) -> TowerService<S> {
    TowerService(service)
}

/// What [`tower_service`](tower_service()) gives.
#[derive(Clone)]
pub struct TowerService<S>(S);

impl<S> fmt::Debug for TowerService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TowerService")
    }
}

mod form {
    #![allow(missing_debug_implementations, unreachable_pub)]

    pub struct Service;
}

impl<S: HttpService<SendBody>, State> Handler<form::Service, State> for TowerService<S> {
    fn call(self: &Rc<Self>, incoming: Incoming<'_>, _: &Rc<State>) -> Outcome {
        Outcome::Later(Answer::new(answer(self.0.clone(), incoming.into_request(), 0)))
    }
}

/// A service below a prefix, which it does not see.
pub(crate) struct Nested<S> {
    service: S,
    /// Segments of the prefix.
    segments: usize,
}

impl<S> Nested<S> {
    pub(crate) fn new(prefix: &str, service: S) -> Self {
        Nested { service, segments: prefix.matches('/').count() }
    }
}

impl<S: HttpService<SendBody>> Endpoint for Nested<S> {
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        Outcome::Later(Answer::new(answer(self.service.clone(), incoming.into_request(), self.segments)))
    }
}

async fn answer<S: HttpService<SendBody>>(service: S, request: Request, strip: usize) -> Response {
    match try_answer(service, request, strip).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn try_answer<S: HttpService<SendBody>>(
    service: S,
    request: Request,
    strip: usize,
) -> Result<Response, HandlerError> {
    let context = Context::get()?;
    let (mut parts, body, _) = split(request)?;
    parts.uri = without_segments(parts.uri, strip)?;
    let (body, mut pump) = SendBody::new(body);
    let request = http::Request::from_parts(parts, body);
    let mut work = Within::new(context.clone(), || Box::pin(service.answer(request)));
    let answered = poll_fn(|cx| poll_both(&mut work, &mut pump, cx)).await;
    drop(work);
    Ok(match answered {
        Ok(response) => response_of(response, context, pump),
        Err(error) => failed(error),
    })
}

/// Polls the service, and feeds it the body that it asks for.
fn poll_both<F, T>(
    work: &mut Within<Pin<Box<F>>>,
    pump: &mut Option<Pump>,
    cx: &mut task::Context<'_>,
) -> Poll<Result<T, BoxError>>
where
    F: Future<Output = Result<T, BoxError>>,
{
    for _ in 0..ROUNDS {
        if let Some(Poll::Ready(answered)) = work.with(|work| work.as_mut().poll(cx)) {
            return Poll::Ready(answered);
        }
        match pump {
            Some(pump) => task::ready!(pump.poll(cx)),
            None => return Poll::Pending,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The same without the path's first segments.
fn without_segments(uri: Uri, segments: usize) -> Result<Uri, HandlerError> {
    if segments == 0 {
        return Ok(uri);
    }
    let path = uri.path();
    let rest = path.match_indices('/').nth(segments).map_or("/", |(at, _)| &path[at..]);
    let target = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target)?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_by_segments() {
        let cases = [
            ("/a", 1, "/"),
            ("/a/", 1, "/"),
            ("/a?q", 1, "/?q"),
            ("/a/b/c?q=/x", 1, "/b/c?q=/x"),
            ("/a/b/c", 2, "/c"),
            ("/a//c", 1, "//c"),
            ("http://h:1/a/b", 1, "http://h:1/b"),
        ];
        for (uri, segments, rest) in cases {
            let stripped = without_segments(uri.parse().unwrap(), segments).unwrap();
            assert_eq!(stripped.to_string(), rest, "{uri}");
        }
    }
}

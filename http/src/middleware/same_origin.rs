use super::{Middleware, Next, cors::origin_value};
use crate::{HandlerError, Head, IntoResponse, Request, Response};
use http::{HeaderValue, StatusCode, header};
use std::rc::Rc;

/// Keeps the forms and scripts of other origins out (CSRF): 403 for their requests with a method that is not safe
/// (RFC 9110, 9.2.1), before a byte of the body is read.
///
/// For services whose users are known by a cookie, or by a password that the browser sends by itself. Browsers say where a
/// request comes from, and no page can make them say something else:
///
/// - `Sec-Fetch-Site` (<https://www.w3.org/TR/fetch-metadata/>), over HTTPS and to `localhost`: `same-origin` may come in, and
///   so may `none`, what a user has typed. `same-site` is another host, and may not.
/// - Without it, `Origin` (<https://fetch.spec.whatwg.org/#origin-header>): its host and port have to be
///   [those that were asked](Head::client_host). `null` may be anybody, and may not.
/// - What has neither comes from no browser of this decade, and may come in: programs have no session that others could
///   use.
///
/// Safe methods always come in: a GET must change nothing. So do WebSockets, which `lakh_ws` checks by itself. Behind a proxy
/// that changes `Host` and tells it by `X-Forwarded-Host`, wrap this inside of a
/// [`ProxyHeaders::and_host`](super::ProxyHeaders::and_host).
/// Without HTTPS for all of the site (`Strict-Transport-Security`), somebody on the way can make pages of its own host.
///
/// ```
/// use lakh_http::{App, middleware::SameOrigin};
///
/// let app = App::new()
///     .post("/order", || "ordered")
///     .wrap(SameOrigin::new().allow("https://shop.example.com"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct SameOrigin {
    allowed: Vec<HeaderValue>,
}

impl SameOrigin {
    /// Lets in the origin of the service alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets in another origin, as browsers send it: `https://app.example.com`, `http://localhost:3000`.
    ///
    /// # Panics
    /// If it is not of that form: no path, no slash at its end, no `*`.
    #[track_caller]
    pub fn allow(mut self, origin: &str) -> Self {
        self.allowed.push(origin_value(origin));
        self
    }

    fn lets_in(&self, head: &Head<'_>) -> bool {
        let origin = head.header(header::ORIGIN);
        if origin.is_some_and(|origin| self.allowed.iter().any(|allowed| allowed.as_bytes() == origin)) {
            return true;
        }
        match head.header("sec-fetch-site") {
            Some(site) => site == b"same-origin" || site == b"none",
            None => origin.is_none_or(|origin| is_of_host(origin, head.client_host())),
        }
    }
}

impl Middleware for SameOrigin {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let head = request.head();
        if head.method().is_safe() || self.lets_in(&head) {
            return next.run(request).await;
        }
        HandlerError::new(StatusCode::FORBIDDEN, "the request of another site").into_response()
    }
}

/// The scheme does not count: a proxy that nobody has named may speak TLS.
fn is_of_host(origin: &[u8], host: &str) -> bool {
    let of = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    of.is_some_and(|of| !of.is_empty() && of.eq_ignore_ascii_case(host.as_bytes()))
}

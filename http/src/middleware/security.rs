use super::{Middleware, Next};
use crate::{Request, Response};
use http::{HeaderName, HeaderValue, header};
use std::{rc::Rc, time::Duration};

/// Adds the header fields that tell browsers to be careful; what a handler has set itself stays.
///
/// | by default | |
/// |---|---|
/// | `X-Content-Type-Options: nosniff` | types are not guessed |
/// | `Content-Security-Policy: frame-ancestors 'none'`, `X-Frame-Options: DENY` | no page shows this one in a frame |
/// | `Referrer-Policy: strict-origin-when-cross-origin` | other origins are not told the path |
///
/// A policy of your own and `Strict-Transport-Security` are for you to choose: both can lock users out.
///
/// ```
/// use lakh_http::{App, Html, middleware::SecurityHeaders};
/// use std::time::Duration;
///
/// let app = App::new().get("/", || Html("<p>hello")).wrap(
///     SecurityHeaders::new()
///         .frame_ancestors_self()
///         .content_security_policy("default-src 'self'; frame-ancestors 'self'")
///         .hsts(Duration::from_secs(365 * 24 * 3600)),
/// );
/// ```
#[derive(Debug, Clone)]
pub struct SecurityHeaders {
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl SecurityHeaders {
    /// Those that every site can have.
    pub fn new() -> Self {
        let fields = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        SecurityHeaders { fields: fields.collect() }
    }

    /// Lets pages of the same origin show these in frames.
    pub fn frame_ancestors_self(self) -> Self {
        self.set(header::CONTENT_SECURITY_POLICY, "frame-ancestors 'self'")
            .set(header::X_FRAME_OPTIONS, "SAMEORIGIN")
    }

    /// The whole `Content-Security-Policy`, in the place of the default. Say `frame-ancestors` in it:
    /// browsers that know it do not look at `X-Frame-Options`.
    ///
    /// # Panics
    /// If the policy is not legal in a header.
    #[track_caller]
    pub fn content_security_policy(self, policy: &str) -> Self {
        self.set(header::CONTENT_SECURITY_POLICY, policy)
    }

    /// `Referrer-Policy`.
    ///
    /// # Panics
    /// If the policy is not legal in a header.
    #[track_caller]
    pub fn referrer_policy(self, policy: &str) -> Self {
        self.set(header::REFERRER_POLICY, policy)
    }

    /// `Strict-Transport-Security` (RFC 6797): for so long, in whole seconds, browsers use HTTPS for this
    /// host. There is no way back before that. Browsers heed it over HTTPS only.
    pub fn hsts(self, max_age: Duration) -> Self {
        let value = format!("max-age={}", max_age.as_secs());
        self.set(header::STRICT_TRANSPORT_SECURITY, &value)
    }

    /// As [`SecurityHeaders::hsts`], for all hosts below this one as well (`includeSubDomains`): each of them
    /// has to have HTTPS.
    pub fn hsts_with_subdomains(self, max_age: Duration) -> Self {
        let value = format!("max-age={}; includeSubDomains", max_age.as_secs());
        self.set(header::STRICT_TRANSPORT_SECURITY, &value)
    }

    /// Leaves a field out.
    pub fn without(mut self, name: &HeaderName) -> Self {
        self.fields.retain(|(n, _)| n != name);
        self
    }

    #[track_caller]
    fn set(self, name: HeaderName, value: &str) -> Self {
        let value = value.parse().unwrap_or_else(|_| panic!("{value:?} is not legal in a header"));
        let mut changed = self.without(&name);
        changed.fields.push((name, value));
        changed
    }
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self::new()
    }
}

impl Middleware for SecurityHeaders {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        for (name, value) in &self.fields {
            if response.header(name).is_none() {
                response.append_header(name.clone(), value.clone());
            }
        }
        response
    }
}

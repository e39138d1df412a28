use super::{Middleware, Next};
use crate::{HandlerError, Head, IntoResponse, Request, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::{fmt, rc::Rc, time::Duration};

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Lets scripts of other origins read answers: CORS, as the Fetch standard has it
/// (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
///
/// Without any of the `*_origin*` functions nothing is let in. A preflight (`OPTIONS` with `Origin` and
/// `Access-Control-Request-Method`) is answered here and goes no further in: wrap this outside of
/// authentication, which a preflight never has. Every other request goes on, of whatever origin: CORS keeps
/// scripts from reading answers, it does not keep requests out. Errors have its fields, too, but those that
/// the server answers before any middleware.
///
/// ```
/// use lakh_http::{App, Method, header, middleware::Cors};
/// use std::time::Duration;
///
/// let app = App::new()
///     .get("/items", || "[]")
///     .wrap(
///         Cors::new()
///             .origin("https://app.example.com")
///             .methods([Method::GET, Method::PUT])
///             .headers([header::CONTENT_TYPE, header::AUTHORIZATION])
///             .expose([header::ETAG])
///             .credentials()
///             .max_age(Duration::from_secs(3600)),
///     );
/// ```
pub struct Cors {
    origins: Vec<HeaderValue>,
    origin_if: Option<Box<OriginCheck>>,
    any_origin: bool,
    methods: HeaderValue,
    /// `None`: whatever is asked for.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    private_network: bool,
}

type OriginCheck = dyn Fn(&str, &Head<'_>) -> bool;

impl Cors {
    /// Lets in no origin yet; methods are GET, HEAD, POST, PUT, PATCH and DELETE, and no header fields
    /// beyond those that Fetch always lets through.
    pub fn new() -> Self {
        Cors {
            origins: Vec::new(),
            origin_if: None,
            any_origin: false,
            methods: HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
            headers: Some(HeaderValue::from_static("")),
            exposed: None,
            credentials: false,
            max_age: None,
            private_network: false,
        }
    }

    /// Lets in an origin, as browsers send it: `https://app.example.com`, `http://localhost:3000`.
    ///
    /// # Panics
    /// If it is not of that form: no path, no slash at its end, no `*`.
    #[track_caller]
    pub fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin_value(origin));
        self
    }

    /// Lets in the origins for which `check` is true, beside those that are listed. Compare whole hosts:
    /// `evilexample.com` ends with `example.com`. `null` (files, sandboxed frames) may be anybody.
    pub fn origin_if(self, check: impl Fn(&str, &Head<'_>) -> bool + 'static) -> Self {
        Cors { origin_if: Some(Box::new(check)), ..self }
    }

    /// Lets in everybody, with `Access-Control-Allow-Origin: *`.
    ///
    /// # Panics
    /// If credentials are let in: no browser accepts both. Name the origins instead.
    #[track_caller]
    pub fn any_origin(self) -> Self {
        Cors { any_origin: true, ..self }.checked()
    }

    /// The methods that are let in, in the place of the default ones.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        Cors { methods: list(methods), ..self }
    }

    /// The request's header fields that are let in beyond those that Fetch always lets through.
    pub fn headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Cors { headers: Some(list(names)), ..self }
    }

    /// Lets in whatever header fields a script wants to send.
    pub fn any_headers(self) -> Self {
        Cors { headers: None, ..self }
    }

    /// The answer's header fields that scripts may read beyond those that Fetch always shows.
    pub fn expose(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Cors { exposed: Some(list(names)), ..self }
    }

    /// Lets scripts send cookies and other credentials.
    ///
    /// # Panics
    /// As [`Cors::any_origin`].
    #[track_caller]
    pub fn credentials(self) -> Self {
        Cors { credentials: true, ..self }.checked()
    }

    /// How long browsers may remember a preflight's answer, in whole seconds; they have limits of their own
    /// (two hours in Chromium), and remember it for 5 seconds without this.
    pub fn max_age(self, time: Duration) -> Self {
        Cors { max_age: Some(time.as_secs().into()), ..self }
    }

    /// Lets public pages ask this server in a private network
    /// (<https://wicg.github.io/private-network-access/>).
    pub fn private_network(self) -> Self {
        Cors { private_network: true, ..self }
    }

    #[track_caller]
    fn checked(self) -> Self {
        let both = self.any_origin && self.credentials;
        assert!(!both, "browsers do not accept credentials together with any origin: name the origins");
        self
    }

    /// What `Access-Control-Allow-Origin` says to this request.
    fn allow_origin(&self, head: &Head<'_>) -> Option<HeaderValue> {
        if self.any_origin {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = head.header(header::ORIGIN)?;
        if let Some(listed) = self.origins.iter().find(|listed| listed.as_bytes() == origin) {
            return Some(listed.clone());
        }
        let text = std::str::from_utf8(origin).ok()?;
        let check = self.origin_if.as_ref()?;
        if check(text, head) { HeaderValue::from_bytes(origin).ok() } else { None }
    }

    fn preflight(&self, head: &Head<'_>) -> Response {
        let Some(origin) = self.allow_origin(head) else {
            let refused = "CORS: this origin is not let in";
            let mut response = HandlerError::new(StatusCode::FORBIDDEN, refused).into_response();
            self.vary_preflight(&mut response);
            return response;
        };
        let mut response = Response::empty(StatusCode::NO_CONTENT);
        self.allow(&mut response, Some(origin));
        response.append_header(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let wanted = head.header(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let headers = match &self.headers {
            Some(listed) => Some(listed.clone()),
            None => wanted.and_then(|wanted| HeaderValue::from_bytes(wanted).ok()),
        };
        if let Some(headers) = headers.filter(|headers| !headers.is_empty()) {
            response.append_header(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        if let Some(max_age) = &self.max_age {
            response.append_header(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        if self.private_network && head.header(REQUEST_PRIVATE_NETWORK) == Some(b"true") {
            response.append_header(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        self.vary_preflight(&mut response);
        response
    }

    /// What is said to preflights and to the requests after them.
    fn allow(&self, response: &mut Response, origin: Option<HeaderValue>) {
        let Some(origin) = origin else { return };
        response.set_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            response.set_header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }

    fn vary_preflight(&self, response: &mut Response) {
        self.vary_origin(response);
        response.add_vary(&header::ACCESS_CONTROL_REQUEST_METHOD);
        response.add_vary(&header::ACCESS_CONTROL_REQUEST_HEADERS);
        if self.private_network {
            response.add_vary(&REQUEST_PRIVATE_NETWORK);
        }
    }

    /// Also for requests without an origin: a cache must not give their answers to those with one.
    fn vary_origin(&self, response: &mut Response) {
        if !self.any_origin {
            response.add_vary(&header::ORIGIN);
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("origins", &self.origins)
            .field("any_origin", &self.any_origin)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Middleware for Cors {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        if is_preflight(&request.head()) {
            return self.preflight(&request.head());
        }
        let origin = self.allow_origin(&request.head());
        let mut response = next.run(request).await;
        self.vary_origin(&mut response);
        if let (Some(exposed), true) = (&self.exposed, origin.is_some()) {
            response.set_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        self.allow(&mut response, origin);
        response
    }
}

fn is_preflight(head: &Head<'_>) -> bool {
    *head.method() == Method::OPTIONS
        && head.header(header::ORIGIN).is_some()
        && head.header(header::ACCESS_CONTROL_REQUEST_METHOD).is_some()
}

/// `a, b, c`; methods and names of fields are legal in a header.
fn list<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> HeaderValue {
    let parts: Vec<T> = parts.into_iter().collect();
    let texts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    HeaderValue::try_from(texts.join(", ")).expect("tokens are legal in a header")
}

/// An origin as browsers send it. Panics if it is none.
#[track_caller]
pub(super) fn origin_value(origin: &str) -> HeaderValue {
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', ' ']));
    assert!(is_origin, "{origin:?} is no origin: scheme, host and port, as in https://example.com:8443");
    // Browsers send schemes and hosts in lower case.
    let value = origin.to_ascii_lowercase().parse();
    value.unwrap_or_else(|_| panic!("{origin:?} is not legal in a header"))
}

use super::{Middleware, Next};
use crate::{HandlerError, Head, Request, Response, extract::FromHead};
use http::{HeaderName, HeaderValue, StatusCode};
use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, RandomState},
    rc::Rc,
};

/// Longer ones are not taken over from a client.
const LONGEST: usize = 128;

/// What tells a request from all others, in logs and in what is asked of other services.
///
/// [`SetRequestId`] leaves it with the request. As a handler's parameter it is refused with 500 if that is
/// missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        // Only visible ASCII becomes one.
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of a header field.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<S> FromHead<S> for RequestId {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        head.extension::<RequestId>().cloned().ok_or_else(|| {
            HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR)
                .with_cause("no SetRequestId is wrapped around this handler")
        })
    }

    fn is_absent(head: &Head<'_>) -> bool {
        head.extension::<RequestId>().is_none()
    }
}

/// Gives every request a [`RequestId`], and its answer the header field `X-Request-Id`.
///
/// What a client sends in that field does not count, unless [`SetRequestId::trust_requests`] says that a
/// proxy has set it. Ids made here are unique, and no secrets: 64 bits are drawn when the middleware is made
/// and the rest counts. Wrap it outside of whatever wants the id.
///
/// ```
/// use lakh_http::{App, middleware::{RequestId, SetRequestId}};
///
/// let app = App::new()
///     .get("/", |id: RequestId| format!("this is request {id}"))
///     .wrap(SetRequestId::new());
/// ```
#[derive(Debug)]
pub struct SetRequestId {
    header: HeaderName,
    trust: bool,
    /// Tells this middleware's ids from those of other shards and processes.
    origin: u64,
    count: Cell<u64>,
}

impl SetRequestId {
    /// Makes an id for every request.
    pub fn new() -> Self {
        SetRequestId {
            header: HeaderName::from_static("x-request-id"),
            trust: false,
            // The standard library's source of randomness without a dependency.
            origin: RandomState::new().hash_one(std::process::id()),
            count: Cell::new(0),
        }
    }

    /// Takes over the id that the request comes with, if it has up to 128 characters out of letters, digits
    /// and `-_.:/+=@`. Only behind a proxy that sets or removes the field.
    pub fn trust_requests(self) -> Self {
        SetRequestId { trust: true, ..self }
    }

    /// Another header field than `X-Request-Id`.
    ///
    /// # Panics
    /// If the name is not legal.
    #[track_caller]
    pub fn with_header(self, name: &str) -> Self {
        let header = name.parse().unwrap_or_else(|_| panic!("{name:?} is no header name"));
        SetRequestId { header, ..self }
    }

    fn id_of(&self, head: &Head<'_>) -> RequestId {
        let sent = head.header(&self.header).filter(|sent| self.trust && is_id(sent));
        let taken = sent.and_then(|sent| HeaderValue::from_bytes(sent).ok());
        RequestId(taken.unwrap_or_else(|| self.make()))
    }

    fn make(&self) -> HeaderValue {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        HeaderValue::try_from(format!("{:016x}-{count:x}", self.origin)).expect("hex digits are legal")
    }
}

impl Default for SetRequestId {
    fn default() -> Self {
        Self::new()
    }
}

fn is_id(sent: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=LONGEST).contains(&sent.len()) && sent.iter().all(is_plain)
}

impl Middleware for SetRequestId {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        let id = self.id_of(&request.head());
        request.insert_extension(id.clone());
        let mut response = next.run(request).await;
        response.set_header(self.header.clone(), id.0);
        response
    }
}

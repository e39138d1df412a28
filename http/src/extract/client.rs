use super::FromHead;
use crate::{HandlerError, Scheme, request::Head};
use http::StatusCode;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Who has sent the request: the connection's peer, or, behind proxies that
/// [`ProxyHeaders`](crate::middleware::ProxyHeaders) trusts, the client that they name (with port 0 where they
/// do not tell it).
///
/// Refused with 400 if the connection is gone already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub SocketAddr);

impl ClientAddr {
    /// The address without its port.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl<S> FromHead<S> for ClientAddr {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        let gone = |_| HandlerError::status_only(StatusCode::BAD_REQUEST);
        head.client_addr().map(ClientAddr).map_err(gone)
    }
}

/// How the client has reached the service: scheme and host, for links and redirects that need them. As text it
/// is a URL without a path: `https://example.com`.
///
/// They are those of the connection and its `Host` field, or, behind proxies that
/// [`ProxyHeaders`](crate::middleware::ProxyHeaders) trusts, what these say. The host is the client's word all the
/// same: what is sent to others (a link to set a new password) is made of the configuration, or of hosts that
/// [`App::host`](crate::App::host) knows.
///
/// Refused with 400 if the request names no host.
///
/// ```
/// use lakh_http::{App, Redirect, Scheme, extract::BaseUrl};
///
/// let app = App::new()
///     .get("/old", |base: BaseUrl| Redirect::permanent(&format!("{base}/new")))
///     .get("/", |base: BaseUrl| match base.scheme() {
///         Scheme::Https => "nobody has read along",
///         Scheme::Http => "hello, all",
///     });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    scheme: Scheme,
    host: Box<str>,
}

impl BaseUrl {
    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, with its port if one was told.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

impl<S> FromHead<S> for BaseUrl {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        match head.client_host() {
            "" => Err(HandlerError::bad_request("the request names no host")),
            host => Ok(BaseUrl { scheme: head.client_scheme(), host: host.into() }),
        }
    }

    fn is_absent(head: &Head<'_>) -> bool {
        head.client_host().is_empty()
    }
}

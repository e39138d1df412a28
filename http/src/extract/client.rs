use super::FromHead;
use crate::{HandlerError, request::Head};
use http::StatusCode;
use std::net::{IpAddr, SocketAddr};

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

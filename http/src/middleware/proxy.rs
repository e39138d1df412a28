use super::{Middleware, Next};
use crate::{
    request::{Head, Request},
    response::Response,
};
use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// Finds out who has sent a request that proxies have passed on.
///
/// A client can write anything into `X-Forwarded-For`; so only what trusted proxies have added counts. The
/// field is read from its end: as long as an address is a trusted proxy's, the one before it is believed.
/// The client's address is then that of [`ClientAddr`](crate::extract::ClientAddr) and of everything further
/// in. Wrap it outermost.
///
/// ```
/// use lakh_http::{App, extract::ClientAddr, middleware::ProxyHeaders};
///
/// let app = App::new()
///     .get("/", |client: ClientAddr| client.ip().to_string())
///     .wrap(ProxyHeaders::trust(["127.0.0.1".parse().unwrap()]).and_private_networks());
/// ```
#[derive(Debug, Clone, Default)]
pub struct ProxyHeaders {
    trusted: Vec<IpAddr>,
    private: bool,
}

impl ProxyHeaders {
    /// Trusts the proxies with these addresses.
    pub fn trust(proxies: impl IntoIterator<Item = IpAddr>) -> Self {
        ProxyHeaders { trusted: proxies.into_iter().collect(), private: false }
    }

    /// Trusts loopback, private (RFC 1918), link-local and unique local (RFC 4193) addresses, too.
    pub fn and_private_networks(self) -> Self {
        ProxyHeaders { private: true, ..self }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let is_private = match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        self.trusted.contains(&address) || (self.private && is_private)
    }

    /// Who has sent the request to the first of the trusted proxies.
    fn client(&self, head: &Head<'_>) -> Option<SocketAddr> {
        let peer = head.peer_addr().ok()?;
        let fields = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
        let hops = fields.flat_map(|(_, value)| value.split(|&byte| byte == b','));
        let hops: Vec<&[u8]> = hops.collect();
        let mut client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        for hop in hops.iter().rev() {
            if !self.trusts(client.ip()) {
                break;
            }
            client = parse_hop(hop)?;
        }
        Some(client)
    }
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`.
fn parse_hop(hop: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse::<SocketAddr>()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

impl Middleware for ProxyHeaders {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        if let Some(client) = self.client(&request.head()) {
            request.set_client_addr(client);
        }
        next.run(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_addresses_with_and_without_ports() {
        let hop = |text: &str| parse_hop(text.as_bytes()).map(|addr| addr.to_string());
        assert_eq!(hop(" 192.0.2.1 ").as_deref(), Some("192.0.2.1:0"));
        assert_eq!(hop("192.0.2.1:80").as_deref(), Some("192.0.2.1:80"));
        assert_eq!(hop("2001:db8::1").as_deref(), Some("[2001:db8::1]:0"));
        assert_eq!(hop("[2001:db8::1]").as_deref(), Some("[2001:db8::1]:0"));
        assert_eq!(hop("[2001:db8::1]:443").as_deref(), Some("[2001:db8::1]:443"));
        assert_eq!(hop("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1:0"));
        assert_eq!(hop("unknown"), None);
    }
}

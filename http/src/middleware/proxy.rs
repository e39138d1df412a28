use super::{
    Middleware, Next,
    forwarded::{self, Hop},
};
use crate::{Head, Request, Response, Scheme};
use std::{
    fmt,
    net::{AddrParseError, IpAddr, SocketAddr},
    rc::Rc,
    str::FromStr,
};

/// Finds out who has sent a request that proxies have passed on, and which scheme and host they have used.
///
/// A client can write anything into `X-Forwarded-For`; so only what trusted proxies have added counts. The
/// field is read from its end: as long as an address is a trusted proxy's, the one before it is believed. An
/// entry that is no address (`unknown`) ends the way at the proxy that wrote it.
/// The client's address is then that of [`ClientAddr`](crate::extract::ClientAddr) and of everything further
/// in. Wrap it outermost.
///
/// If the peer is a trusted proxy, the scheme of [`BaseUrl`](crate::extract::BaseUrl) is what it says in
/// `X-Forwarded-Proto`, and, with [`and_host`](Self::and_host), the host that of `X-Forwarded-Host`. Of several
/// values the last one counts, which the nearest proxy has written: let proxies further in pass these fields on
/// as they are. A proxy that neither sets nor removes one of them passes on what a client has made up.
///
/// ```
/// use lakh_http::{App, extract::ClientAddr, middleware::ProxyHeaders};
///
/// let app = App::new()
///     .get("/", |client: ClientAddr| client.ip().to_string())
///     .wrap(ProxyHeaders::trust(["192.0.2.7", "2001:db8::/32"]).and_private_networks());
/// ```
#[derive(Debug, Clone, Default)]
pub struct ProxyHeaders {
    trusted: Vec<Network>,
    private: bool,
    forwarded: bool,
    host: bool,
}

/// What is known of a request's way.
struct Origin<'a> {
    client: SocketAddr,
    scheme: Option<Scheme>,
    host: Option<&'a [u8]>,
}

impl ProxyHeaders {
    /// Trusts the proxies with these addresses, or in these networks: texts, [`IpAddr`]s or [`Network`]s.
    ///
    /// # Panics
    /// If a text is neither an address nor a network. For what users write into a configuration, parse a
    /// [`Network`] first.
    #[track_caller]
    pub fn trust<N: TryInto<Network>>(proxies: impl IntoIterator<Item = N>) -> Self {
        let mut trusted = Vec::new();
        for proxy in proxies {
            match proxy.try_into() {
                Ok(network) => trusted.push(network),
                Err(_) => panic!("a trusted proxy is an address or a network, like 10.0.0.0/8"),
            }
        }
        ProxyHeaders { trusted, ..Self::default() }
    }

    /// Trusts loopback, private (RFC 1918), link-local and unique local (RFC 4193) addresses, too.
    pub fn and_private_networks(self) -> Self {
        ProxyHeaders { private: true, ..self }
    }

    /// Believes trusted proxies which host the client has asked, too. Only for proxies that set the field
    /// themselves: most pass `X-Forwarded-Host` on as a client has sent it, and tell the host by `Host`.
    pub fn and_host(self) -> Self {
        ProxyHeaders { host: true, ..self }
    }

    /// Reads `Forwarded` (RFC 7239) in the place of the `X-Forwarded-…` fields. It is one or the others: a proxy
    /// that adds to the one passes on what a client has written into the others. Scheme and host are those of
    /// the outermost trusted proxy that tells them.
    pub fn forwarded(self) -> Self {
        ProxyHeaders { forwarded: true, ..self }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let is_private = match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        self.trusted.iter().any(|network| network.contains(address)) || (self.private && is_private)
    }

    /// Who has sent the request to the first of the trusted proxies, and what that has seen of it.
    fn origin<'a>(&self, head: &Head<'a>) -> Option<Origin<'a>> {
        let peer = head.peer_addr().ok()?;
        let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut origin = Origin { client, scheme: None, host: None };
        if !self.trusts(client.ip()) {
            return Some(origin);
        }
        if !self.forwarded {
            origin.scheme = list(head, "x-forwarded-proto").last().and_then(forwarded::parse_scheme);
            origin.host = list(head, "x-forwarded-host").last();
        }
        for hop in self.hops(head).into_iter().rev() {
            origin.scheme = hop.scheme.or(origin.scheme);
            origin.host = hop.host.or(origin.host);
            match hop.client {
                Some(address) => origin.client = address,
                None => break,
            }
            if !self.trusts(origin.client.ip()) {
                break;
            }
        }
        Some(origin)
    }

    /// In the order in which they were added.
    fn hops<'a>(&self, head: &Head<'a>) -> Vec<Hop<'a>> {
        if self.forwarded {
            return fields(head, "forwarded").flat_map(forwarded::hops).collect();
        }
        let clients = list(head, "x-forwarded-for").map(forwarded::parse_address);
        clients.map(|client| Hop { client, ..Hop::default() }).collect()
    }
}

/// All fields of this name.
fn fields<'a>(head: &Head<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    head.headers().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The values of all fields of this name, which are one list (RFC 9110, 5.3).
fn list<'a>(head: &Head<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    fields(head, name).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

impl Middleware for ProxyHeaders {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        let Some(Origin { client, scheme, host }) = self.origin(&request.head()) else {
            return next.run(request).await;
        };
        let host = host.filter(|_| self.host).and_then(|host| String::from_utf8(host.to_vec()).ok());
        request.set_client_addr(client);
        if let Some(scheme) = scheme {
            request.set_client_scheme(scheme);
        }
        if let Some(host) = host {
            // One that is none is as if it were not there.
            request.set_client_host(&host);
        }
        next.run(request).await
    }
}

/// A network, `10.0.0.0/8` or `2001:db8::/32`, or a single address. Bits beyond the prefix do not count.
///
/// ```
/// use lakh_http::middleware::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is in it. IPv4 in IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let differ = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.prefix)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(text.parse::<IpAddr>()?.into());
        };
        let address: IpAddr = address.parse()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        match prefix.parse() {
            Ok(prefix) if is_number && prefix <= longest => Ok(Network { address, prefix }),
            _ => Err(NetworkError(None)),
        }
    }
}

impl TryFrom<&str> for Network {
    type Error = NetworkError;

    fn try_from(text: &str) -> Result<Self, NetworkError> {
        text.parse()
    }
}

/// Why a text is no [`Network`].
#[derive(Debug, Clone)]
pub struct NetworkError(Option<AddrParseError>);

impl From<AddrParseError> for NetworkError {
    fn from(error: AddrParseError) -> Self {
        NetworkError(Some(error))
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "the network's address is no IP address",
            None => "the network's prefix is no number of bits of its address",
        })
    }
}

impl std::error::Error for NetworkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_shares_their_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.1", "9.255.255.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/31", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        for text in
            ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "a/8", "10.0.0.0/8/8"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}

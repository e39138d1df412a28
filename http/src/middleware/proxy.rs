use super::{Middleware, Next, forwarded};
use crate::{Head, Request, Response};
use std::{
    fmt,
    net::{AddrParseError, IpAddr, SocketAddr},
    rc::Rc,
    str::FromStr,
};

/// Finds out who has sent a request that proxies have passed on.
///
/// A client can write anything into `X-Forwarded-For`; so only what trusted proxies have added counts. The
/// field is read from its end: as long as an address is a trusted proxy's, the one before it is believed. An
/// entry that is no address (`unknown`) ends the way at the proxy that wrote it.
/// The client's address is then that of [`ClientAddr`](crate::extract::ClientAddr) and of everything further
/// in. Wrap it outermost.
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

    /// Reads `Forwarded` (RFC 7239) in the place of `X-Forwarded-For`. It is one or the other: a proxy that
    /// adds to the one passes on what a client has written into the other.
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

    /// Who has sent the request to the first of the trusted proxies.
    fn client(&self, head: &Head<'_>) -> Option<SocketAddr> {
        let peer = head.peer_addr().ok()?;
        let mut client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if !self.trusts(client.ip()) {
            return Some(client);
        }
        for hop in self.hops(head).into_iter().rev() {
            match hop {
                Some(address) => client = address,
                None => break,
            }
            if !self.trusts(client.ip()) {
                break;
            }
        }
        Some(client)
    }

    /// In the order in which they were added; `None` for what is no address.
    fn hops(&self, head: &Head<'_>) -> Vec<Option<SocketAddr>> {
        let name = if self.forwarded { "forwarded" } else { "x-forwarded-for" };
        let fields = head.headers().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        if self.forwarded {
            return fields.flat_map(forwarded::hops).collect();
        }
        fields.flat_map(|value| value.split(|&byte| byte == b',')).map(forwarded::parse_address).collect()
    }
}

impl Middleware for ProxyHeaders {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        if let Some(client) = self.client(&request.head()) {
            request.set_client_addr(client);
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

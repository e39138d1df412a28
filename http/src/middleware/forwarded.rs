//! What is in `X-Forwarded-…` and in `Forwarded` (RFC 7239).

use crate::Scheme;
use std::net::{IpAddr, SocketAddr};

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`; 0 for a port that is not told.
pub(super) fn parse_address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_port = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let address = without_port.or_else(|_| text.parse::<SocketAddr>()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

pub(super) fn parse_scheme(text: &[u8]) -> Option<Scheme> {
    let text = text.trim_ascii();
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
}

/// What one proxy says of the request that it has got; `None` for what it does not tell, or not so that it could
/// be understood.
#[derive(Debug, Default)]
pub(super) struct Hop<'a> {
    pub(super) client: Option<SocketAddr>,
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<&'a [u8]>,
}

/// The elements of one field. If a quote is left open in it, they are one of which nothing is known: a client that
/// opens one would else take what a proxy has added for a part of its own element.
pub(super) fn hops(field: &[u8]) -> impl Iterator<Item = Hop<'_>> {
    let elements = split_unquoted(field, b',').unwrap_or_else(|| vec![b""]);
    elements.into_iter().map(|element| {
        let pairs = split_unquoted(element, b';').unwrap_or_default();
        Hop {
            client: value(&pairs, "for").and_then(parse_address),
            scheme: value(&pairs, "proto").and_then(parse_scheme),
            host: value(&pairs, "host"),
        }
    })
}

/// The value of this name, without its quotes. No address, scheme or host has characters that are escaped there.
fn value<'a>(pairs: &[&'a [u8]], name: &str) -> Option<&'a [u8]> {
    let value = pairs.iter().find_map(|pair| {
        let (n, value) = pair.trim_ascii().split_at_checked(name.len())?;
        value.strip_prefix(b"=").filter(|_| n.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}

/// Parts between separators that are not within quotes (RFC 9110, 5.6.4); `None` if a quote has no end.
fn split_unquoted(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|&byte| {
        let is_end = byte == separator && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        is_end
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_and_without_ports() {
        let hop = |text: &str| parse_address(text.as_bytes()).map(|addr| addr.to_string());
        assert_eq!(hop(" 192.0.2.1 ").as_deref(), Some("192.0.2.1:0"));
        assert_eq!(hop("192.0.2.1:80").as_deref(), Some("192.0.2.1:80"));
        assert_eq!(hop("2001:db8::1").as_deref(), Some("[2001:db8::1]:0"));
        assert_eq!(hop("[2001:db8::1]").as_deref(), Some("[2001:db8::1]:0"));
        assert_eq!(hop("[2001:db8::1]:443").as_deref(), Some("[2001:db8::1]:443"));
        assert_eq!(hop("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1:0"));
        assert_eq!(hop("unknown"), None);
    }

    #[test]
    fn forwarded_names_a_hop_in_each_element() {
        let hops = |text: &str| -> Vec<_> {
            let clients = hops(text.as_bytes()).map(|hop| hop.client);
            clients.map(|client| client.map_or("-".to_owned(), |addr| addr.to_string())).collect()
        };
        assert_eq!(hops("for=192.0.2.43, for=198.51.100.17"), ["192.0.2.43:0", "198.51.100.17:0"]);
        assert_eq!(hops("For=\"[2001:db8::17]:4711\";proto=http"), ["[2001:db8::17]:4711"]);
        assert_eq!(hops("proto=https ; by=203.0.113.43;for=192.0.2.60"), ["192.0.2.60:0"]);
        assert_eq!(hops("for=_secret, for=unknown, proto=http"), ["-", "-", "-"]);
        assert_eq!(hops("host=\"a,b;for=192.0.2.1\\\",x\", for=192.0.2.2"), ["-", "192.0.2.2:0"]);
    }

    #[test]
    fn a_quote_that_a_client_leaves_open_hides_no_proxys_element() {
        for added in ["for=192.0.2.1", "for=\"[2001:db8::1]\"", "for=\"[2001:db8::1]:80\";host=\"a:80\""] {
            for made_up in ["for=203.0.113.9;host=\"a", "for=203.0.113.9;host=\"a\\", "for=\""] {
                let field = format!("{made_up}, {added}");
                assert!(hops(field.as_bytes()).all(|hop| hop.client.is_none()), "{field}");
            }
        }
    }
}

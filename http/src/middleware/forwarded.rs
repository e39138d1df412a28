//! Addresses in `X-Forwarded-For` and in `Forwarded` (RFC 7239).

use std::net::{IpAddr, SocketAddr};

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`; 0 for a port that is not told.
pub(super) fn parse_address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_port = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let address = without_port.or_else(|_| text.parse::<SocketAddr>()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// The `for` of each element of one field; `None` where there is none, or no address in it.
pub(super) fn hops(field: &[u8]) -> impl Iterator<Item = Option<SocketAddr>> {
    split_unquoted(field, b',').into_iter().map(|element| {
        let pairs = split_unquoted(element, b';');
        let value = pairs.into_iter().find_map(|pair| {
            let (name, value) = pair.trim_ascii().split_at_checked(4)?;
            name.eq_ignore_ascii_case(b"for=").then_some(value)
        })?;
        // Addresses have no characters that are escaped in quotes.
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        parse_address(quoted.unwrap_or(value))
    })
}

/// Parts between separators that are not within quotes (RFC 9110, 5.6.4).
fn split_unquoted(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|&byte| {
        let is_end = byte == separator && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        is_end
    });
    parts.collect()
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
            hops(text.as_bytes()).map(|hop| hop.map_or("-".to_owned(), |addr| addr.to_string())).collect()
        };
        assert_eq!(hops("for=192.0.2.43, for=198.51.100.17"), ["192.0.2.43:0", "198.51.100.17:0"]);
        assert_eq!(hops("For=\"[2001:db8::17]:4711\";proto=http"), ["[2001:db8::17]:4711"]);
        assert_eq!(hops("proto=https ; by=203.0.113.43;for=192.0.2.60"), ["192.0.2.60:0"]);
        assert_eq!(hops("for=_secret, for=unknown, proto=http"), ["-", "-", "-"]);
        assert_eq!(hops("host=\"a,b;for=192.0.2.1\\\",x\", for=192.0.2.2"), ["-", "192.0.2.2:0"]);
    }
}

//! Hosts and ports, as they stand in the Host field and in absolute targets, and the schemes of those.
use std::net::Ipv6Addr;

use crate::proto::REG_NAME;

/// `uri-host [ ":" port ]` with a host that is not empty (RFC 9110, 4.2 and 7.2; RFC 3986, 3.2.2).
#[inline]
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    let plain = authority.iter().position(|&b| !REG_NAME[usize::from(b)]).unwrap_or(authority.len());
    match authority.get(plain) {
        None => !authority.is_empty(),
        Some(b':') => plain > 0 && is_port(&authority[plain + 1..]),
        Some(_) => is_unusual_authority(authority),
    }
}

/// Bytes up to and with the `//` of an http or https URI.
pub(super) fn scheme_len(target: &[u8]) -> Option<usize> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let is_scheme =
        |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    schemes.into_iter().find(is_scheme).map(<[u8]>::len)
}

/// Percent-encoding and IP literals.
#[cold]
fn is_unusual_authority(authority: &[u8]) -> bool {
    if let [b'[', rest @ ..] = authority {
        let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
        return is_ip_literal(&rest[..end])
            && match &rest[end + 1..] {
                [] => true,
                [b':', port @ ..] => is_port(port),
                _ => false,
            };
    }
    let end = authority.iter().position(|&b| b == b':').unwrap_or(authority.len());
    end > 0 && is_reg_name(&authority[..end]) && authority.get(end + 1..).is_none_or(is_port)
}

fn is_reg_name(mut name: &[u8]) -> bool {
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if REG_NAME[usize::from(*byte)] => rest,
            _ => return false,
        }
    }
}

fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&b| b == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&b| b == b':' || REG_NAME[usize::from(b)]);
    }
    std::str::from_utf8(literal).is_ok_and(|literal| literal.parse::<Ipv6Addr>().is_ok())
}

/// `*DIGIT` (RFC 3986, 3.2.3), and a number that can be a port. It may be empty.
fn is_port(port: &[u8]) -> bool {
    let mut number = 0;
    port.iter().all(|byte| {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        number = number * 10 + digit;
        digit <= 9 && number <= u32::from(u16::MAX)
    })
}

//! Where requests go: a URL, and the addresses of its host.

use crate::plan::{Scheme, Target};
use lakh_net::hosts;
use std::{
    error, fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Addresses of one host that are used.
const ADDRESSES: usize = 64;

/// Why a URL is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError(String);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for TargetError {}

impl Target {
    /// Reads `SCHEME://HOST[:PORT][/PATH][?QUERY]` and looks the host up: an address, `localhost`, or a name of
    /// hosts(5). A target without a scheme is one of HTTP. Reads `/etc/hosts`, and blocks for that.
    ///
    /// ```
    /// use lakh_loadtest::plan::{Scheme, Target};
    ///
    /// let target = Target::parse("http://127.0.0.1:8080/a?b=c#d").unwrap();
    /// assert_eq!((target.scheme, target.path.as_str()), (Scheme::Http, "/a?b=c"));
    /// assert_eq!(target.addrs, ["127.0.0.1:8080".parse().unwrap()]);
    /// assert!(Target::parse("https://127.0.0.1/").is_err());
    /// ```
    ///
    /// # Errors
    /// A scheme that is not known or not there yet, a host without an address, a port that is none.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        Self::parse_with(url, hosts::read)
    }

    fn parse_with(url: &str, read_hosts: impl Fn() -> io::Result<Vec<u8>>) -> Result<Target, TargetError> {
        let fail = |what: &str| Err(TargetError(format!("{url:?} is no target: {what}")));
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return fail("a URL has no spaces and no control characters; write %20 for a space");
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match &*scheme.to_ascii_lowercase() {
            "http" => Scheme::Http,
            "ws" => Scheme::Ws,
            "tcp" => Scheme::Tcp,
            "udp" => Scheme::Udp,
            "https" | "wss" | "tls" => return fail("TLS is not there yet; http, ws, tcp and udp are"),
            _ => return fail("its scheme is none of http, ws, tcp, udp"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return fail("it holds a user name; give -H 'Authorization: ...' instead");
        }
        let (host, port) = match split_port(authority) {
            Some(parts) => parts,
            None => return fail("its port is not a number from 1 to 65535"),
        };
        let default = matches!(scheme, Scheme::Http | Scheme::Ws).then_some(80);
        let Some(port) = port.or(default) else {
            return fail("it needs a port: tcp://HOST:PORT");
        };
        let found = addresses(host, read_hosts)
            .map_err(|what| TargetError(format!("{url:?} is no target: {what}")))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let addrs = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Ok(Target { scheme, authority: authority.to_owned(), path, addrs })
    }
}

/// Host, without the brackets of an IPv6 address, and port.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let Some(port) = port else { return Some((host, None)) };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.then(|| port.parse().ok()).flatten().filter(|port| *port > 0)?;
    Some((host, Some(port)))
}

/// Connections are spread over all that are found, so they are of one family: of the hosts file's IPv4 before IPv6.
fn addresses(host: &str, read_hosts: impl Fn() -> io::Result<Vec<u8>>) -> Result<Vec<IpAddr>, String> {
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if hosts::is_localhost(&name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    let path = hosts::PATH;
    let text = read_hosts().map_err(|error| format!("{path} cannot be read: {error}"))?;
    let mut found = hosts::find(&text, &name, ADDRESSES);
    let has_v4 = found.iter().any(IpAddr::is_ipv4);
    found.retain(|ip| ip.is_ipv4() == has_v4);
    if found.is_empty() {
        return Err(format!(
            "{host:?} is neither an address nor a name in {path}, and other names are not resolved yet"
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(url: &str) -> Result<Target, String> {
        let hosts = || Ok(b"10.0.0.1 db # main\n::5 db\n::6 six\n10.0.0.2 db two\n".to_vec());
        Target::parse_with(url, hosts).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_gives_scheme_authority_path_and_addresses() {
        let of = |url| {
            let Target { scheme, authority, path, addrs } = parse(url).unwrap();
            let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
            (scheme, authority, path, addrs.join(" "))
        };
        let expected = |scheme, authority: &str, path: &str, addrs: &str| {
            (scheme, authority.to_owned(), path.to_owned(), addrs.to_owned())
        };
        assert_eq!(of("127.0.0.1"), expected(Scheme::Http, "127.0.0.1", "/", "127.0.0.1:80"));
        assert_eq!(of("HTTP://[::1]:81?a"), expected(Scheme::Http, "[::1]:81", "/?a", "[::1]:81"));
        assert_eq!(of("ws://db/x?y#z"), expected(Scheme::Ws, "db", "/x?y", "10.0.0.1:80 10.0.0.2:80"));
        assert_eq!(of("tcp://SIX.:7"), expected(Scheme::Tcp, "SIX.:7", "/", "[::6]:7"));
        assert_eq!(of("udp://localhost:7"), expected(Scheme::Udp, "localhost:7", "/", "127.0.0.1:7"));
    }

    #[test]
    fn what_is_no_target_says_why() {
        for (url, why) in [
            ("https://127.0.0.1/", "TLS is not there yet"),
            ("wss://127.0.0.1/", "TLS is not there yet"),
            ("ftp://127.0.0.1/", "none of http, ws, tcp, udp"),
            ("http://", "names no host"),
            ("http://:80/", "names no host"),
            ("http://127.0.0.1:0/", "1 to 65535"),
            ("http://127.0.0.1:65536/", "1 to 65535"),
            ("http://127.0.0.1:+80/", "1 to 65535"),
            ("http://[::1/", "1 to 65535"),
            ("http://a@127.0.0.1/", "Authorization"),
            ("http://127.0.0.1/a b", "%20"),
            ("http://127.0.0.1/a\r\nb", "control"),
            ("tcp://127.0.0.1", "needs a port"),
            ("http://example.org/", "not resolved yet"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(why) && error.contains(&format!("{url:?}")), "{url}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", scheme in "(http://|ws://|tcp://|udp://|)") {
            let _ = parse(&format!("{scheme}{text}"));
        }
    }
}

//! `ws://host:port/path?query` (RFC 6455, 3).

use super::error::{ConnectError, Kind};
use http::Uri;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DEFAULT_PORT: u16 = 80;
const NO_SCHEME: &str = "the URL does not begin with ws://";

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) host: Host,
    pub(super) port: u16,
    /// Host and port as they were written: the request's `Host`.
    pub(super) authority: String,
    /// Path and query: the request's target.
    pub(super) target: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Addr(IpAddr),
    /// In lower case, without the root's dot.
    Name(String),
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, ConnectError> {
        let refuse = |why| Err(ConnectError::new(Kind::Invalid(Cow::Borrowed(why))));
        if text.contains('#') {
            return refuse("a WebSocket URL has no fragment");
        }
        if !text.is_ascii() {
            return refuse("the URL is not ASCII: percent-encode its path, and write its host in punycode");
        }
        // A mere `host:port/` cannot be read either.
        if !text.contains("://") {
            return refuse(NO_SCHEME);
        }
        let Ok(uri) = text.parse::<Uri>() else { return refuse("the URL cannot be read") };
        match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => {}
            Some("wss") => return refuse("wss:// needs TLS, which is not there yet"),
            _ => return refuse(NO_SCHEME),
        }
        let Some(authority) = uri.authority() else { return refuse("the URL names no host") };
        if authority.as_str().contains('@') {
            return refuse("the URL has a user: send a header in its place");
        }
        let Some(host) = parse_host(authority.host()) else { return refuse("the URL's host is none") };
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(DEFAULT_PORT),
            Some(port) => port.strip_prefix(':').and_then(parse_port),
            None => None,
        };
        let Some(port) = port else { return refuse("the URL's port is no number from 1 to 65535") };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", uri.path());
        Ok(Url { host, port, authority: authority.as_str().to_owned(), target })
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
        return Some(Host::Addr(address.into()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(Host::Addr(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    (!name.is_empty()).then_some(Host::Name(name))
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Host, u16, String, String) {
        let url = Url::parse(text).unwrap();
        (url.host, url.port, url.authority, url.target)
    }

    fn name(name: &str) -> Host {
        Host::Name(name.into())
    }

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask_for() {
        let local = || Host::Addr(Ipv4Addr::LOCALHOST.into());
        let cases = [
            ("ws://127.0.0.1:9001/a/b?c=d", local(), 9001, "127.0.0.1:9001", "/a/b?c=d"),
            ("WS://127.0.0.1", local(), 80, "127.0.0.1", "/"),
            ("ws://Example.ORG.?q", name("example.org"), 80, "Example.ORG.", "/?q"),
            ("ws://[::1]:81/", Host::Addr(Ipv6Addr::LOCALHOST.into()), 81, "[::1]:81", "/"),
            ("ws://127.1/%20", name("127.1"), 80, "127.1", "/%20"),
        ];
        for (text, host, port, authority, target) in cases {
            assert_eq!(parsed(text), (host, port, authority.to_owned(), target.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why() {
        let cases = [
            ("ws://a/#b", "fragment"),
            ("wss://a/", "TLS"),
            ("http://a/", "ws://"),
            ("/a", "ws://"),
            ("a:80", "ws://"),
            ("127.0.0.1:80/a", "ws://"),
            ("ws:///a", "cannot be read"),
            ("ws://u:p@a/", "user"),
            ("ws://a:/", "port"),
            ("ws://a:0/", "port"),
            ("ws://a:65536/", "port"),
            ("ws://a:+1/", "port"),
            ("ws://[::1/", "cannot be read"),
            ("ws://[a]/", "host"),
            ("ws://./", "host"),
            ("ws://a/ b", "cannot be read"),
            ("ws://a/\r\nb: c", "cannot be read"),
            ("ws://a/ä", "ASCII"),
        ];
        for (text, why) in cases {
            let error = Url::parse(text).unwrap_err();
            assert!(error.is_invalid());
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }
}

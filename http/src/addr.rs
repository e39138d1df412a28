//! What an address may be written as.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// An address to listen on, in one of the forms that [`Server::bind`](crate::Server::bind) takes:
///
/// - a `SocketAddr`, `SocketAddrV4` or `SocketAddrV6`;
/// - an IP address with a port: `(Ipv4Addr::LOCALHOST, 8080)`, `([127, 0, 0, 1], 8080)`;
/// - text with an address literal and a port: `"127.0.0.1:8080"`, `"[::1]:8080"`; and `"localhost:8080"`, which
///   is 127.0.0.1. Other names are refused: nothing here asks a resolver.
///
/// ```
/// use lakh_http::IntoAddr;
///
/// assert_eq!("[::1]:80".into_addr()?, "[::1]:80".parse().unwrap());
/// assert_eq!("localhost:80".into_addr()?, ([127, 0, 0, 1], 80).into_addr()?);
/// let error = "example.org:80".into_addr().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait IntoAddr {
    /// The address.
    ///
    /// # Errors
    /// `InvalidInput` if it is text and no address; the error says what is wrong with it.
    fn into_addr(self) -> io::Result<SocketAddr>;
}

impl IntoAddr for SocketAddr {
    fn into_addr(self) -> io::Result<SocketAddr> {
        Ok(self)
    }
}

impl IntoAddr for SocketAddrV4 {
    fn into_addr(self) -> io::Result<SocketAddr> {
        Ok(self.into())
    }
}

impl IntoAddr for SocketAddrV6 {
    fn into_addr(self) -> io::Result<SocketAddr> {
        Ok(self.into())
    }
}

impl<I: Into<IpAddr>> IntoAddr for (I, u16) {
    fn into_addr(self) -> io::Result<SocketAddr> {
        Ok(self.into())
    }
}

impl IntoAddr for &str {
    fn into_addr(self) -> io::Result<SocketAddr> {
        parse(self).map_err(|wrong| {
            let message = format!(
                "cannot listen on {self:?}: {wrong}; write an IP address and a port, as in \"127.0.0.1:8080\", \
                 \"[::1]:8080\" or \"localhost:8080\""
            );
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

impl IntoAddr for String {
    fn into_addr(self) -> io::Result<SocketAddr> {
        self.as_str().into_addr()
    }
}

impl IntoAddr for &String {
    fn into_addr(self) -> io::Result<SocketAddr> {
        self.as_str().into_addr()
    }
}

/// The address, or what is wrong with the text.
fn parse(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if text == "localhost" || text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("the port is missing");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return Err("it is no address") };
    match (host, port.parse::<u16>()) {
        ("localhost", Ok(port)) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        (_, Err(_)) => Err("a port is a number up to 65535"),
        ("", Ok(_)) => Err("the IP address is missing"),
        (host, Ok(_)) if host.contains(':') => Err("it is no IPv6 address in brackets"),
        _ => Err("names are not resolved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_in_every_form() {
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let forms = [
            addr.into_addr(),
            SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80).into_addr(),
            (IpAddr::from(Ipv4Addr::LOCALHOST), 80).into_addr(),
            ([127, 0, 0, 1], 80).into_addr(),
            "127.0.0.1:80".into_addr(),
            "localhost:80".into_addr(),
            "localhost:80".to_owned().into_addr(),
            (&"localhost:80".to_owned()).into_addr(),
        ];
        forms.into_iter().for_each(|form| assert_eq!(form.unwrap(), addr));
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!("[::1]:80".into_addr().unwrap(), v6);
        assert_eq!((std::net::Ipv6Addr::LOCALHOST, 80).into_addr().unwrap(), v6);
    }

    #[test]
    fn what_is_no_address_says_what_is_wrong_and_what_to_write() {
        let cases = [
            ("example.org:80", "names are not resolved"),
            ("127.0.0.1", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("::1", "the port is missing"),
            ("localhost", "the port is missing"),
            (":80", "the IP address is missing"),
            ("127.0.0.1:65536", "a port is a number"),
            ("127.0.0.1:", "a port is a number"),
            ("127.0.0.1:http", "a port is a number"),
            ("fe80::g:80", "no IPv6 address in brackets"),
            ("8080", "no address"),
            ("", "no address"),
        ];
        for (text, wrong) in cases {
            let error = text.into_addr().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
            let message = error.to_string();
            assert!(message.starts_with(&format!("cannot listen on {text:?}: ")), "{message}");
            assert!(message.contains(wrong), "{message}");
            assert!(message.contains("as in \"127.0.0.1:8080\""), "{message}");
        }
    }
}

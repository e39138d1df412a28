//! Where to listen.

use crate::{args::Serve, failure::Failure};
use lakh_http::{Running, Server};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
};

pub(crate) const DEFAULT_PORT: u16 = 8080;

/// How many ports after the default one are tried.
const FURTHER_PORTS: u16 = 100;

/// An address as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    At(SocketAddr),
    /// On the default hosts.
    Port(u16),
}

impl Listen {
    /// The address, on 127.0.0.1 if none is named.
    pub(crate) fn on_loopback(self) -> SocketAddr {
        match self {
            Listen::At(addr) => addr,
            Listen::Port(port) => (Ipv4Addr::LOCALHOST, port).into(),
        }
    }

    pub(crate) fn names_a_host(&self) -> bool {
        matches!(self, Listen::At(_))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(addr) = text.parse() {
            return Ok(Listen::At(addr));
        }
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Listen::Port(port));
        }
        if let Ok(host) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Err(format!("the port is missing; write {}", SocketAddr::new(host, DEFAULT_PORT)));
        }
        match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some(("localhost", Ok(port))) => Ok(Listen::At((Ipv4Addr::LOCALHOST, port).into())),
            Some((host, Ok(_))) if host.contains(':') => {
                Err("an IPv6 address goes in brackets, as in [::1]:8080".to_owned())
            }
            Some((_, Ok(_))) => {
                Err("names are not resolved; write an IP address, as in 127.0.0.1:8080".to_owned())
            }
            _ => Err("not an address; write HOST:PORT, :PORT or PORT (a port is at most 65535)".to_owned()),
        }
    }
}

/// What to listen on, and whether another port will do.
#[derive(Debug)]
pub(crate) struct Plan {
    wishes: Vec<Listen>,
    hosts: Vec<IpAddr>,
    any_port: bool,
}

impl Plan {
    pub(crate) fn new(options: &Serve) -> Self {
        let hosts = match options.public {
            false => vec![Ipv4Addr::LOCALHOST.into()],
            true if has_ipv6() => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            true => vec![Ipv4Addr::UNSPECIFIED.into()],
        };
        let any_port = options.listen.is_empty() && options.port.is_none();
        let mut wishes = Vec::new();
        for wish in options.listen.iter().copied() {
            if !wishes.contains(&wish) {
                wishes.push(wish);
            }
        }
        if wishes.is_empty() {
            wishes.push(Listen::Port(options.port.unwrap_or(DEFAULT_PORT)));
        }
        Plan { wishes, hosts, any_port }
    }

    /// Starts a server on every address of the plan, on the next free port if none was asked for.
    pub(crate) fn start(&self, server: impl Fn() -> Result<Server, Failure>) -> Result<Running, Failure> {
        for offset in 0..=FURTHER_PORTS {
            match self.try_start(offset, server()?) {
                Err(error) if error.is_taken() && self.has_choice() => {}
                outcome => return outcome.map_err(Failure::from),
            }
        }
        Err(Failure::refused(format!(
            "the ports {DEFAULT_PORT} to {} are all taken; choose one with --port, or any with --port 0",
            DEFAULT_PORT + FURTHER_PORTS
        )))
    }

    fn try_start(&self, offset: u16, mut server: Server) -> Result<Running, StartError> {
        for addrs in self.addrs(offset) {
            let mut port = None;
            for mut addr in addrs {
                // The kernel picks a port for the first host; the second one is to have the same.
                addr.set_port(port.unwrap_or(addr.port()));
                server = server.bind(addr).map_err(|error| StartError { addrs: vec![addr], error })?;
                port = server.addrs().last().map(SocketAddr::port);
            }
        }
        let addrs = server.addrs();
        server.start().map_err(|error| StartError { addrs, error })
    }

    /// For each wish the addresses that share a port.
    fn addrs(&self, offset: u16) -> impl Iterator<Item = Vec<SocketAddr>> {
        self.wishes.iter().map(move |wish| match *wish {
            Listen::At(addr) => vec![addr],
            Listen::Port(port) => {
                let port = if self.any_port { port + offset } else { port };
                self.hosts.iter().map(|host| SocketAddr::new(*host, port)).collect()
            }
        })
    }

    /// Whether another attempt will try other ports.
    fn has_choice(&self) -> bool {
        self.any_port || (self.hosts.len() > 1 && self.wishes.contains(&Listen::Port(0)))
    }
}

#[derive(Debug)]
struct StartError {
    addrs: Vec<SocketAddr>,
    error: io::Error,
}

impl StartError {
    fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl From<StartError> for Failure {
    fn from(StartError { addrs, error }: StartError) -> Self {
        let addrs = addrs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
        Failure::refused(match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{addrs} is taken by another program; choose another port, or any with --port 0")
            }
            io::ErrorKind::AddrNotAvailable => format!("{addrs} is no address of this machine"),
            io::ErrorKind::PermissionDenied => {
                format!("{addrs} is not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE")
            }
            _ => format!("cannot listen on {addrs}: {error}"),
        })
    }
}

/// Whether this machine can listen on IPv6 at all.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// The address that this machine has in its network: the one it would send from. Sends nothing:
/// to connect a UDP socket only looks up a route, here to addresses reserved for documentation.
pub(crate) fn network_address(of: IpAddr) -> Option<IpAddr> {
    let somewhere: IpAddr = match of {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((of, 0)).ok()?;
    socket.connect((somewhere, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(wishes: &[Listen], hosts: &[&str], any_port: bool) -> Plan {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Plan { wishes: wishes.to_vec(), hosts, any_port }
    }

    fn addrs(plan: &Plan, offset: u16) -> Vec<String> {
        plan.addrs(offset).flatten().map(|addr| addr.to_string()).collect()
    }

    #[test]
    fn addresses_are_literals_with_a_port_or_a_port_alone() {
        let at = |text: &str| Ok(Listen::At(text.parse().unwrap()));
        assert_eq!("10.0.0.5:80".parse(), at("10.0.0.5:80"));
        assert_eq!("[::1]:80".parse(), at("[::1]:80"));
        assert_eq!("localhost:80".parse(), at("127.0.0.1:80"));
        assert_eq!(":80".parse(), Ok(Listen::Port(80)));
        assert_eq!("80".parse(), Ok(Listen::Port(80)));
        assert_eq!("0".parse(), Ok(Listen::Port(0)));
    }

    #[test]
    fn other_addresses_say_what_to_write() {
        let error = |text: &str| text.parse::<Listen>().unwrap_err();
        assert!(error("example.org:80").contains("names are not resolved"));
        assert!(error("::1:x").contains("not an address"));
        assert!(error("10.0.0.5").contains("write 10.0.0.5:8080"));
        assert!(error("::1").contains("write [::1]:8080"));
        assert!(error("[::1]").contains("write [::1]:8080"));
        assert!(error("::g:80").contains("brackets"));
        for wrong in ["", ":", "host", "127.0.0.1:99999", "99999", "127.0.0.1:"] {
            assert!(error(wrong).contains("not an address"), "{wrong}");
        }
    }

    #[test]
    fn only_a_port_that_nobody_asked_for_moves() {
        let default = plan(&[Listen::Port(8080)], &["127.0.0.1"], true);
        assert_eq!(addrs(&default, 3), ["127.0.0.1:8083"]);
        assert!(default.has_choice());

        let asked = plan(&[Listen::Port(9000), "[::1]:7".parse().unwrap()], &["127.0.0.1"], false);
        assert_eq!(addrs(&asked, 3), ["127.0.0.1:9000", "[::1]:7"]);
        assert!(!asked.has_choice());
    }

    #[test]
    fn public_is_both_families() {
        let public = plan(&[Listen::Port(80)], &["0.0.0.0", "::"], false);
        assert_eq!(addrs(&public, 0), ["0.0.0.0:80", "[::]:80"]);
    }

    #[test]
    fn failures_name_the_address() {
        let failure = |kind: io::ErrorKind| {
            let addrs = vec!["127.0.0.1:80".parse().unwrap()];
            Failure::from(StartError { addrs, error: kind.into() }).to_string()
        };
        assert!(failure(io::ErrorKind::AddrInUse).starts_with("127.0.0.1:80 is taken"));
        assert!(failure(io::ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
        assert!(failure(io::ErrorKind::Other).contains("cannot listen on 127.0.0.1:80"));
    }
}

//! The addresses and ports that connections come from.

use crate::plan::Source;
use std::{
    cell::Cell,
    error, fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Ports that a connection may come from: below are those of services.
const FIRST_PORT: u16 = 10_000;
/// Ports of an address that connections come from.
pub(crate) const PORTS: u64 = (u16::MAX - FIRST_PORT) as u64 + 1;
/// Addresses of a network that are used.
const ADDRESSES: u32 = 1 << 16;
/// Connections to one address for which the kernel finds ports without searching for long. connect(2) takes every second
/// port of its range first, and once these are gone (after 14,116 of the usual 28,232) looks at all of them each time.
const FEW: u64 = 10_000;

/// Addresses of this machine that connections come from: those of a network, the first and the last left out, as
/// `10.0.1.0/28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    count: u32,
}

impl Network {
    /// How many addresses.
    pub fn len(self) -> u32 {
        self.count
    }

    /// Never.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (0..self.count).map(move |at| self.get(at))
    }

    pub(crate) fn get(self, at: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + at).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() + u128::from(at)).into(),
        }
    }
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseNetworkError(String);

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no network; write an address, as 10.0.0.7, or a network, as 10.0.1.0/28", self.0)
    }
}

impl error::Error for ParseNetworkError {}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let fail = || ParseNetworkError(text.to_owned());
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.parse().map_err(|_| fail())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(fail)?
            }
            Some(_) => return Err(fail()),
        };
        let host_bits = width - bits;
        let size = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        let mask = size.wrapping_sub(1);
        let base = match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        // The network's own address and that of all its hosts are nobody's.
        let (first, count) = if size <= 2 { (base & !mask, size) } else { ((base & !mask) + 1, size - 2) };
        let first = match ip {
            IpAddr::V4(_) => Ipv4Addr::from_bits(first as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(first).into(),
        };
        Ok(Network { first, count: count.min(u128::from(ADDRESSES)) as u32 })
    }
}

impl Source {
    /// The network that a run uses, if it chooses addresses and ports itself: with [`Source::Auto`] to this machine's
    /// loopback, as many addresses as the connections need; elsewhere the kernel chooses.
    pub(crate) fn network(self, target: &[SocketAddr], connections: usize) -> Option<Network> {
        let loopback = |addr: &SocketAddr| matches!(addr.ip(), IpAddr::V4(ip) if ip.is_loopback());
        match self {
            Source::Network(network) => Some(network),
            Source::Auto if connections as u64 > FEW && target.iter().all(loopback) => {
                // Ports of one address that are in use, or whose last connection is not forgotten, are passed over:
                // half of them stay free.
                let count = (2 * connections as u64).div_ceil(PORTS) as u32;
                Some(Network { first: Ipv4Addr::new(127, 77, 0, 1).into(), count })
            }
            Source::Auto => None,
        }
    }
}

/// One shard's part of all pairs of address and port: no two shards have one in common.
#[derive(Debug)]
pub(crate) struct Sources {
    network: Network,
    shard: u64,
    of: u64,
    next: Cell<u64>,
}

impl Sources {
    pub(crate) fn new(network: Network, shard: usize, of: usize) -> Self {
        Sources { network, shard: shard as u64, of: of as u64, next: Cell::new(0) }
    }

    /// The pair that has not been used for the longest time.
    pub(crate) fn next(&self) -> SocketAddr {
        let pairs = u64::from(self.network.count) * PORTS;
        let mine = (pairs - self.shard).div_ceil(self.of);
        let number = self.next.get();
        self.next.set((number + 1) % mine);
        let pair = number * self.of + self.shard;
        let count = u64::from(self.network.count);
        SocketAddr::new(self.network.get((pair % count) as u32), FIRST_PORT + (pair / count) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_network_leaves_out_what_is_nobodys_address() {
        let of = |text: &str| {
            let network: Network = text.parse().unwrap();
            (network.get(0).to_string(), network.get(network.len() - 1).to_string())
        };
        let pair = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(of("10.0.1.0/28"), pair("10.0.1.1", "10.0.1.14"));
        assert_eq!(of("10.0.1.9/28"), pair("10.0.1.1", "10.0.1.14"));
        assert_eq!(of("10.0.1.9"), pair("10.0.1.9", "10.0.1.9"));
        assert_eq!(of("10.0.1.8/31"), pair("10.0.1.8", "10.0.1.9"));
        assert_eq!(of("fd00::/64"), pair("fd00::1", "fd00::1:0"));
        for text in ["", "10.0.1", "10.0.1.0/33", "10.0.1.0/+8", "::/129", "auto", "10.0.0.0/"] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains("10.0.1.0/28") && error.contains(&format!("{text:?}")));
        }
    }

    #[test]
    fn no_pair_is_given_twice_before_all_were_and_none_to_two_shards() {
        let network: Network = "127.0.0.8/31".parse().unwrap();
        let mut seen = HashSet::new();
        for shard in 0..3 {
            let sources = Sources::new(network, shard, 3);
            let first = sources.next();
            assert!(seen.insert(first));
            let rest = std::iter::from_fn(|| Some(sources.next()).filter(|&next| next != first));
            for pair in rest {
                assert!(seen.insert(pair) && pair.port() >= FIRST_PORT);
            }
        }
        assert_eq!(seen.len() as u64, 2 * PORTS);
    }

    #[test]
    fn loopback_gets_as_many_addresses_as_it_needs_by_itself() {
        let target = |text: &str| [text.parse().unwrap()];
        let auto = |text, connections| Source::Auto.network(&target(text), connections).map(Network::len);
        assert_eq!(auto("127.0.0.1:80", 10_000), None);
        assert_eq!(auto("127.0.0.1:80", 1_000_000), Some(37));
        assert_eq!(auto("10.0.0.1:80", 1_000_000), None);
    }
}

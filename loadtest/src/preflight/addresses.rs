//! Whether the addresses that connections are to come from are this machine's.

use super::{Row, Verdict};
use crate::{Plan, numbers, plan::Source, sources::Network};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

/// `None` if the kernel chooses, or if the run chose loopback addresses by itself and they are there.
pub(super) fn sources(plan: &Plan) -> Option<Row> {
    let network = plan.source.network(&plan.target.addrs, plan.connections)?;
    let row = row(network, &plan.target.addrs);
    (plan.source != Source::Auto || row.verdict != Verdict::Enough).then_some(row)
}

fn row(network: Network, targets: &[SocketAddr]) -> Row {
    const NAME: &str = "source addresses";
    let first = network.get(0);
    if !targets.is_empty() && targets.iter().all(|target| target.is_ipv4() != first.is_ipv4()) {
        let kind = if first.is_ipv4() { "IPv6" } else { "IPv4" };
        let text = format!("{first} reaches no server of {kind}");
        return Row::new(NAME, text, Verdict::Short).or(|| vec![format!("give --src addresses of {kind}")]);
    }
    let missing = network.addresses().find_map(|ip| Some((ip, bind(ip).err()?)));
    match missing {
        None => {
            let count = numbers::count(network.len().into());
            Row::new(NAME, format!("{count}, from {first} on, are this machine's"), Verdict::Enough)
        }
        Some((ip, error)) if is_elsewhere(&error) => {
            Row::new(NAME, format!("{ip} is none of this machine's"), Verdict::Short).or(|| {
                vec![format!("sudo ip address add {ip} dev DEVICE, and so for each, or another --src")]
            })
        }
        Some((ip, error)) => Row::new(NAME, format!("{ip}: {error}"), Verdict::Unknown),
    }
}

/// To any port, which is given back at once.
fn bind(ip: IpAddr) -> io::Result<()> {
    UdpSocket::bind((ip, 0)).map(drop)
}

/// No interface has it; or none can, since IPv6 is turned off, or since it is an address of nobody.
fn is_elsewhere(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, InvalidInput, Unsupported};
    matches!(error.kind(), AddrNotAvailable | InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(network: &str, target: &str) -> Verdict {
        row(network.parse().unwrap(), &[target.parse().unwrap()]).verdict
    }

    #[test]
    fn addresses_that_no_interface_has_are_short() {
        assert_eq!(verdict("127.0.0.1", "127.0.0.1:80"), Verdict::Enough);
        // Of a network for documents (RFC 5737).
        assert_eq!(verdict("192.0.2.1", "127.0.0.1:80"), Verdict::Short);
        assert_eq!(verdict("127.0.0.1", "[::1]:80"), Verdict::Short);
    }
}

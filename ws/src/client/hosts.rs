//! Addresses of names, without the DNS.

use super::error::{ConnectError, Kind};
use std::{
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

const HOSTS: &str = if cfg!(windows) { r"C:\Windows\System32\drivers\etc\hosts" } else { "/etc/hosts" };
/// Bytes of the file that are read.
const READ_AT_MOST: u64 = 1 << 20;
/// Addresses that are tried.
const ADDRESSES: usize = 8;

/// The addresses of a name in lower case, in the order in which to try them; never none.
///
/// Cancel safe.
pub(super) async fn lookup(name: &str) -> Result<Vec<IpAddr>, ConnectError> {
    // These are never asked of anybody (RFC 6761, 6.3).
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let read = lakh_core::blocking(read_hosts).await.map_err(io::Error::other).flatten();
    let text = read.map_err(|error| ConnectError::new(Kind::Hosts(error)))?;
    let found = find(&text, name);
    if found.is_empty() { Err(ConnectError::new(Kind::Unknown(name.to_owned()))) } else { Ok(found) }
}

/// Blocks: for the pool. A file that is not there lists nothing.
fn read_hosts() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match File::open(HOSTS) {
        Ok(file) => file.take(READ_AT_MOST).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(text)
}

/// hosts(5): an address, then names; `#` begins a comment.
fn find(text: &[u8], name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        // An address with a zone is left out: it would need an interface.
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let is_it = words.any(|word| word.strip_suffix('.').unwrap_or(word).eq_ignore_ascii_case(name));
        if is_it && !found.contains(&address) && found.len() < ADDRESSES {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_hosts_file() {
        let text = b"# 10.0.0.9 db\n10.0.0.1\tdb.internal DB # main\r\nfe80::1%eth0 db\n::1 db\n10.0.0.1 db\n\xff db\nx db\n";
        let of = |name| find(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("db"), ["10.0.0.1", "::1"]);
        assert_eq!(of("db.internal"), ["10.0.0.1"]);
        assert!(of("main").is_empty() && of("internal").is_empty() && of("10.0.0.1").is_empty());
    }
}

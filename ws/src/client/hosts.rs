//! Addresses of names, without the DNS.

use super::error::{ConnectError, Kind};
use lakh_net::hosts;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Addresses that are tried.
const ADDRESSES: usize = 8;

/// The addresses of a name in lower case, in the order in which to try them; never none.
///
/// Cancel safe.
pub(super) async fn lookup(name: &str) -> Result<Vec<IpAddr>, ConnectError> {
    if hosts::is_localhost(name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let read = lakh_core::blocking(hosts::read).await.map_err(io::Error::other).flatten();
    let text = read.map_err(|error| ConnectError::new(Kind::Hosts(error)))?;
    let found = hosts::find(&text, name, ADDRESSES);
    if found.is_empty() { Err(ConnectError::new(Kind::Unknown(name.to_owned()))) } else { Ok(found) }
}

//! Sockets on shards with descriptor tables of their own, where what was made elsewhere is another file, or none.

use lakh_core::{Registration, Shard, sys::socket::Socket};
use socket2::{SockRef, Type};
use std::{io, mem};

/// Whether the current shard has a descriptor table of its own.
pub(crate) fn is_private() -> bool {
    lakh_core::try_with(Shard::has_private_descriptors).unwrap_or(false)
}

/// Why something cannot be done there.
pub(crate) fn refusal(what: &str) -> io::Error {
    let why = "this shard has a descriptor table of its own (`private_descriptors`)";
    io::Error::new(io::ErrorKind::Unsupported, format!("{what}: {why}"))
}

/// Gives back a socket that may have been made elsewhere, unless its number is none of such a socket here: then it
/// is left alone, as closing it would close what has its number.
pub(crate) fn check<S>(socket: S, kind: Type) -> io::Result<S>
where
    for<'a> SockRef<'a>: From<&'a S>,
{
    if !is_private() {
        return Ok(socket);
    }
    let here = SockRef::from(&socket);
    let is_one = here.r#type().is_ok_and(|found| found == kind)
        && here.local_addr().is_ok_and(|addr| addr.as_socket().is_some());
    if !is_one {
        mem::forget(socket);
        return Err(refusal("a socket was made in another table"));
    }
    Ok(socket)
}

/// Registers a socket. One whose number is registered already belongs to somebody else, and is left to them.
pub(crate) fn register<S: Socket>(mut socket: S) -> io::Result<(Registration, S)> {
    match Registration::socket(&mut socket, true) {
        Ok(registration) => Ok((registration, socket)),
        Err(error) => {
            if error.kind() == io::ErrorKind::AlreadyExists {
                mem::forget(socket);
            }
            Err(error)
        }
    }
}

//! What the kernel still holds of what was written.
#![allow(unsafe_code)]

use rustix::{
    io::Result,
    ioctl::{Getter, Opcode, ioctl},
};
use std::{ffi::c_int, os::fd::AsFd};

/// SIOCOUTQ in tcp(7), by its other name.
const OUTQ: Opcode = libc::TIOCOUTQ as Opcode;

/// Bytes in the socket's send queue that the peer has not acknowledged.
pub(crate) fn send_queue(socket: impl AsFd) -> Result<usize> {
    // SAFETY: the kernel answers this request with an `int`, in tcp(7).
    let bytes = unsafe { ioctl(socket, Getter::<OUTQ, c_int>::new()) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

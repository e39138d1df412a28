//! When the kernel last got something for a socket.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io, mem,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

/// How long ago the kernel got the newest bytes of a TCP connection, or the connection itself if there are none:
/// `tcpi_last_data_recv` of TCP_INFO in tcp(7), in the kernel's ticks of 1 to 10 ms.
pub(crate) fn since_received(socket: impl AsFd) -> io::Result<Duration> {
    // SAFETY: integers alone, for which all zeroes are values.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes `len` bytes at most, and says how many; older ones know fewer fields.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast::<c_void>(),
            &mut len,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::from_millis(info.tcpi_last_data_recv.into()))
}

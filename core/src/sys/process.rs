//! What std lacks of child processes.
#![cfg(unix)]

#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
#[path = "process/fallback.rs"]
mod pidfd;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[path = "process/pidfd.rs"]
mod pidfd;
mod unix;

pub(crate) use pidfd::PidFd;
pub(crate) use unix::{new_session, send_signal, send_signal_to_group, wait_until_ended};

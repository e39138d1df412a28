//! A clock that becomes readable.

#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
#[path = "alarm/fallback.rs"]
mod imp;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[path = "alarm/linux.rs"]
mod imp;

pub(crate) use imp::Alarm;

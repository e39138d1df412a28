//! A clock that becomes readable.

#[cfg(not(target_os = "linux"))]
#[path = "alarm/fallback.rs"]
mod imp;
#[cfg(target_os = "linux")]
#[path = "alarm/linux.rs"]
mod imp;

pub(crate) use imp::Alarm;

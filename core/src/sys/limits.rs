//! Limits of the process.

use std::io;

/// A limit on open descriptors, which every socket and file counts against. `u64::MAX` is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The limit in force.
    pub soft: u64,
    /// How far the process may raise the soft limit by itself.
    pub hard: u64,
}

/// Raises the soft limit on open descriptors to the hard limit, and returns what is in force then.
///
/// Shells set a soft limit of 1,024 for the sake of `select`, which nothing here uses. macOS refuses
/// more than 10,240 under an unlimited hard limit; there it becomes that. Windows has no such limit.
/// Source: `getrlimit(2)`.
///
/// # Errors
///
/// What the system says if it refuses.
///
/// # Examples
///
/// ```
/// let limits = lakh_core::sys::limits::raise_descriptor_limit()?;
/// assert!(limits.soft > 0 && limits.soft <= limits.hard);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise_descriptor_limit() -> io::Result<Limits> {
    imp::raise_descriptor_limit()
}

#[cfg(unix)]
mod imp {
    use super::Limits;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::io;

    /// `OPEN_MAX` in macOS's `<sys/syslimits.h>`.
    const OPEN_MAX: u64 = 10_240;

    pub(super) fn raise_descriptor_limit() -> io::Result<Limits> {
        let before = getrlimit(Resource::Nofile);
        let raise_to = |soft| setrlimit(Resource::Nofile, Rlimit { current: soft, ..before });
        if limits(&before).soft < limits(&before).hard {
            let within_open_max = |error| if limits(&before).soft < OPEN_MAX { Ok(()) } else { Err(error) };
            raise_to(before.maximum).or_else(|error| {
                within_open_max(error)?;
                raise_to(Some(OPEN_MAX.min(limits(&before).hard)))
            })?;
        }
        Ok(limits(&getrlimit(Resource::Nofile)))
    }

    fn limits(limit: &Rlimit) -> Limits {
        let or_none = |value: Option<u64>| value.unwrap_or(u64::MAX);
        Limits { soft: or_none(limit.current), hard: or_none(limit.maximum) }
    }
}

#[cfg(not(unix))]
mod imp {
    use super::Limits;
    use std::io;

    pub(super) fn raise_descriptor_limit() -> io::Result<Limits> {
        Ok(Limits { soft: u64::MAX, hard: u64::MAX })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_limit_and_raising_again_changes_nothing() {
        let limits = raise_descriptor_limit().unwrap();
        assert_eq!(limits.soft, limits.hard);
        assert_eq!(raise_descriptor_limit().unwrap(), limits);
    }
}

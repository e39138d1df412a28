//! What can go wrong, besides a wrong password.

use lakh_core::pool::{JobError, PoolFull};
use std::{borrow::Cow, error, fmt, io};

/// Why there is no hash or no verdict. A wrong password is none of these: it is a
/// [`Verdict`](crate::Verdict).
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Format(Cow<'static, str>),
    Costly(Cow<'static, str>),
    Password(Cow<'static, str>),
    Full { limit: usize },
    Refused(PoolFull),
    Lost(JobError),
    Io(io::Error),
}

impl Error {
    pub(crate) fn format(what: impl Into<Cow<'static, str>>) -> Error {
        Error(Kind::Format(what.into()))
    }

    pub(crate) fn costly(what: impl Into<Cow<'static, str>>) -> Error {
        Error(Kind::Costly(what.into()))
    }

    pub(crate) fn password(what: impl Into<Cow<'static, str>>) -> Error {
        Error(Kind::Password(what.into()))
    }

    pub(crate) fn full(limit: usize) -> Error {
        Error(Kind::Full { limit })
    }

    /// The text is no hash that is understood here.
    pub fn is_format(&self) -> bool {
        matches!(self.0, Kind::Format(_))
    }

    /// The costs are outside of what is allowed: nonsense, or more than the [`Hasher`](crate::Hasher) may take.
    pub fn is_cost(&self) -> bool {
        matches!(self.0, Kind::Costly(_))
    }

    /// The password cannot be hashed, since it is too long. What is displayed is meant for who chose it.
    pub fn is_password(&self) -> bool {
        matches!(self.0, Kind::Password(_))
    }

    /// As many wait already as may: later may go better. HTTP answers 503.
    pub fn is_full(&self) -> bool {
        match &self.0 {
            Kind::Full { .. } => true,
            Kind::Refused(refused) => refused.is_full(),
            _ => false,
        }
    }

    /// The pool has shut down.
    pub fn is_shutdown(&self) -> bool {
        match &self.0 {
            Kind::Refused(refused) => refused.is_shutdown(),
            Kind::Lost(lost) => lost.is_shutdown(),
            _ => false,
        }
    }
}

impl From<PoolFull> for Error {
    fn from(refused: PoolFull) -> Error {
        Error(Kind::Refused(refused))
    }
}

impl From<JobError> for Error {
    fn from(lost: JobError) -> Error {
        Error(Kind::Lost(lost))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error(Kind::Io(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Format(what) | Kind::Costly(what) | Kind::Password(what) => f.write_str(what),
            Kind::Full { limit } => write!(f, "{limit} passwords are being hashed already"),
            Kind::Refused(refused) => refused.fmt(f),
            Kind::Lost(lost) => lost.fmt(f),
            Kind::Io(error) => error.fmt(f),
        }
    }
}

impl error::Error for Error {}

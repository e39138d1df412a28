//! What can go wrong, besides a wrong password.

use lakh_core::{
    InputError,
    pool::{PoolFull, RunError},
};
use std::{borrow::Cow, error, fmt, io};

/// Why there is no hash or no verdict. A wrong password is none of these: it is a
/// [`Verdict`](crate::Verdict).
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Format(Cow<'static, str>),
    Costly(Cow<'static, str>),
    Password(InputError),
    Pool(RunError),
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
        Error(Kind::Password(InputError::new(what)))
    }

    pub(crate) fn full(limit: usize) -> Error {
        RunError::from(PoolFull::at_bound("passwords", limit)).into()
    }

    /// The same, with the line of the file in which it stands.
    pub(crate) fn at_line(self, line: usize) -> Error {
        let at = |what: Cow<'static, str>| Cow::from(format!("line {line}: {what}"));
        Error(match self.0 {
            Kind::Format(what) => Kind::Format(at(what)),
            Kind::Costly(what) => Kind::Costly(at(what)),
            other => other,
        })
    }

    /// The text is no hash, or no line of a password file, that is understood here.
    pub fn is_format(&self) -> bool {
        matches!(self.0, Kind::Format(_))
    }

    /// The costs are outside of what is allowed: nonsense, or more than the [`Hasher`](crate::Hasher) may take.
    pub fn is_cost(&self) -> bool {
        matches!(self.0, Kind::Costly(_))
    }

    /// The password cannot be hashed, since it is too long. What is displayed is meant for who chose it: a handler that
    /// returns the error by `?` answers 422 with it.
    pub fn is_password(&self) -> bool {
        matches!(self.0, Kind::Password(_))
    }

    /// As many wait already as may: later may go better. A handler that returns the error by `?` answers 503, with
    /// `Retry-After`.
    pub fn is_full(&self) -> bool {
        self.run_error().is_some_and(RunError::is_full)
    }

    /// What the pool says, or the bound before it.
    pub fn run_error(&self) -> Option<&RunError> {
        match &self.0 {
            Kind::Pool(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        Error(Kind::Pool(error))
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
            Kind::Format(what) | Kind::Costly(what) => f.write_str(what),
            Kind::Password(error) => error.fmt(f),
            Kind::Pool(error) => error.fmt(f),
            Kind::Io(error) => error.fmt(f),
        }
    }
}

impl error::Error for Error {
    /// What the pool or the system says, or what is for who chose the password. By it HTTP tells a full pool, which is 503,
    /// and a password that is unfit, which is 422, from other errors.
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Kind::Format(_) | Kind::Costly(_) => None,
            Kind::Password(error) => Some(error),
            Kind::Pool(error) => Some(error),
            Kind::Io(error) => Some(error),
        }
    }
}

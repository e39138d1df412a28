//! What can go wrong.

use crate::Coding;
use lakh_core::pool::RunError;
use std::{error, fmt};

/// Why there are no compressed or decompressed bytes.
#[derive(Debug, Clone)]
pub struct Error(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Malformed(Coding),
    Truncated(Coding),
    TooLong(u64),
    Encoder(Coding),
    Pool(RunError),
}

impl Error {
    pub(crate) fn malformed(coding: Coding) -> Error {
        Error(Kind::Malformed(coding))
    }

    pub(crate) fn truncated(coding: Coding) -> Error {
        Error(Kind::Truncated(coding))
    }

    pub(crate) fn too_long(limit: u64) -> Error {
        Error(Kind::TooLong(limit))
    }

    pub(crate) fn encoder(coding: Coding) -> Error {
        Error(Kind::Encoder(coding))
    }

    /// The bytes are none of this coding, or damaged, or something stands behind their end.
    pub fn is_malformed(&self) -> bool {
        matches!(self.0, Kind::Malformed(_))
    }

    /// The compressed bytes end before their end.
    pub fn is_truncated(&self) -> bool {
        matches!(self.0, Kind::Truncated(_))
    }

    /// More comes out than the limit allows.
    pub fn is_too_long(&self) -> bool {
        matches!(self.0, Kind::TooLong(_))
    }

    /// The cpu lane has no room: later may go better. A handler that returns the error by `?` answers 503.
    pub fn is_full(&self) -> bool {
        self.run_error().is_some_and(RunError::is_full)
    }

    /// What the pool says, of all that is left to its cpu lane.
    pub fn run_error(&self) -> Option<&RunError> {
        match &self.0 {
            Kind::Pool(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: Into<RunError>> From<E> for Error {
    fn from(error: E) -> Error {
        Error(Kind::Pool(error.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Malformed(coding) => write!(f, "what should be {coding} is not, or is damaged"),
            Kind::Truncated(coding) => write!(f, "the {coding} data ends too early"),
            Kind::TooLong(limit) => write!(f, "decompressed, it is longer than the limit of {limit} bytes"),
            Kind::Encoder(coding) => write!(f, "the {coding} encoder failed"),
            Kind::Pool(error) => error.fmt(f),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.run_error().map(|error| error as _)
    }
}

/// Why a stream of chunks ends too early: `E` is the error of the stream around which it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// The chunks did not come.
    Source(E),
    /// They came, and could not be compressed or decompressed.
    Coding(Error),
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Source(error) => error.fmt(f),
            StreamError::Coding(error) => error.fmt(f),
        }
    }
}

impl<E: error::Error + 'static> error::Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            StreamError::Source(error) => Some(error),
            StreamError::Coding(error) => Some(error),
        }
    }
}

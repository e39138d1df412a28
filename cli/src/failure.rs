//! Why the command ends early.

use std::{fmt, process::ExitCode};

/// What was wrong, with what value, and what to do; and the exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    /// What was asked for cannot be done.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Failure { message: message.into(), status: 2 }
    }

    /// It began, and failed.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Failure { message: message.into(), status: 1 }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

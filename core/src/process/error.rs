//! Why a program could not be run.

use crate::pool::RunError;
use std::{
    error,
    ffi::{OsStr, OsString},
    fmt, io,
    path::PathBuf,
    process,
};

/// Why a program could not be started, or not run to its end: what the system says, the pool, or a limit.
///
/// In a handler, `?` makes it 503 with `Retry-After` if the pool is full, and 500 otherwise. It becomes an
/// [`io::Error`] by `?`, which has the kind that the system gave and this error in it.
#[derive(Debug)]
pub struct ProcessError {
    fault: Fault,
    program: OsString,
    /// Where it was to run, if that was said: it may be what is not there.
    directory: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Pool(RunError),
    TooMuch { limit: usize },
}

/// What an error says of the command.
#[derive(Debug)]
pub(super) struct Name {
    program: OsString,
    directory: Option<PathBuf>,
}

impl Name {
    pub(super) fn of(command: &process::Command) -> Self {
        let directory = command.get_current_dir().map(PathBuf::from);
        Name { program: command.get_program().to_owned(), directory }
    }

    pub(super) fn error(self, fault: impl Into<Fault>) -> ProcessError {
        ProcessError { fault: fault.into(), program: self.program, directory: self.directory }
    }
}

impl ProcessError {
    /// The program, as it was given: for logs, and not for clients.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// There is no such program, or no such working directory.
    pub fn is_not_found(&self) -> bool {
        self.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// It wrote more than the limit that was given, and was killed.
    pub fn is_too_much(&self) -> bool {
        matches!(self.fault, Fault::TooMuch { .. })
    }

    /// The file lane is full, and nothing was started: later may go better.
    pub fn is_full(&self) -> bool {
        self.run_error().is_some_and(RunError::is_full)
    }

    /// What the pool says, if it took no job or lost it.
    pub fn run_error(&self) -> Option<&RunError> {
        match &self.fault {
            Fault::Pool(error) => Some(error),
            _ => None,
        }
    }

    /// What the system says.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot run {}", self.program.display())?;
        if let Some(directory) = &self.directory {
            write!(f, " in {}", directory.display())?;
        }
        match &self.fault {
            Fault::Io(error) => write!(f, ": {error}"),
            Fault::Pool(error) => write!(f, ": {error}"),
            Fault::TooMuch { limit } => write!(f, ": it wrote more than {limit} bytes"),
        }
    }
}

impl error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            Fault::Pool(error) => Some(error),
            Fault::TooMuch { .. } => None,
        }
    }
}

impl From<ProcessError> for io::Error {
    fn from(error: ProcessError) -> Self {
        let kind = match &error.fault {
            Fault::Io(error) => error.kind(),
            Fault::TooMuch { .. } => io::ErrorKind::FileTooLarge,
            Fault::Pool(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl<E: Into<RunError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Fault::Pool(error.into())
    }
}

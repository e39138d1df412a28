//! Why an operation on files failed.

use crate::pool::RunError;
use std::{
    error, fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why an operation on files failed: what the system says, or the pool.
///
/// In a handler, `?` makes it 503 with `Retry-After` if the pool is full, 507 if the disk is, and 500
/// otherwise. Clones are cheap.
///
/// It becomes an [`io::Error`] by `?`, which has the kind that the system gave and this error in it.
#[derive(Clone, Debug)]
pub struct FileError {
    fault: Fault,
    what: Option<Arc<What>>,
}

#[derive(Clone, Debug)]
enum Fault {
    Io(Arc<io::Error>),
    Pool(RunError),
    TooLarge { limit: u64 },
}

/// What was to be done.
#[derive(Debug)]
struct What {
    verb: &'static str,
    path: PathBuf,
}

impl FileError {
    fn new(fault: Fault) -> Self {
        FileError { fault, what: None }
    }

    pub(super) fn too_large(limit: u64) -> Self {
        Self::new(Fault::TooLarge { limit })
    }

    /// With words that say what failed.
    pub(super) fn doing(self, verb: &'static str, path: &Path) -> Self {
        FileError { what: Some(Arc::new(What { verb, path: path.to_owned() })), ..self }
    }

    /// The path of the file, if it is known: for logs, and not for clients.
    pub fn path(&self) -> Option<&Path> {
        self.what.as_ref().map(|what| &*what.path)
    }

    /// The file is longer than the limit that was given.
    pub fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooLarge { .. })
    }

    /// There is no such file or directory.
    pub fn is_not_found(&self) -> bool {
        self.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The file lane, or the share of the file's mount, is full, and nothing was done: later may go better.
    pub fn is_full(&self) -> bool {
        self.run_error().is_some_and(RunError::is_full)
    }

    /// What the pool says. If it [is full](RunError::is_full), the call may be made again: nothing is lost. If it
    /// has lost the job, the file is lost with it.
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

    /// The disk is full, the file too large for its filesystem, or its owner's quota used up.
    pub fn is_storage_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        self.io_error()
            .is_some_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// There is a file of this name, and it was not to be replaced.
    pub fn is_already_exists(&self) -> bool {
        self.io_error().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Some(what) => write!(f, "cannot {} {}: ", what.verb, what.path.display())?,
            None => f.write_str("the file cannot be used: ")?,
        }
        match &self.fault {
            Fault::Io(error) => error.fmt(f),
            Fault::Pool(error) => error.fmt(f),
            Fault::TooLarge { limit } => write!(f, "it is longer than {limit} bytes"),
        }
    }
}

impl error::Error for FileError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            Fault::Pool(error) => Some(error),
            Fault::TooLarge { .. } => None,
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        FileError::new(Fault::Io(Arc::new(error)))
    }
}

impl<E: Into<RunError>> From<E> for FileError {
    fn from(error: E) -> Self {
        FileError::new(Fault::Pool(error.into()))
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match &error.fault {
            Fault::Io(error) => error.kind(),
            Fault::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Fault::Pool(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

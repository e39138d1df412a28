//! Why a file cannot be written.

use crate::pool::{JobError, PoolFull};
use std::{error, fmt, io, sync::Arc};

/// Why a file cannot be written: what the system says, or the pool.
#[derive(Clone, Debug)]
pub struct FileError(Fault);

#[derive(Clone, Debug)]
enum Fault {
    Io(Arc<io::Error>),
    Refused(PoolFull),
    Lost(JobError),
}

impl FileError {
    /// The pool took no job. If it [is full](PoolFull::is_full) the call may be made again: nothing is lost.
    pub fn pool_full(&self) -> Option<&PoolFull> {
        match &self.0 {
            Fault::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// The pool has lost the job, and with it the file.
    pub fn job_error(&self) -> Option<&JobError> {
        match &self.0 {
            Fault::Lost(lost) => Some(lost),
            _ => None,
        }
    }

    /// What the system says.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.0 {
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
        match &self.0 {
            Fault::Io(error) => write!(f, "the file cannot be written: {error}"),
            Fault::Refused(refused) => write!(f, "the file cannot be written: {refused}"),
            Fault::Lost(lost) => write!(f, "the file cannot be written: {lost}"),
        }
    }
}

impl error::Error for FileError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(match &self.0 {
            Fault::Io(error) => error,
            Fault::Refused(refused) => refused,
            Fault::Lost(lost) => lost,
        })
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        FileError(Fault::Io(Arc::new(error)))
    }
}

impl From<PoolFull> for FileError {
    fn from(refused: PoolFull) -> Self {
        FileError(Fault::Refused(refused))
    }
}

impl From<JobError> for FileError {
    fn from(lost: JobError) -> Self {
        FileError(Fault::Lost(lost))
    }
}

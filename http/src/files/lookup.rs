//! Looking a file up and reading it, on a worker of the pool.

use super::{
    Options, READABLE, SMALL,
    etag::Validators,
    mime,
    open::{Group, OpenFile, Reach, close_waiting},
    root::{Place, Root},
};
use crate::response::FieldBlock;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use lakh_core::sys::file::{is_not_beneath, read_at};
use std::{
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Attempts at reading a file that is being written.
const ATTEMPTS: usize = 3;

/// Within this of a change, another one may leave the same time on the file.
const UNSETTLED: Duration = Duration::from_secs(2);

/// What to look up.
pub(super) struct Query {
    pub(super) root: Arc<Root>,
    pub(super) options: Arc<Options>,
    /// Taken from the folder; empty for the folder itself.
    pub(super) path: PathBuf,
    /// A folder, or the index file in it.
    pub(super) wants_folder: bool,
    pub(super) group: Group,
    /// By its text, the path does not leave the folder's mount.
    pub(super) at_home: bool,
    /// What was read before, if that may be all there is to know still.
    pub(super) known: Option<Identity>,
}

/// What was found, and when the filesystem was asked.
pub(super) struct Checked {
    pub(super) at: Instant,
    pub(super) found: Found,
}

pub(super) enum Found {
    /// What is known already.
    Same,
    File(Box<Facts>, Content),
    /// A folder that was asked for as a file.
    Folder,
    Nothing(StatusCode),
    /// On another mount than the path says: to be looked up among what is not known.
    Elsewhere(Box<Query>),
}

/// What is known of a file without its bytes.
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) validators: Validators,
    pub(super) content_type: &'static str,
    /// The header fields of a 200.
    pub(super) fields: Arc<FieldBlock>,
    pub(super) identity: Identity,
    /// It has not changed so lately that it could change again and look the same.
    pub(super) is_settled: bool,
}

pub(super) enum Content {
    Read(Bytes),
    Open(Arc<OpenFile>),
}

impl Query {
    pub(super) fn run(self) -> Checked {
        close_waiting(self.group);
        let at = Instant::now();
        let found = match self.root.place().and_then(|place| self.look_up(&place)) {
            Ok(found) => found,
            Err(error) if self.at_home && is_not_beneath(&error) => Found::Elsewhere(Box::new(self)),
            Err(error) => Found::Nothing(status_of(&error)),
        };
        Checked { at, found }
    }

    /// The same, counted for what is not known, and wherever it leads.
    pub(super) fn elsewhere(self) -> Self {
        Query { group: None, at_home: false, ..self }
    }

    fn look_up(&self, place: &Place) -> io::Result<Found> {
        if let Some(file) = &place.file {
            return self.open(place, file);
        }
        if !self.wants_folder {
            return self.open(place, &self.path);
        }
        for name in &self.options.index {
            match self.open(place, &self.path.join(name)) {
                Ok(Found::Folder) => {}
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Found::Nothing(StatusCode::NOT_FOUND))
    }

    fn open(&self, place: &Place, path: &Path) -> io::Result<Found> {
        for _ in 0..ATTEMPTS {
            let file = self.open_on_its_mount(place, path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Ok(Found::Folder);
            }
            if !metadata.is_file() {
                return Ok(Found::Nothing(StatusCode::NOT_FOUND));
            }
            let identity = Identity::of(&metadata);
            if self.known == Some(identity) {
                return Ok(Found::Same);
            }
            let facts = Box::new(Facts::new(path, &metadata, &self.options));
            let reach = if facts.size > SMALL { Reach::of(&file) } else { Reach::Pool };
            if facts.size > READABLE || reach == Reach::Sendable {
                let open = OpenFile::new(file, facts.size, reach, self.group, self.options.patience);
                return Ok(Found::File(facts, Content::Open(Arc::new(open))));
            }
            let bytes = read_small(&file, facts.size as usize)?;
            if bytes.len() as u64 == facts.size && Identity::of(&file.metadata()?) == identity {
                return Ok(Found::File(facts, Content::Read(bytes.into())));
            }
        }
        // It is being written all the time.
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn open_on_its_mount(&self, place: &Place, path: &Path) -> io::Result<File> {
        let symlinks = self.options.symlinks;
        if self.at_home {
            match place.dir.open_on_mount(path, symlinks) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => return result,
            }
        }
        place.dir.open_beneath(path, symlinks)
    }
}

/// Reads a file that has `size` bytes, or fewer if it shrinks meanwhile.
fn read_small(file: &File, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match read_at(file, &mut bytes[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

impl Facts {
    fn new(path: &Path, metadata: &Metadata, options: &Options) -> Self {
        let now = SystemTime::now();
        let (secs, nanos) = modified(metadata);
        let validators = Validators::new(secs, nanos, metadata.len(), now);
        let content_type = mime::content_type(path);
        Facts {
            size: metadata.len(),
            validators,
            content_type,
            fields: Arc::new(FieldBlock::new(fields(content_type, &validators, options))),
            identity: Identity::of(metadata),
            is_settled: is_settled(metadata, now),
        }
    }
}

fn fields(
    content_type: &'static str,
    validators: &Validators,
    options: &Options,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    if let Some(modified) = validators.last_modified {
        fields.push((header::LAST_MODIFIED, value(&modified.to_bytes())));
    }
    if let Some(etag) = validators.etag {
        fields.push((header::ETAG, value(etag.as_bytes())));
    }
    if let Some(cache_control) = &options.cache_control {
        fields.push((header::CACHE_CONTROL, cache_control.clone()));
    }
    fields
}

pub(super) fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("dates, tags and numbers are visible ASCII")
}

/// By what a file is recognised: as long as all of this is the same, so are its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    inode: (u64, u64),
    size: u64,
    modified: (i64, u32),
    changed: (i64, i64),
}

impl OpenFile {
    /// What the file is now. Does not wait if the file is local.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        Ok(Identity::of(&self.file().metadata()?))
    }
}

#[cfg(unix)]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Identity {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: modified(metadata),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(not(unix))]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Identity { inode: (0, 0), size: metadata.len(), modified: modified(metadata), changed: (0, 0) }
    }
}

/// Seconds since 1970, and nanoseconds.
#[cfg(unix)]
fn modified(metadata: &Metadata) -> (i64, u32) {
    use std::os::unix::fs::MetadataExt;
    (metadata.mtime(), metadata.mtime_nsec() as u32)
}

#[cfg(not(unix))]
fn modified(metadata: &Metadata) -> (i64, u32) {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or((0, 0), |since| (since.as_secs() as i64, since.subsec_nanos()))
}

/// Whether neither the bytes nor anything else of the file was changed just now, or will be.
fn is_settled(metadata: &Metadata, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_old =
        |secs: i64| u64::try_from(secs).map_or(true, |secs| secs + UNSETTLED.as_secs() < now.as_secs());
    #[cfg(unix)]
    let is_old_change = is_old(std::os::unix::fs::MetadataExt::ctime(metadata));
    #[cfg(not(unix))]
    let is_old_change = true;
    is_old(modified(metadata).0) && is_old_change
}

/// What a client is told when opening has failed. What is not there, is hidden behind a link, or is no file
/// that can be read is the same to it.
fn status_of(error: &io::Error) -> StatusCode {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename
        | ErrorKind::CrossesDevices => StatusCode::NOT_FOUND,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::ResourceBusy | ErrorKind::TimedOut | ErrorKind::OutOfMemory => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => status_of_errno(error),
    }
}

#[cfg(unix)]
fn status_of_errno(error: &io::Error) -> StatusCode {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        // Too many links; a socket; a device without a driver.
        Some(Errno::LOOP | Errno::NXIO | Errno::NODEV) => StatusCode::NOT_FOUND,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::STALE) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(not(unix))]
fn status_of_errno(_: &io::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

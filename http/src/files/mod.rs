//! Static files.
//!
//! A short file is served from a cache of the shard, with its header fields ready made; of a longer one the
//! cache holds the descriptor. Neither is ever more than a second stale. Whatever may have to wait for a
//! disk, another machine or a user-space filesystem runs on the pool's file lane, counted by mount: opening,
//! reading, and even closing. So a mount that hangs makes only its own requests wait, and those are given up
//! after [`Files::patience`].
//!
//! Longer files are sent by `sendfile` while the page cache holds their bytes, and read on the pool where it
//! does not, or does not say.
//!
//! Nothing is compressed, and no folder is listed.

mod answer;
mod cache;
mod conditional;
mod endpoint;
mod etag;
mod flight;
mod known;
mod lookup;
mod mime;
mod open;
mod path;
mod range;
mod root;
mod send;
mod text;

pub use lakh_core::sys::file::Symlinks;
pub use send::FileBody;

pub(crate) use send::FileSender;

use crate::handler::Endpoint;
use http::HeaderValue;
use lakh_core::Shard;
use root::{Kind, Root};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Files up to this length are read into memory as a whole, which is faster than sending them from the page
/// cache by a system call of its own.
const SMALL: u64 = 16 * 1024;
/// Files up to this length are read into memory if they cannot be sent from the page cache.
const READABLE: u64 = 64 * 1024;

/// The files of a folder, or one file, to be served by [`App::files`](crate::App::files).
///
/// By default:
///
/// - a folder is answered with its `index.html`, and asked for without its slash, with a redirect;
/// - names that begin with a dot are not found, but for `.well-known`;
/// - symbolic links are followed as long as they stay in the folder;
/// - what is not there, or no regular file, is 404; what the process may not read, 403.
///
/// A server with [private descriptor tables](crate::Server::private_descriptors) serves none: its start fails.
///
/// Clones share the open folder. The folder is opened by its path again and again: one that is replaced as
/// a whole, by a rename or by a symbolic link that is set anew, is noticed within a second, as is a file.
///
/// ```
/// use lakh_http::{App, Files, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let files = Files::dir(folder).cache_control("max-age=60").open()?;
/// let server = Server::new(move |_shard| App::new().files("/static", files.clone()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Files {
    path: PathBuf,
    kind: Kind,
    options: Options,
    root: Arc<OnceLock<Arc<Root>>>,
}

/// How files are served.
#[derive(Clone, Debug)]
struct Options {
    hidden: bool,
    index: Vec<PathBuf>,
    not_found: Option<PathBuf>,
    cache_control: Option<HeaderValue>,
    symlinks: Symlinks,
    cache: usize,
    patience: Duration,
}

impl Files {
    /// The files in the folder at `path`.
    pub fn dir(path: impl AsRef<Path>) -> Self {
        Self::new(path.as_ref(), Kind::Dir)
    }

    /// The file at `path`, served at the prefix itself. A symbolic link at `path` is followed, wherever it
    /// leads: whoever configures the server has named it.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::new(path.as_ref(), Kind::File)
    }

    fn new(path: &Path, kind: Kind) -> Self {
        let options = Options {
            hidden: false,
            index: vec!["index.html".into()],
            not_found: None,
            cache_control: None,
            symlinks: Symlinks::Follow,
            cache: 16 << 20,
            patience: Duration::from_secs(30),
        };
        Files { path: path.to_owned(), kind, options, root: Arc::default() }
    }

    /// Serves names that begin with a dot, too.
    pub fn hidden(mut self, show: bool) -> Self {
        self.options.hidden = show;
        self
    }

    /// The names of files that stand for their folder; the first that exists is served. None: a folder is
    /// 404.
    ///
    /// # Panics
    /// If a name is empty or has a slash in it.
    #[track_caller]
    pub fn index<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.index = names
            .into_iter()
            .map(|name| {
                let is_name = path::is_plain(name.as_bytes()) && !name.contains('/') && !name.is_empty();
                assert!(is_name, "{name:?} is no name of a file");
                PathBuf::from(name)
            })
            .collect();
        self
    }

    /// The page that is sent, with 404, for what is not there; relative to the folder. One file alone has
    /// none.
    pub fn not_found(mut self, page: impl AsRef<Path>) -> Self {
        self.options.not_found = Some(page.as_ref().to_owned());
        self
    }

    /// The `Cache-Control` field of files; error answers and redirects have none.
    ///
    /// # Panics
    /// If the value is not legal in a header.
    #[track_caller]
    pub fn cache_control(mut self, value: &str) -> Self {
        let value = HeaderValue::try_from(value).expect("a legal header value");
        self.options.cache_control = Some(value);
        self
    }

    /// What to do about symbolic links in the folder; by default they are followed as long as they stay in
    /// it. Refused ones are not found.
    pub fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.options.symlinks = symlinks;
        self
    }

    /// The size of each shard's cache, in bytes; 0 turns it off. It holds files of up to 16 KiB (64 KiB where
    /// they cannot be sent from the page cache), and at most 128 descriptors of longer ones. 16 MiB by default.
    pub fn cache(mut self, bytes: usize) -> Self {
        self.options.cache = bytes;
        self
    }

    /// How long the filesystem may take to open a file or to read the next part of it. Beyond it: 503, or
    /// the connection is cut if the answer has begun. 30 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// Opens the folder, or looks for the file: what cannot be served is known before the server listens.
    ///
    /// This may block. Without it, the first shard does it when it starts.
    ///
    /// # Errors
    /// If there is no such folder (or file), with its path in the message.
    pub fn open(self) -> io::Result<Self> {
        self.root()?;
        Ok(self)
    }

    fn root(&self) -> io::Result<Arc<Root>> {
        if let Some(root) = self.root.get() {
            return Ok(Arc::clone(root));
        }
        let root = Root::open(&self.path, self.kind).map_err(|error| {
            let path = self.path.display();
            io::Error::new(error.kind(), format!("cannot serve files of {path}: {error}"))
        })?;
        Ok(Arc::clone(self.root.get_or_init(|| Arc::new(root))))
    }

    /// What answers on this shard, for paths that begin with `prefix` bytes of no concern here.
    ///
    /// # Panics
    /// If the folder cannot be opened, or what the pool opens would be another file on this shard.
    #[track_caller]
    pub(crate) fn into_endpoint(self) -> impl Endpoint + 'static {
        let is_private = lakh_core::try_with(Shard::has_private_descriptors).unwrap_or(false);
        assert!(
            !is_private,
            "cannot serve files of {}: the pool opens them, and this shard has a descriptor table of its own \
             (`private_descriptors`)",
            self.path.display()
        );
        let root = self.root().unwrap_or_else(|error| panic!("{error}"));
        endpoint::FilesEndpoint::new(root, self.kind, self.options)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("path", &self.path).field("options", &self.options).finish()
    }
}

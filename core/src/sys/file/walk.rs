//! Opening beneath a directory, one component at a time.
//!
//! No call is given more than one name, and none follows a link: links are read and their text is put
//! in front of what is left to walk. `..` goes back to the descriptor the walk came from, so a directory
//! that is moved away meanwhile leads nowhere else.

use super::{Symlinks, not_beneath};
use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

/// How files are opened, here and by the faster ways.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Directories are opened to walk on from; Linux needs no permission to list them for that.
#[cfg(target_os = "linux")]
const WALK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const WALK: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Links followed at most, as the kernel has it.
const MAX_LINKS: usize = 40;
/// Directories below the first one at most: each holds a descriptor during the walk.
const MAX_DEPTH: usize = 128;
/// Components waiting to be walked at most, which links multiply.
const MAX_LEFT: usize = 4096;

pub(super) fn open(root: BorrowedFd<'_>, path: &Path, symlinks: Symlinks) -> io::Result<File> {
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT.into());
    }
    let must_be_dir = path.as_os_str().as_bytes().ends_with(b"/");
    let last_flags = if must_be_dir { READ | OFlags::DIRECTORY } else { READ };
    let mut walk = Walk { root, dirs: Vec::new(), left: Vec::new(), links: 0, symlinks };
    walk.push(path)?;
    walk.run(last_flags)
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// Where the walk is, and the way back.
    dirs: Vec<OwnedFd>,
    /// What is left of the path, the next component last.
    left: Vec<OsString>,
    links: usize,
    symlinks: Symlinks,
}

impl Walk<'_> {
    /// Puts a path in front of what is left.
    fn push(&mut self, path: &Path) -> io::Result<()> {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.left.push(name.to_owned()),
                Component::ParentDir => self.left.push("..".into()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(not_beneath()),
            }
        }
        if self.left.len() > MAX_LEFT { Err(Errno::NAMETOOLONG.into()) } else { Ok(()) }
    }

    fn run(&mut self, last_flags: OFlags) -> io::Result<File> {
        while let Some(name) = self.left.pop() {
            if name == ".." {
                self.dirs.pop().ok_or_else(not_beneath)?;
                continue;
            }
            let is_last = self.left.is_empty();
            let flags = if is_last { last_flags } else { WALK };
            match openat(self.here(), &name, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(fd) if is_last => return Ok(fd.into()),
                Ok(fd) => self.enter(fd)?,
                // Systems differ in what they call a link where none may be: look.
                Err(error) => self.follow(&name, error)?,
            }
        }
        let itself = openat(self.here(), ".", READ | OFlags::DIRECTORY, Mode::empty())?;
        Ok(itself.into())
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.dirs.last().map_or(self.root, AsFd::as_fd)
    }

    fn enter(&mut self, dir: OwnedFd) -> io::Result<()> {
        if self.dirs.len() == MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        self.dirs.push(dir);
        Ok(())
    }

    /// Follows a link that could not be opened because it is one; `error` if it is not.
    fn follow(&mut self, name: &OsStr, error: Errno) -> io::Result<()> {
        let Ok(target) = readlinkat(self.here(), name, Vec::new()) else { return Err(error.into()) };
        if self.symlinks == Symlinks::Refuse || self.links == MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        self.links += 1;
        self.push(Path::new(&OsString::from_vec(target.into_bytes())))
    }
}

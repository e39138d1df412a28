//! The open file and what becomes of it. Everything in here may block: for workers.

use super::{group::Group, held::Held};
use crate::sys::file::{mount_id, rename_new, sync_directory, write_all_at};
use std::{
    collections::hash_map::RandomState,
    fs::{self, File, Metadata, OpenOptions},
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Names that are tried for the file under work.
const NAMES: usize = 16;

/// How a file comes by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the place of what is there, at the end and at once.
    Replace,
    /// At the end, if there is nothing then.
    New,
    /// From the beginning.
    InPlace,
}

/// A file under work. Dropping it removes it, unless it is written in place.
#[derive(Debug)]
pub(super) struct Target {
    output: Output,
    path: PathBuf,
    /// Where it is until it has its name.
    under_work: Option<PathBuf>,
    mode: Mode,
}

#[derive(Debug)]
enum Output {
    Own(File),
    /// Others have it, too, so its own position is not used.
    Shared {
        file: Arc<Held<File>>,
        at: u64,
    },
}

impl Target {
    /// A part of a file that is open.
    pub(super) fn part(file: Arc<Held<File>>, path: &Path, at: u64) -> Self {
        let output = Output::Shared { file, at };
        Target { output, path: path.to_owned(), under_work: None, mode: Mode::InPlace }
    }

    pub(super) fn open(path: &Path, mode: Mode) -> io::Result<Self> {
        if mode == Mode::InPlace {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
            return Ok(Target { output: Output::Own(file), path: path.to_owned(), under_work: None, mode });
        }
        // What will fail at the end had better fail before a long upload.
        let replaced = match path.symlink_metadata() {
            Ok(_) if mode == Mode::New => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            found => found.ok().filter(Metadata::is_file),
        };
        let (file, under_work) = create_beside(path, replaced.is_some())?;
        let target =
            Target { output: Output::Own(file), path: path.to_owned(), under_work: Some(under_work), mode };
        if let Some(replaced) = replaced {
            // Dropped if it fails, and so removed.
            take_rights(target.file(), &replaced)?;
        }
        Ok(target)
    }

    pub(super) fn group(&self) -> Group {
        mount_id(self.file())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.output {
            Output::Own(file) => file.write_all(bytes),
            Output::Shared { file, at } => {
                write_all_at(file, bytes, *at)?;
                *at += bytes.len() as u64;
                Ok(())
            }
        }
    }

    fn file(&self) -> &File {
        match &self.output {
            Output::Own(file) => file,
            Output::Shared { file, .. } => file,
        }
    }

    /// Gives the file its name; with `sync`, on the disk, too.
    pub(super) fn finish(mut self, sync: bool) -> io::Result<()> {
        if sync {
            self.file().sync_all()?;
        }
        if let Some(under_work) = &self.under_work {
            match self.mode {
                Mode::New => rename_new(under_work, &self.path)?,
                _ => fs::rename(under_work, &self.path)?,
            }
        }
        self.under_work = None;
        match self.path.parent() {
            Some(folder) if sync => sync_directory(folder),
            _ => Ok(()),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(under_work) = &self.under_work {
            // Nobody waits for it any more, so there is no one to tell; its name says what it is.
            let _ = fs::remove_file(under_work);
        }
    }
}

/// Who may read, write and run the file, and no more: its owner may be another one, whose rights to become are not given
/// on (set-user-id).
#[cfg(unix)]
fn take_rights(file: &File, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let group = replaced.gid();
    let has_group = file.metadata()?.gid() == group || fchown(file, None, Some(group)).is_ok();
    let mode = replaced.permissions().mode() & 0o777;
    file.set_permissions(fs::Permissions::from_mode(if has_group { mode } else { of_another_group(mode) }))
}

/// What was allowed to a group that the file cannot have is no matter of the one that it has.
#[cfg(unix)]
fn of_another_group(mode: u32) -> u32 {
    let everybody = mode & 0o007;
    mode & (0o707 | everybody << 3)
}

/// A file that is read-only cannot be replaced here.
#[cfg(not(unix))]
fn take_rights(_file: &File, _replaced: &Metadata) -> io::Result<()> {
    Ok(())
}

/// A new file in the same folder, so that renaming it does not copy it. A private one is its owner's until it has its
/// rights.
fn create_beside(path: &Path, is_private: bool) -> io::Result<(File, PathBuf)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let _ = is_private;
    let folder = path.parent().filter(|_| path.file_name().is_some());
    let folder = folder.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES {
        let name = folder.join(format!(".lakh-{:016x}.part", random()));
        match options.open(&name) {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// Unlikely to come twice, which is all that is asked of it: `create_new` does the rest.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn another_group_may_do_no_more_than_everybody() {
        for (mode, left) in [(0o640, 0o600), (0o664, 0o644), (0o770, 0o700), (0o644, 0o644), (0o604, 0o604)] {
            assert_eq!(of_another_group(mode), left, "{mode:o}");
        }
    }
}

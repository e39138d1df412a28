//! What there is beneath a path, and how it differs from what there was.

use super::{
    super::held::Held,
    WatchEvent,
    settings::{Settings, is_gone},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata},
    io, mem,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Entries that a step looks at.
const BATCH: usize = 256;
/// More are not kept in memory.
const MAX_ENTRIES: usize = 1 << 20;

/// By their paths from the root on, the root's own being empty; a directory stands before what is in it.
pub(super) type Snapshot = BTreeMap<PathBuf, Stamp>;

/// What is different once a file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    is_dir: bool,
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and when that changed in seconds and nanoseconds; nothing elsewhere than on Unix.
    node: Option<(u64, u64, i64, i64)>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let node = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let node = None;
        let is_dir = metadata.is_dir();
        // Those of a directory change with what is in it, of which is told by itself.
        let length = if is_dir { 0 } else { metadata.len() };
        Stamp { is_dir, length, modified: metadata.modified().ok(), node }
    }

    fn has_changed(&self, before: &Stamp) -> bool {
        if self.is_dir && before.is_dir {
            return self.file() != before.file();
        }
        self != before
    }

    fn file(&self) -> Option<(u64, u64)> {
        self.node.map(|(device, inode, ..)| (device, inode))
    }

    /// Whether it is the same file by another name: its inode may have been given to a new one.
    fn is_same_file(&self, before: &Stamp) -> bool {
        self.file().is_some()
            && self.file() == before.file()
            && (self.is_dir, self.length, self.modified) == (before.is_dir, before.length, before.modified)
    }
}

/// Makes a snapshot, by steps.
pub(super) struct Look {
    settings: Arc<Settings>,
    before: Option<Arc<Held<Snapshot>>>,
    capacity: usize,
    todo: Vec<PathBuf>,
    open: Option<(PathBuf, Held<fs::ReadDir>)>,
    seen: Snapshot,
    refused: u64,
    has_begun: bool,
}

/// What has come of it.
pub(super) struct Seen {
    /// Freed by workers: there may be a million paths in it.
    pub(super) snapshot: Held<Snapshot>,
    /// How it differs from the one before; `None` if there is none, or more differs than was to be told.
    pub(super) events: Option<Vec<WatchEvent>>,
    /// What could not be read, and is taken to be as it was.
    pub(super) refused: u64,
}

impl Look {
    pub(super) fn new(settings: Arc<Settings>, before: Option<Arc<Held<Snapshot>>>, capacity: usize) -> Self {
        Look {
            settings,
            before,
            capacity,
            todo: Vec::new(),
            open: None,
            seen: Snapshot::new(),
            refused: 0,
            has_begun: false,
        }
    }

    pub(super) fn step(&mut self) -> io::Result<Option<Seen>> {
        if !mem::replace(&mut self.has_begun, true) {
            self.begin()?;
        }
        for _ in 0..BATCH {
            if let Some((folder, entries)) = &mut self.open {
                match entries.get_mut().next() {
                    Some(Ok(entry)) => {
                        let path = folder.join(entry.file_name());
                        self.see(path, &entry)?;
                    }
                    end => {
                        let Some((folder, entries)) = self.open.take() else { continue };
                        entries.close();
                        if end.is_some() {
                            self.refuse(&folder);
                        }
                    }
                }
            } else if let Some(folder) = self.todo.pop() {
                match self.settings.read_dir(&folder) {
                    Ok(entries) => self.open = Some((folder, entries)),
                    Err(error) if is_gone(&error) => {}
                    Err(_) => self.refuse(&folder),
                }
            } else {
                return Ok(Some(self.end()));
            }
        }
        Ok(None)
    }

    fn begin(&mut self) -> io::Result<()> {
        match fs::metadata(&self.settings.real) {
            Ok(metadata) => {
                self.add(PathBuf::new(), &metadata);
                Ok(())
            }
            Err(error) if is_gone(&error) => Ok(()),
            Err(_) if self.before.is_some() => {
                self.refuse(Path::new(""));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What cannot be read is not gone for that.
    fn refuse(&mut self, path: &Path) {
        self.refused += 1;
        if let Some(before) = &self.before {
            keep(before, path, &mut self.seen);
        }
    }

    fn see(&mut self, path: PathBuf, entry: &fs::DirEntry) -> io::Result<()> {
        if self.settings.ignores(&path) {
            return Ok(());
        }
        if self.seen.len() == MAX_ENTRIES {
            let why = format!("there are more than {MAX_ENTRIES} files, too many to be looked at one by one");
            return Err(io::Error::other(why));
        }
        match entry.metadata() {
            Ok(metadata) => self.add(path, &metadata),
            Err(error) if is_gone(&error) => {}
            Err(_) => self.refuse(&path),
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, metadata: &Metadata) {
        let is_root = path.as_os_str().is_empty();
        if metadata.is_dir() && (is_root || self.settings.recursive) {
            self.todo.push(path.clone());
        }
        self.seen.insert(path, Stamp::of(metadata));
    }

    fn end(&mut self) -> Seen {
        let snapshot = mem::take(&mut self.seen);
        let told = |path: &Path| self.settings.told(path);
        let events =
            self.before.as_ref().and_then(|before| differences(before, &snapshot, told, self.capacity));
        let snapshot = Held::new(snapshot, self.settings.group, self.settings.pool.clone());
        Seen { snapshot, events, refused: self.refused }
    }
}

/// Adds what there was of a path and beneath it, but for what was seen.
fn keep(before: &Snapshot, path: &Path, seen: &mut Snapshot) {
    let from_it_on = before.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
    let beneath = from_it_on.take_while(|(there, _)| there.starts_with(path));
    for (there, stamp) in beneath {
        seen.entry(there.clone()).or_insert_with(|| stamp.clone());
    }
}

/// `None` if they are more than `capacity`.
fn differences(
    before: &Snapshot,
    after: &Snapshot,
    told: impl Fn(&Path) -> PathBuf,
    capacity: usize,
) -> Option<Vec<WatchEvent>> {
    let gone = before.iter().filter(|(path, _)| !after.contains_key(*path));
    let mut gone_files: HashMap<(u64, u64), (&PathBuf, &Stamp)> =
        gone.clone().filter_map(|(path, stamp)| Some((stamp.file()?, (path, stamp)))).collect();
    // From the new names to the old ones.
    let mut renamed: HashMap<&Path, &Path> = HashMap::new();
    let mut events = Vec::new();
    for (path, stamp) in after {
        if let Some(old) = before.get(path) {
            if stamp.has_changed(old) {
                events.push(WatchEvent::Modified(told(path)));
            }
            continue;
        }
        let file = stamp
            .file()
            .filter(|file| gone_files.get(file).is_some_and(|(_, before)| stamp.is_same_file(before)));
        let Some((from, _)) = file.and_then(|file| gone_files.remove(&file)) else {
            events.push(WatchEvent::Created(told(path)));
            continue;
        };
        renamed.insert(path, from);
        // With the directory that it is in, of which is told already.
        let went_along = path.file_name() == from.file_name()
            && path.parent().is_some_and(|parent| renamed.get(parent).copied() == from.parent());
        if !went_along {
            events.push(WatchEvent::Renamed { from: told(from), to: told(path) });
        }
    }
    let from: std::collections::HashSet<&Path> = renamed.values().copied().collect();
    let removed = gone.filter(|(path, _)| !from.contains(path.as_path()));
    events.extend(removed.map(|(path, _)| WatchEvent::Removed(told(path))));
    (events.len() <= capacity).then_some(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stamp(inode: u64, is_dir: bool, age: u64) -> Stamp {
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(age));
        Stamp { is_dir, length: 0, modified, node: Some((1, inode, 0, 0)) }
    }

    fn snapshot<const N: usize>(entries: [(&str, Stamp); N]) -> Snapshot {
        entries.into_iter().map(|(path, stamp)| (path.into(), stamp)).collect()
    }

    fn told(before: &Snapshot, after: &Snapshot) -> Vec<WatchEvent> {
        differences(before, after, Path::to_path_buf, 100).unwrap()
    }

    #[test]
    fn a_directory_takes_its_files_along() {
        let before =
            snapshot([("a", stamp(1, true, 1)), ("a/x", stamp(2, false, 1)), ("y", stamp(3, false, 1))]);
        let after =
            snapshot([("b", stamp(1, true, 1)), ("b/x", stamp(2, false, 1)), ("b/z", stamp(3, false, 1))]);
        assert_eq!(
            told(&before, &after),
            [
                WatchEvent::Renamed { from: "a".into(), to: "b".into() },
                WatchEvent::Renamed { from: "y".into(), to: "b/z".into() },
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_taken_to_be_as_it_was() {
        let names = ["a", "b", "b/x", "b/x/y", "b/z", "b.txt", "c"];
        let before: Snapshot = names.map(|name| (name.into(), stamp(1, false, 1))).into();
        let mut seen = snapshot([("b", stamp(1, false, 2)), ("b/z", stamp(1, false, 2))]);
        keep(&before, Path::new("b"), &mut seen);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["b", "b/x", "b/x/y", "b/z"].map(Path::new));
        assert_eq!(told(&before, &seen).len(), 5, "two have changed, and three are not beneath it");
        let mut all = Snapshot::new();
        keep(&before, Path::new(""), &mut all);
        assert_eq!(all, before);
    }

    #[test]
    fn an_inode_that_a_new_file_has_got_is_no_rename() {
        let before = snapshot([("a", stamp(1, false, 1))]);
        let after = snapshot([("b", stamp(1, false, 2))]);
        assert_eq!(told(&before, &after), [WatchEvent::Created("b".into()), WatchEvent::Removed("a".into())]);
    }

    #[test]
    fn a_file_that_differs_is_told_and_a_directory_that_only_has_more_in_it_is_not() {
        let before = snapshot([("a", stamp(1, true, 1)), ("b", stamp(2, false, 1))]);
        let after = snapshot([("a", stamp(1, true, 9)), ("b", stamp(2, false, 9))]);
        assert_eq!(told(&before, &after), [WatchEvent::Modified("b".into())]);
        assert_eq!(differences(&before, &after, Path::to_path_buf, 0), None);
    }
}

//! Which mount a path is on, without asking the filesystem.
//!
//! A path on a mount that hangs (a server that is gone) cannot even be looked up without hanging. So
//! the question comes first, and is answered from the mount table and the text of the path alone.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A mount, as [`MountTable::lookup`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for the mount, unique among those that exist at one time.
    pub id: u32,
    /// The type of the filesystem, such as `ext4` or `fuse.sshfs`.
    pub fs_type: String,
    /// Whether the filesystem is known to answer from memory once the answer is cached, so that a shard
    /// may try a non-blocking open and read itself. See [`is_local`].
    pub local: bool,
}

/// One line of `mountinfo`, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's number.
    pub id: u32,
    /// The number of the mount it is mounted on.
    pub parent: u32,
    /// The directory of the filesystem that is mounted: `/`, except for bind mounts and the like.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The type of the filesystem.
    pub fs_type: String,
    /// The filesystem's own options, separated by commas.
    pub super_options: String,
}

/// The mounts of this process at one moment.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::mounts::MountTable;
/// use std::path::Path;
///
/// let table = MountTable::parse(
///     b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
///       2 1 0:40 / /srv/shared rw - nfs4 server:/export rw\n",
/// );
/// # if cfg!(unix) {
/// assert!(table.lookup(Path::new("/srv/index.html")).is_some_and(|mount| mount.local));
/// assert!(table.lookup(Path::new("/srv/shared/a")).is_some_and(|mount| !mount.local));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    /// By mount point: each mount there, with the one it is mounted on.
    by_point: HashMap<PathBuf, Vec<(Parent, usize)>>,
}

/// An index into the table's mounts, or `None` for a mount that the table does not show.
type Parent = Option<usize>;

impl MountTable {
    /// Reads `/proc/self/mountinfo`; empty elsewhere than on Linux. Source: `proc_pid_mountinfo(5)`.
    ///
    /// The file comes from memory and does not touch the mounted filesystems. Mounts come and go: read it
    /// again from time to time, or when the file polls as exceptional.
    ///
    /// # Errors
    ///
    /// What reading the file says, usually that `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        if cfg!(target_os = "linux") {
            std::fs::read("/proc/self/mountinfo").map(|text| Self::parse(&text))
        } else {
            Ok(Self::default())
        }
    }

    /// Builds the table from the text of `mountinfo`. Lines that do not parse are left out.
    pub fn parse(text: &[u8]) -> Self {
        let entries: Vec<MountEntry> = parse_mountinfo(text).collect();
        let by_id: HashMap<u32, usize> =
            entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let mut table = Self::default();
        for (at, entry) in entries.into_iter().enumerate() {
            let parent = by_id.get(&entry.parent).copied().filter(|parent| *parent != at);
            table.by_point.entry(entry.point).or_default().push((parent, at));
            let local = is_local(&entry.fs_type);
            table.mounts.push(Mount { id: entry.id, fs_type: entry.fs_type, local });
        }
        table
    }

    /// The mount that `path` is on, or `None` if the table does not say.
    ///
    /// The path must be absolute and without `..`; else the answer is `None`. It is taken by its text: a
    /// symlink in it may lead elsewhere, so pass canonical paths, or forbid crossing mounts when opening.
    ///
    /// The kernel's own walk is repeated: from the root down, into each mount that covers the point
    /// reached. So a mount over `/a` also hides what was mounted on `/a/b` before.
    pub fn lookup(&self, path: &Path) -> Option<&Mount> {
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        let mut here = None;
        let prefixes: Vec<&Path> = path.ancestors().collect();
        for prefix in prefixes.into_iter().rev() {
            here = self.top_at(prefix, here);
        }
        here.map(|at| &self.mounts[at])
    }

    /// Number of mounts.
    pub fn len(&self) -> usize {
        self.mounts.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// The topmost of the mounts stacked on `point` in the mount `here`; `here` itself if there is none.
    ///
    /// It ends, since each mount has one parent and is thus passed once at most.
    fn top_at(&self, point: &Path, mut here: Parent) -> Parent {
        let Some(mounts) = self.by_point.get(point) else { return here };
        while let Some((_, at)) = mounts.iter().rfind(|(parent, _)| *parent == here) {
            here = Some(*at);
        }
        here
    }
}

/// Whether filesystems of this type answer from memory once the answer is cached, and never wait for
/// another machine or process to do so.
///
/// The list is of what is known to; everything else is not local:
///
/// * Network and user-space filesystems (nfs, cifs, 9p, ceph, fuse and their kind) ask a peer whether
///   what they cached still holds, and may wait for the answer for ever.
/// * zfs takes locks of its own around its own cache, and may wait on them.
/// * overlay passes every question on to its layers. Those are usually local, but a container cannot
///   see them, and images that are fetched on demand have layers in user space. Volumes mounted into a
///   container have a type of their own, and count by it.
pub fn is_local(fs_type: &str) -> bool {
    const LOCAL: [&str; 11] =
        ["btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "ramfs", "rootfs", "squashfs", "tmpfs", "xfs"];
    LOCAL.contains(&fs_type)
}

/// Parses the text of `mountinfo` line by line, and leaves out lines that do not parse.
///
/// Source: `proc_pid_mountinfo(5)`.
///
/// # Examples
///
/// ```
/// use lakh_core::sys::mounts::parse_mountinfo;
/// use std::path::Path;
///
/// let text = br"36 35 98:0 /data /mnt/my\040disk rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
/// let mount = parse_mountinfo(text).next().unwrap();
/// assert_eq!((mount.id, mount.fs_type.as_str()), (36, "ext3"));
/// assert_eq!(mount.point, Path::new("/mnt/my disk"));
/// ```
pub fn parse_mountinfo(text: &[u8]) -> impl Iterator<Item = MountEntry> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// Fields: id, parent, device, root, mount point, options, any number of tags, `-`, type, source, options
/// of the filesystem.
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = parse_number(fields.next()?)?;
    let parent = parse_number(fields.next()?)?;
    let _device = fields.next()?;
    let root = into_path(unescape(fields.next()?));
    let point = into_path(unescape(fields.next()?));
    let _options = fields.next()?;
    fields.by_ref().find(|field| field == b"-")?;
    let fs_type = into_string(fields.next()?);
    let _source = fields.next()?;
    let super_options = into_string(fields.next().unwrap_or_default());
    Some(MountEntry { id, parent, root, point, fs_type, super_options })
}

fn parse_number(field: &[u8]) -> Option<u32> {
    str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's escapes: space, tab, newline and backslash are printed as `\` and three octal
/// digits. A backslash that is not one is kept.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if byte == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

fn into_string(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

#[cfg(unix)]
fn into_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn into_path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const MACHINE: &[u8] = b"\
        22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334524k,mode=755\n\
        25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        30 25 0:27 / /dev/shm rw,relatime shared:7 master:3 - ramfs ramfs rw\n\
        40 27 0:50 / /srv/remote rw - nfs4 server:/export rw,vers=4.2\n\
        41 40 259:1 /sub /srv/remote/disk rw - xfs /dev/nvme0n1p1 rw\n";

    fn found(table: &MountTable, path: &str) -> Option<(u32, bool)> {
        table.lookup(Path::new(path)).map(|mount| (mount.id, mount.local))
    }

    #[test]
    fn the_longest_prefix_of_whole_components_wins() {
        let table = MountTable::parse(MACHINE);
        assert_eq!(table.len(), 7);
        assert_eq!(found(&table, "/"), Some((27, true)));
        assert_eq!(found(&table, "/srv/index.html"), Some((27, true)));
        assert_eq!(found(&table, "/srv/remote"), Some((40, false)));
        assert_eq!(found(&table, "/srv/remote/a/b"), Some((40, false)));
        assert_eq!(found(&table, "/srv/remotely"), Some((27, true)));
        assert_eq!(found(&table, "/srv/remote/disk/x"), Some((41, true)));
        assert_eq!(found(&table, "//srv/./remote//disk/"), Some((41, true)));
    }

    #[test]
    fn the_mount_on_top_wins_at_the_same_point() {
        let table = MountTable::parse(MACHINE);
        assert_eq!(table.lookup(Path::new("/dev/shm/x")).unwrap().fs_type, "ramfs");
        let twice = b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /a rw - xfs b rw\n3 1 8:3 / /a rw - nfs c rw\n";
        assert_eq!(found(&MountTable::parse(twice), "/a/x"), Some((3, false)), "later wins");
    }

    #[test]
    fn a_mount_hides_what_was_mounted_below_it_before() {
        let text = b"\
            1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            2 1 8:2 / /a/b rw - xfs /dev/sda2 rw\n\
            3 1 0:9 / /a rw - nfs server:/ rw\n\
            4 3 8:3 / /a/c rw - ext4 /dev/sda3 rw\n";
        let table = MountTable::parse(text);
        assert_eq!(found(&table, "/a/b/x"), Some((3, false)));
        assert_eq!(found(&table, "/a/c/x"), Some((4, true)));
    }

    #[test]
    fn in_a_chroot_the_root_may_be_unknown() {
        let table = MountTable::parse(b"50 27 0:40 / /data rw - tmpfs tmpfs rw\n");
        assert_eq!(found(&table, "/data/x"), Some((50, true)));
        assert_eq!(found(&table, "/etc"), None);
    }

    #[test]
    fn relative_and_unclean_paths_are_refused() {
        let table = MountTable::parse(MACHINE);
        for path in ["", ".", "srv", "/srv/../dev", "/.."] {
            assert_eq!(found(&table, path), None, "{path}");
        }
    }

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(br"a\040b\011c\012d\134e\303\274"), "a b\tc\nd\\e\u{fc}".as_bytes());
        assert_eq!(unescape(br"\04 \9 \400 \"), br"\04 \9 \400 \");
        let table = MountTable::parse(br"9 8 0:1 / /mnt/my\040disk\134 rw - fuse.a\040b none rw");
        assert_eq!(table.lookup(Path::new("/mnt/my disk\\/x")).unwrap().fs_type, "fuse.a b");
    }

    #[test]
    fn rubbish_is_left_out_and_ends() {
        let text = b"\n1 0\nx y z\n\
            1 2 0:0 / / rw - ext4 a rw\n\
            2 1 0:0 / / rw - xfs b rw\n\
            7 7 0:0 / / rw - tmpfs c rw\n\xff";
        let table = MountTable::parse(text);
        assert_eq!(table.len(), 3);
        assert_eq!(found(&table, "/x"), Some((7, true)), "a loop of parents is not entered");
    }

    #[test]
    fn only_what_is_known_to_be_local_is() {
        for fs_type in
            ["overlay", "zfs", "fuse", "fuseblk", "fuse.sshfs", "nfs", "nfs4", "cifs", "9p", "virtiofs", ""]
        {
            assert!(!is_local(fs_type), "{fs_type}");
        }
        assert!(is_local("ext4") && is_local("tmpfs"));
    }
}

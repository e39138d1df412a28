//! Memory that can be had: the machine's, and what control groups leave of it.

use super::machine::numbers;
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// `MemAvailable`, in bytes.
pub(super) fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    numbers(line).next().map(|kilobytes| kilobytes.saturating_mul(1024))
}

/// What the process's own group and those above it leave, in bytes: the least of them.
pub(super) fn allowed(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let groups = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if controllers.is_empty() {
            Some((root.join("sys/fs/cgroup"), &VERSION_2, path))
        } else {
            let memory = controllers.split(',').any(|controller| controller == "memory");
            memory.then(|| (root.join("sys/fs/cgroup/memory"), &VERSION_1, path))
        }
    });
    groups.flat_map(|(mount, files, path)| up_from(mount, path).filter_map(|group| files.left(&group))).min()
}

/// What the files of a group are called.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: what is given back when memory is short.
    reclaimable: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};
const VERSION_2: Files = Files { limit: "memory.max", used: "memory.current", reclaimable: "inactive_file" };

/// A version 1 group without a limit says that it is this or more.
const NO_LIMIT: u64 = 1 << 60;

impl Files {
    /// `None` if there is no limit.
    fn left(&self, group: &Path) -> Option<u64> {
        let number = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|limit| *limit < NO_LIMIT)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable =
            stat.lines().find_map(|line| line.strip_prefix(self.reclaimable)?.trim().parse().ok());
        let used = number(self.used).unwrap_or(0).saturating_sub(reclaimable.unwrap_or(0));
        Some(limit.saturating_sub(used))
    }
}

/// A group's folder and those above it. In a container the path may begin above what can be seen of it.
fn up_from(mount: PathBuf, path: &str) -> impl Iterator<Item = PathBuf> {
    let names = Path::new(path).components().filter(|name| matches!(name, Component::Normal(_)));
    let mut group = mount.clone();
    group.extend(names);
    let above: Vec<PathBuf> =
        group.ancestors().take_while(|folder| folder.starts_with(&mount)).map(Path::to_path_buf).collect();
    above.into_iter()
}

//! CPU quotas of control groups, from the texts the kernel prints. Sources: `cgroups(7)`,
//! `cgroup-v2.rst` ("cpu.max") and `sched-bwc.rst` in the kernel's documentation.

use crate::sys::mounts::{MountEntry, parse_mountinfo};
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};

/// The smallest quota of our own group and its ancestors, in whole cores; `None` if there is no limit.
///
/// `read` returns the text of a file, or `None` if it cannot.
pub(super) fn quota(read: impl Fn(&Path) -> Option<String>) -> Option<NonZeroUsize> {
    let groups = Groups::parse(&read(Path::new("/proc/self/cgroup"))?);
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    parse_mountinfo(mounts.as_bytes()).filter_map(|mount| quota_under(&mount, &groups, &read)).min()
}

/// The path of our group in each hierarchy that can limit CPU time.
#[derive(Debug, Default, PartialEq)]
struct Groups {
    v2: Option<PathBuf>,
    v1_cpu: Option<PathBuf>,
}

impl Groups {
    /// Parses `/proc/self/cgroup`: lines of `number:controllers:path`, where version 2 is number 0 and
    /// names no controllers.
    fn parse(text: &str) -> Self {
        let mut groups = Self::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if number == "0" && controllers.is_empty() {
                groups.v2 = Some(path.into());
            } else if controllers.split(',').any(|name| name == "cpu") {
                groups.v1_cpu = Some(path.into());
            }
        }
        groups
    }
}

/// The smallest quota in one mounted hierarchy, from our group's directory up to the mount point.
fn quota_under(
    mount: &MountEntry,
    groups: &Groups,
    read: &impl Fn(&Path) -> Option<String>,
) -> Option<NonZeroUsize> {
    let is_v1_cpu = mount.fs_type == "cgroup" && mount.super_options.split(',').any(|option| option == "cpu");
    let is_v2 = mount.fs_type == "cgroup2";
    let group = match (is_v1_cpu, is_v2) {
        (true, _) => groups.v1_cpu.as_deref()?,
        (_, true) => groups.v2.as_deref()?,
        _ => return None,
    };
    let own = directory_of(group, mount);
    let up_to_mount = own.ancestors().take_while(|dir| dir.starts_with(&mount.point));
    up_to_mount.filter_map(|dir| if is_v2 { v2_quota(dir, read) } else { v1_quota(dir, read) }).min()
}

/// Where a group's files are. A container often sees only its own group, mounted as the root: then
/// the group's path, which is given from the host's root, does not lead through the mount.
fn directory_of(group: &Path, mount: &MountEntry) -> PathBuf {
    match group.strip_prefix(&mount.root) {
        Ok(below) if !below.components().any(|part| part == Component::ParentDir) => mount.point.join(below),
        _ => mount.point.clone(),
    }
}

fn v2_quota(dir: &Path, read: &impl Fn(&Path) -> Option<String>) -> Option<NonZeroUsize> {
    parse_cpu_max(&read(&dir.join("cpu.max"))?)
}

fn v1_quota(dir: &Path, read: &impl Fn(&Path) -> Option<String>) -> Option<NonZeroUsize> {
    let file = |name| read(&dir.join(name));
    parse_cfs(&file("cpu.cfs_quota_us")?, &file("cpu.cfs_period_us")?)
}

/// Parses `cpu.max`: quota and period in microseconds, the quota perhaps `max`, the period optional.
fn parse_cpu_max(text: &str) -> Option<NonZeroUsize> {
    let mut fields = text.split_ascii_whitespace();
    let quota = fields.next()?;
    cores(quota, fields.next().unwrap_or("100000"))
}

/// Parses `cpu.cfs_quota_us` (−1 for no limit) and `cpu.cfs_period_us`.
fn parse_cfs(quota: &str, period: &str) -> Option<NonZeroUsize> {
    cores(quota.trim_ascii(), period.trim_ascii())
}

/// Quota over period, rounded up; `None` for anything that is not a number, as no limit is.
fn cores(quota: &str, period: &str) -> Option<NonZeroUsize> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    if period == 0 {
        return None;
    }
    NonZeroUsize::new(usize::try_from(quota.div_ceil(period)).ok()?).or(Some(NonZeroUsize::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn quota_of(files: &[(&str, &str)]) -> Option<usize> {
        let files: HashMap<&Path, &str> =
            files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        quota(|path| files.get(path).map(|text| (*text).to_owned())).map(NonZeroUsize::get)
    }

    #[test]
    fn cpu_max_is_rounded_up_to_whole_cores() {
        let cores = |text| parse_cpu_max(text).map(NonZeroUsize::get);
        assert_eq!(cores("max 100000\n"), None);
        assert_eq!(cores("100000 100000\n"), Some(1));
        assert_eq!(cores("150000 100000\n"), Some(2));
        assert_eq!(cores("1000 100000\n"), Some(1));
        assert_eq!(cores("400000\n"), Some(4));
        for text in ["", "\n", "0 0", "many 100000", "-1 100000", "100000 x"] {
            assert_eq!(cores(text), None, "{text:?}");
        }
    }

    #[test]
    fn cfs_quota_minus_one_is_no_limit() {
        let cores = |quota, period| parse_cfs(quota, period).map(NonZeroUsize::get);
        assert_eq!(cores("-1\n", "100000\n"), None);
        assert_eq!(cores("250000\n", "100000\n"), Some(3));
        assert_eq!(cores("50000\n", "100000\n"), Some(1));
    }

    #[test]
    fn the_cpu_controller_is_found_by_its_whole_name() {
        let text = "12:cpuset:/a\n4:cpuacct,cpu:/b:c\n1:name=systemd:/d\n0::/e\nrubbish\n";
        let groups = Groups { v2: Some("/e".into()), v1_cpu: Some("/b:c".into()) };
        assert_eq!(Groups::parse(text), groups);
    }

    #[test]
    fn the_tightest_ancestor_counts_in_version_2() {
        let files = [
            ("/proc/self/cgroup", "0::/system.slice/lakh.service\n"),
            ("/proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"),
            ("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n"),
            ("/sys/fs/cgroup/system.slice/lakh.service/cpu.max", "800000 100000\n"),
        ];
        assert_eq!(quota_of(&files), Some(3));
        assert_eq!(quota_of(&files[..2]), None);
    }

    #[test]
    fn a_container_with_its_own_group_namespace_reads_the_mounted_root() {
        for group in ["0::/\n", "0::/../../host.slice\n"] {
            let files = [
                ("/proc/self/cgroup", group),
                ("/proc/self/mountinfo", "700 690 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
                ("/sys/fs/cgroup/cpu.max", "200000 100000\n"),
            ];
            assert_eq!(quota_of(&files), Some(2), "{group}");
        }
    }

    #[test]
    fn a_container_that_shares_the_namespace_finds_its_group_at_the_mount_point() {
        let files = [
            ("/proc/self/cgroup", "4:cpu,cpuacct:/docker/0123\n0::/system.slice\n"),
            (
                "/proc/self/mountinfo",
                "700 690 0:29 /docker/0123 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                 701 690 0:30 /docker/0123 /sys/fs/cgroup/cpuset ro master:12 - cgroup cgroup rw,cpuset\n",
            ),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota_of(&files), Some(2));
    }
}

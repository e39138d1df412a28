//! What the operating system must provide, and what stands in where it does not.
//!
//! Sockets, polling and processes come from mio and std. This module holds what they lack. Each item
//! exists on every platform with the same signature; Linux has the fast path, and the others answer
//! as follows, so that callers need no `cfg` of their own:
//!
//! | item | Linux | other Unix | Windows |
//! |---|---|---|---|
//! | [`cpu::cpu_quota`] | affinity and cgroup quotas | the number of cores | the number of cores |
//! | [`cpu::allowed_cpus`] | `sched_getaffinity` | all cores | all cores |
//! | [`cpu::pin_current_thread`] | `sched_setaffinity` | `Unsupported` | `Unsupported` |
//! | [`cpu::unpin_current_thread`] | `sched_setaffinity` | `Unsupported` | `Unsupported` |
//! | [`limits::raise_descriptor_limit`] | `setrlimit` | `setrlimit` | nothing to raise |
//! | what happens in directories | `inotify` | `Unsupported` | `Unsupported` |
//! | what the process uses | `/proc/self`, `clock_gettime`, `getrlimit` | the last two | nothing is known |
//! | what a socket is | `getsockname`, `SO_ACCEPTCONN` | the first; a listener is guessed | as other Unix |
//! | a thread's own descriptor table | `close_range(CLOSE_RANGE_UNSHARE)` | `Unsupported` | `Unsupported` |
//! | [`mounts::MountTable::read`] | `/proc/self/mountinfo` | empty | empty |
//! | [`file::Directory::open_beneath`] | `openat2` | component by component | canonical paths |
//! | [`file::Directory::open_on_mount`] | `RESOLVE_NO_XDEV` | `Unsupported` | `Unsupported` |
//! | [`file::read_at`] | `pread` | `pread` | `ReadFile` with an offset |
//! | [`file::read_at_nowait`] | `preadv2(RWF_NOWAIT)` | `Unsupported` | `Unsupported` |
//! | [`file::cached_bytes`] | `cachestat` | `Unsupported` | `Unsupported` |
//! | [`file::is_local`] | `fstatfs` | never | never |
//! | [`file::mount_id`] | `statx(STATX_MNT_ID)` | `None` | `None` |
//! | [`file::rename_new`] | `renameat2(RENAME_NOREPLACE)` | `link` and `unlink` | the same of Windows |
//! | [`file::sync_directory`] | `fsync` | `fsync` | nothing |
//! | [`file::write_all_at`] | `pwrite` | `pwrite` | `WriteFile` with an offset |
//! | [`file::space`] | `statvfs` | `statvfs` | `Unsupported` |
//! | [`file::symlink`] | `symlink` | `symlink` | `Unsupported` |
//! | a child process as a descriptor | `pidfd_open` | `Unsupported` | none |
//! | [`file::set_times`] | `utimensat` | `utimensat` | on the opened file |
//! | a terminal's settings | `tcsetattr` | `tcsetattr` | `tty` says `Unsupported` |
//!
//! [`Unsupported`](std::io::ErrorKind::Unsupported) is an answer, not a failure: the caller takes the
//! path that may block, on the pool. New kernels add calls and sandboxes take them away, so a Linux
//! backend gives the same answer where the kernel refuses.
//!
//! Text that the kernel prints is parsed by functions that take the text, apart from those that read
//! the files. `unsafe` stands in files of its own, which begin with `#![allow(unsafe_code)]`.

pub(crate) mod alarm;
pub mod cpu;
pub mod file;
pub(crate) mod inotify;
pub mod limits;
pub mod mounts;
pub(crate) mod process;
pub mod socket;
pub(crate) mod table;
#[cfg(unix)]
pub(crate) mod terminal;
pub(crate) mod usage;

//! Files, without a shard ever waiting for a disk.
//!
//! Every operation is a job of the pool's file lane, in the group of the file's mount: a mount that hangs takes
//! half of the workers at most, and files on others go on. The mount is known by the path's text, before anything
//! on it is asked; a link in it may lead elsewhere, and then the job counts there where the text says.
//!
//! - Whole files: [`read`], [`read_to_string`], [`write()`], [`copy`], and [`read_many`] for many small ones.
//! - Names and what is known of them: [`metadata`], [`read_dir`], [`rename`], [`create_temp_dir`] and others, which
//!   are called as in `std::fs`.
//! - Open files: [`File`], read and written at offsets, or in bounded memory by a [`FileReader`] and a [`FileWriter`].
//! - Files that come into being as a whole: [`FileWriter`].
//! - What happens to files and directories: [`watch()`].
//!
//! **Errors** are those of the system, with the path, or of the pool. A full lane refuses at once
//! ([`is_full`](FileError::is_full)), and `?` in a handler makes that 503.
//!
//! **Cancel safety.** A future that is dropped takes back what is queued: it is never done, and counts as
//! [`cancelled`](crate::pool::LaneMetrics::cancelled). What a worker is at cannot be cut off: it is done, and
//! nobody told. What is long (reading, writing, copying) is done a megabyte at a time, and ends there.
//!
//! **What may wait for ever.** Opening a FIFO waits for its other end, and no deadline around the future frees the
//! worker. Where others choose the path, look at it first, or serve it by `lakh-http`'s files, which open nothing
//! but regular files.
//!
//! ```
//! use lakh_core::fs::{self, FileWriter};
//!
//! let temp = tempfile::tempdir()?;
//! let path = temp.path().join("greeting.txt");
//! lakh_core::block_on(async move {
//!     let mut file = FileWriter::create(&path).await?;
//!     file.write_all(b"hello, ").await?;
//!     file.write_all(b"world").await?;
//!     file.finish().await?; // and only now is there a file of this name
//!     assert_eq!(fs::read_to_string(&path, 1000).await?, "hello, world");
//!     Ok::<(), fs::FileError>(())
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod error;
mod file;
mod group;
mod held;
mod job;
mod many;
mod names;
mod place;
mod read_dir;
mod reader;
mod target;
mod watch;
mod writer;

pub use crate::sys::file::Space;
pub use content::{copy, read, read_to_string, write};
pub use error::FileError;
pub use file::{File, OpenOptions};
pub use many::read_many;
pub use names::{
    canonicalize, chown, create_dir, create_dir_all, create_temp_dir, exists, hard_link, lchown, metadata,
    read_link, remove_dir, remove_dir_all, remove_file, rename, set_permissions, set_times, statfs, symlink,
    symlink_metadata,
};
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use reader::FileReader;
pub use watch::{Watch, WatchEvent, WatchOptions, watch};
pub use writer::{FileWriter, FileWriterOptions};

//! Writing files from a shard, which never waits for the disk itself.
//!
//! A [`FileWriter`] takes bytes as they come and has the pool's file lane write them: one job at a time,
//! in the group of the file's mount. Nothing here reads.
//!
//! ```
//! use lakh_core::fs::FileWriter;
//!
//! let temp = tempfile::tempdir()?;
//! let path = temp.path().join("greeting.txt");
//! let to = path.clone();
//! lakh_core::block_on(async move {
//!     let mut file = FileWriter::create(to).await?;
//!     file.write_all(b"hello, ").await?;
//!     file.write_all(b"world").await?;
//!     file.finish().await // and only now is there a file of this name
//! })??;
//! assert_eq!(std::fs::read_to_string(path)?, "hello, world");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod group;
mod place;
mod target;
mod writer;

pub use error::FileError;
pub use writer::{FileWriter, FileWriterOptions};

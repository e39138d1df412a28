//! Static files.

#[allow(dead_code)]
pub(crate) mod path;

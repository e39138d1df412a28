//! Static files.

#[allow(dead_code)]
pub(crate) mod conditional;
#[allow(dead_code)]
pub(crate) mod etag;
#[allow(dead_code)]
pub(crate) mod mime;
#[allow(dead_code)]
pub(crate) mod names;
#[allow(dead_code)]
pub(crate) mod navigation;
#[allow(dead_code)]
pub(crate) mod path;
#[allow(dead_code)]
pub(crate) mod range;
#[allow(dead_code)]
pub(crate) mod text;

//! HTTP/1.1.
#![forbid(unsafe_code)]
pub mod files;
pub mod proto;

//! Lakh's runtime.
#![deny(unsafe_code)]
pub mod histogram;
pub mod pool;
mod slab;
mod sync;
pub mod sys;
pub mod timer;

//! TCP and UDP.
#![deny(unsafe_code)]

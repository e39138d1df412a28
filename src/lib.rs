//! Lakh.
#![forbid(unsafe_code)]

//! Invariants of the parsers, as functions over arbitrary bytes.

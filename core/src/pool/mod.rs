//! The bounded pool.

//! When the shards of a runtime begin.

use std::sync::{Arc, OnceLock};

/// Lets the shards run, all at once, when each of them is there. Dropped before, it sends them home.
#[derive(Default)]
pub(super) struct Gate(pub(super) Arc<OnceLock<bool>>);

impl Gate {
    pub(super) fn open(&self) {
        let _ = self.0.set(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.set(false);
    }
}

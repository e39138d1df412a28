//! Code of the user's that may panic where a panic must not go farther.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs a handler, a stream, a renderer; `None` if it panicked. The panic hook has printed the message by then.
#[inline]
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            drop_guarded(payload);
            None
        }
    }
}

/// Drops a value of the user's: a handler, a stream, what was never asked for. False if its destructor
/// panicked; the panic hook has printed the message by then, and nothing else is harmed.
pub(crate) fn drop_guarded<T>(value: T) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return true };
    // What was thrown may panic once more, and so may what that throws.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
    false
}

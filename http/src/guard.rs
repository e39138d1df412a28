//! Destructors that are the user's code.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

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

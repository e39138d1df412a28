//! Running code that is not ours and may panic, where a panic must not go farther.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `f`; `None` if it panicked. The panic hook has printed the message by then.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // What was thrown may panic once more when it is dropped, and so may what that throws.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(second);
            }
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("what was thrown panics when it is dropped");
        }
    }

    #[test]
    fn a_value_passes_and_a_panic_ends_here() {
        assert_eq!(catch(|| 1), Some(1));
        assert_eq!(catch(|| panic!("on purpose")), None::<()>);
    }

    #[test]
    fn a_panic_that_throws_a_panicking_value_ends_here_too() {
        assert_eq!(catch(|| panic_any(PanicsWhenDropped)), None::<()>);
    }
}

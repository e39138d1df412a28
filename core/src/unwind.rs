//! Running code that is not ours and may panic, where a panic must not go farther.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `f`; `None` if it panicked. The panic hook has printed the message by then.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_message(f).ok()
}

/// As [`catch`], with the message, if it was a text.
pub(crate) fn catch_message<R>(f: impl FnOnce() -> R) -> Result<R, Option<Box<str>>> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Ok(value),
        Err(payload) => {
            let text = text_of(&*payload);
            // What was thrown may panic once more when it is dropped, and so may what that throws.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(second);
            }
            Err(text)
        }
    }
}

/// What was thrown, if that was a text.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> Option<Box<str>> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).map(Box::from)
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

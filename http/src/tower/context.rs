//! The context in which what belongs to another world is polled and dropped: tokio's, if that feature is on.

use crate::HandlerError;

/// How to get into the context.
#[derive(Clone)]
pub(super) struct Context {
    #[cfg(feature = "tokio")]
    handle: lakh_core::tokio::Handle,
}

impl Context {
    /// # Errors
    /// If tokio's runtime cannot be started.
    pub(super) fn get() -> Result<Self, HandlerError> {
        Ok(Context {
            #[cfg(feature = "tokio")]
            handle: lakh_core::tokio::handle()?,
        })
    }

    /// Inside of it until what this returns is dropped.
    #[cfg(feature = "tokio")]
    fn enter(&self) -> impl Sized + use<'_> {
        self.handle.enter()
    }

    #[cfg(not(feature = "tokio"))]
    fn enter(&self) -> impl Sized + use<> {}
}

/// A value that is used and dropped in a context only.
pub(super) struct Within<T> {
    context: Context,
    /// Taken when it is dropped.
    value: Option<T>,
}

impl<T> Within<T> {
    pub(super) fn new(context: Context, make: impl FnOnce() -> T) -> Self {
        let value = {
            let _inside = context.enter();
            Some(make())
        };
        Within { context, value }
    }

    pub(super) fn with<R>(&mut self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _inside = self.context.enter();
        self.value.as_mut().map(use_it)
    }
}

impl<T> Drop for Within<T> {
    fn drop(&mut self) {
        let _inside = self.context.enter();
        self.value = None;
    }
}

//! What a client has given and cannot be used, told in words for them.

use std::{borrow::Cow, error, fmt};

/// What somebody has given cannot be used, in words that are meant for them: for libraries that know nothing of HTTP.
///
/// An error that has one among its [sources](error::Error::source), or is one, becomes 422 in a handler by `?`, and the
/// client is told its text: keep it free of secrets.
///
/// ```
/// use lakh_core::InputError;
///
/// fn age(text: &str) -> Result<u8, InputError> {
///     text.parse().map_err(|_| InputError::new("an age is a number up to 255"))
/// }
///
/// assert_eq!(age("old").unwrap_err().to_string(), "an age is a number up to 255");
/// ```
#[derive(Clone, Debug)]
pub struct InputError(Cow<'static, str>);

impl InputError {
    /// With what is told to whoever has given it.
    pub fn new(text: impl Into<Cow<'static, str>>) -> InputError {
        InputError(text.into())
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for InputError {}

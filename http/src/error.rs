//! What handlers give instead of an answer, and how it becomes one.

use crate::{
    body::BodyError,
    extract::FormError,
    into_response::IntoResponse,
    response::{Fields, Response, TEXT},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lakh_core::{
    InputError,
    fs::FileError,
    pool::{JobError, PoolFull, RunError},
};
use std::{any::Any, borrow::Cow, error::Error, fmt};

/// Where sources refer to each other for ever, somebody has made a mistake.
const MAX_SOURCES: usize = 8;

/// What a handler returns that can fail; `?` works with every error.
///
/// ```
/// use lakh_http::{HandlerError, HandlerResult, StatusCode};
///
/// fn page(number: &str) -> HandlerResult<String> {
///     let number: u32 = number
///         .parse()
///         .map_err(|_| HandlerError::new(StatusCode::BAD_REQUEST, "a page is a number"))?;
///     let text = std::fs::read_to_string("/no/such/file")?; // 500; the client is not told why
///     Ok(format!("{number}: {text}"))
/// }
///
/// assert_eq!(page("x").unwrap_err().status(), StatusCode::BAD_REQUEST);
/// assert_eq!(page("1").unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
/// ```
pub type HandlerResult<T = Response> = Result<T, HandlerError>;

/// An error with the status and the words that the client is told, and the cause that it is not.
///
/// Every [`std::error::Error`] becomes one by `?`: what this crate's own extractors, bodies and the pool
/// refuse keeps its status, and so does an error with a refusal of the pool or a full disk among its
/// [sources](std::error::Error::source) (a password that cannot be hashed now). One with an [`InputError`] among them (a
/// password that is too long) is 422 with the text of that; anything else is 500, and its text stays here. All of them are turned into answers in one place, [`App::on_error`](crate::App::on_error).
pub struct HandlerError(Box<Inner>);

struct Inner {
    status: StatusCode,
    message: Cow<'static, str>,
    fields: Fields,
    cause: Option<Box<dyn Error>>,
}

impl HandlerError {
    /// An error that the client is told in these words. A status that is none of an error counts as 500.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::INTERNAL_SERVER_ERROR };
        HandlerError(Box::new(Inner { status, message: message.into(), fields: Fields::new(), cause: None }))
    }

    /// An error of which the client is told the status alone.
    pub fn status_only(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Error"))
    }

    /// 400 in these words.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 in these words.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 500; the client is not told why.
    pub fn internal(cause: impl Into<Box<dyn Error>>) -> Self {
        Self::status_only(StatusCode::INTERNAL_SERVER_ERROR).with_cause(cause)
    }

    /// Keeps what it was caused by, for the log.
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Sets a header field of the answer, by the rule of [`Response::with_header`]: in the place of all others
    /// of its name, but for `Set-Cookie`.
    ///
    /// ```
    /// use lakh_http::{HandlerError, StatusCode, header};
    ///
    /// let busy = HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE).with_header(header::RETRY_AFTER, 7);
    /// ```
    ///
    /// # Panics
    /// If name or value are not legal in a header.
    #[track_caller]
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().ok().expect("a legal header name");
        let value = value.try_into().ok().expect("a legal header value");
        if name != header::SET_COOKIE {
            self.0.fields.retain(|(n, _)| *n != name);
        }
        self.0.fields.push((name, value));
        self
    }

    /// For an answer whose status was changed on its way; other statuses than those of errors are left out.
    pub(crate) fn set_status(&mut self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.0.status = status;
        }
    }

    /// The status of the answer: of a client's or a server's error.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What it was caused by. It may tell secrets: it is for the log.
    pub fn cause(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref()
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { status, message, cause, .. } = &*self.0;
        f.debug_struct("HandlerError")
            .field("status", status)
            .field("message", message)
            .field("cause", cause)
            .finish()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status.as_u16(), self.0.message)?;
        match &self.0.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl<E: Error + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(error) = any.downcast_ref::<BodyError>() {
            saying_when(HandlerError::new(error.status(), error.to_string()))
        } else if let Some(error) = any.downcast_ref::<FormError>() {
            saying_when(HandlerError::new(error.status(), error.to_string()))
        } else {
            let answer = of_chain(&error);
            // What the client is told is all that there is.
            match answer.message() == error.to_string() {
                true => answer,
                false => answer.with_cause(error),
            }
        }
    }
}

/// By the first of an error and its sources that is known here; 500 if none is.
fn of_chain(error: &(dyn Error + 'static)) -> HandlerError {
    let chain = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let known = chain.take(1 + MAX_SOURCES).find_map(|error| match error.downcast_ref::<InputError>() {
        Some(input) => Some(HandlerError::new(StatusCode::UNPROCESSABLE_ENTITY, input.to_string())),
        None => status_of(error).map(HandlerError::status_only),
    });
    saying_when(known.unwrap_or_else(|| HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR)))
}

/// Who is told to come back is told when.
fn saying_when(error: HandlerError) -> HandlerError {
    match error.status() {
        StatusCode::SERVICE_UNAVAILABLE => error.with_header(header::RETRY_AFTER, 1),
        _ => error,
    }
}

/// 503 for a pool that is full or has shut down, 507 for a full disk (RFC 4918, 11.5); 500 for a job that has panicked,
/// and for a lane that the pool does not have.
pub(crate) fn status_of(error: &(dyn Error + 'static)) -> Option<StatusCode> {
    let may_come_back = if let Some(error) = error.downcast_ref::<PoolFull>() {
        error.is_full() || error.is_shutdown()
    } else if let Some(error) = error.downcast_ref::<JobError>() {
        error.is_shutdown()
    } else if let Some(error) = error.downcast_ref::<RunError>() {
        error.is_full() || error.is_shutdown()
    } else {
        let is_full = error.downcast_ref::<FileError>().is_some_and(FileError::is_storage_full);
        return is_full.then_some(StatusCode::INSUFFICIENT_STORAGE);
    };
    Some(match may_come_back {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

impl IntoResponse for HandlerError {
    /// The status, and the message as plain text.
    fn into_response(mut self) -> Response {
        let mut response = Response::new(self.0.message.clone().into_owned())
            .with_status(self.0.status)
            .with_content_type(TEXT);
        for (name, value) in self.0.fields.drain(..) {
            response = response.with_header(name, value);
        }
        response.parts.origin = Origin::Error(self);
        response
    }
}

/// Whether an answer tells of an error.
#[derive(Debug, Default)]
pub(crate) enum Origin {
    /// A handler has made it.
    #[default]
    Handler,
    /// A status with its name: of the server itself, or a handler's bare [`StatusCode`].
    Status,
    Error(HandlerError),
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

impl IntoResponse for PoolFull {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

impl IntoResponse for RunError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

impl IntoResponse for FileError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

impl IntoResponse for JobError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_507_and_keeps_its_cause_here() {
        let full = FileError::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let error = HandlerError::from(full);
        assert_eq!(error.status(), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(error.message(), "Insufficient Storage");
        assert!(error.cause().is_some());
        let other = FileError::from(std::io::Error::other("/secret/path"));
        assert_eq!(HandlerError::from(other).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_a_full_pool_has_caused_is_503_and_says_when_to_come_back() {
        #[derive(Debug)]
        struct Wrapped(Option<Box<dyn Error>>);
        impl fmt::Display for Wrapped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("wrapped")
            }
        }
        impl Error for Wrapped {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.0.as_deref()
            }
        }
        let refused = || Wrapped(Some(Box::new(PoolFull::at_bound("hashes", 1))));
        let run = Wrapped(Some(Box::new(RunError::from(PoolFull::at_bound("hashes", 1)))));
        for error in [refused(), Wrapped(Some(Box::new(refused()))), run] {
            let error = HandlerError::from(error);
            assert_eq!(
                (error.status(), error.message()),
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            );
            assert!(error.cause().unwrap().is::<Wrapped>());
            assert_eq!(error.into_response().header("retry-after").unwrap(), "1");
        }
        assert_eq!(HandlerError::from(Wrapped(None)).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_a_client_has_given_and_cannot_be_used_is_422_in_the_words_for_them() {
        let error = HandlerError::from(InputError::new("too long"));
        assert_eq!((error.status(), error.message()), (StatusCode::UNPROCESSABLE_ENTITY, "too long"));
        assert!(error.cause().is_none(), "there is nothing to log");
        let wrapped = HandlerError::from(std::io::Error::other(Wrapped(InputError::new("too long"))));
        assert_eq!((wrapped.status(), wrapped.message()), (StatusCode::UNPROCESSABLE_ENTITY, "too long"));
        assert!(wrapped.cause().is_some());

        #[derive(Debug)]
        struct Wrapped(InputError);
        impl fmt::Display for Wrapped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the secret")
            }
        }
        impl Error for Wrapped {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
    }

    #[test]
    fn a_full_lane_of_files_is_503() {
        let full = || FileError::from(PoolFull::at_bound("file", 4096));
        for error in [HandlerError::from(full()), HandlerError::from(std::io::Error::from(full()))] {
            assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(error.into_response().header("retry-after").unwrap(), "1");
        }
    }

    #[test]
    fn causes_stay_here_and_statuses_are_those_of_errors() {
        let error = HandlerError::from(std::io::Error::other("the password is 1234"));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.message(), "Internal Server Error");
        assert!(error.cause().unwrap().to_string().contains("1234"));
        assert_eq!(HandlerError::new(StatusCode::OK, "x").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

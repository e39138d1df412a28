use super::FromHead;
use crate::{HandlerError, request::Head};
use http::{HeaderMap, Method, StatusCode, Version};
use std::convert::Infallible;

impl<S> FromHead<S> for Method {
    type Rejection = Infallible;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, Infallible> {
        Ok(head.method().clone())
    }
}

impl<S> FromHead<S> for Version {
    type Rejection = Infallible;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, Infallible> {
        Ok(head.version())
    }
}

impl<S> FromHead<S> for HeaderMap {
    type Rejection = Infallible;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, Infallible> {
        Ok(head.header_map())
    }
}

/// A clone of what middleware has left with the request
/// ([`Request::insert_extension`](crate::Request::insert_extension)).
///
/// Refused with 500 if there is none: the middleware is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extension<T>(pub T);

impl<S, T: Clone + 'static> FromHead<S> for Extension<T> {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        head.extension::<T>().cloned().map(Extension).ok_or_else(|| {
            let missing = format!("no middleware has left a {}", std::any::type_name::<T>());
            HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR).with_cause(missing)
        })
    }

    fn is_absent(head: &Head<'_>) -> bool {
        head.extension::<T>().is_none()
    }
}

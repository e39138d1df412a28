use super::{FromRequest, has_no_body, query::from_urlencoded};
use crate::{HandlerError, request::Request};
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

/// What an HTML form sends in the body as `application/x-www-form-urlencoded`, by serde.
///
/// Another `Content-Type` is refused with 415, a body that does not fit with 400. Forms with files are
/// `multipart/form-data`: [`Multipart`](super::Multipart).
#[derive(Debug, Clone, Copy, Default)]
pub struct Form<T>(pub T);

impl<S, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = HandlerError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        if !request.head().header(header::CONTENT_TYPE).is_some_and(is_form) {
            let expected = "the body has to be a form: send Content-Type: application/x-www-form-urlencoded";
            return Err(HandlerError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
        }
        from_urlencoded(&request.into_body().bytes().await?, "the form").map(Form)
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

fn is_form(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

use super::{FromRequest, has_no_body};
use crate::{HandlerError, body::RequestBody, request::Request};
use bytes::Bytes;
use std::convert::Infallible;

impl<S> FromRequest<S> for Request {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(request)
    }
}

impl<S> FromRequest<S> for RequestBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(request.into_body())
    }
}

impl<S> FromRequest<S> for Bytes {
    type Rejection = HandlerError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        Ok(request.into_body().bytes().await?)
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

impl<S> FromRequest<S> for Vec<u8> {
    type Rejection = HandlerError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        Ok(request.into_body().bytes().await?.into())
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

impl<S> FromRequest<S> for String {
    type Rejection = HandlerError;

    /// Refused with 400 if the body is not UTF-8.
    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        let bytes = request.into_body().bytes().await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            HandlerError::bad_request(format!("the body is not UTF-8 from byte {at} on"))
        })
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

//! Parameters of handlers, made of the request.
//!
//! | of the head: [`FromHead`], in any place | |
//! |---|---|
//! | [`Path`] | parameters of the route's path |
//! | [`Query`] | the query string |
//! | [`State`] | the app's state, or a part of it |
//! | [`Method`], [`Version`], [`HeaderMap`] | what they say |
//! | [`Cookies`](crate::cookies::Cookies), signed and private ones | what the client has sent of them |
//! | [`ClientAddr`] | who has sent the request |
//! | [`BaseUrl`] | scheme and host that the client has used |
//! | [`LastEventId`](crate::sse::LastEventId) | which event a client had last |
//! | [`Extension`], [`RequestId`](crate::middleware::RequestId) | what middleware has left |
//! | `Option<T>`, `Result<T, T::Rejection>`, tuples | made of others |
//!
//! | of the body, too: [`FromRequest`], last in an async handler | |
//! |---|---|
//! | [`Json`], [`Form`] | the body, by serde |
//! | [`Multipart`] | a form with files, field by field |
//! | [`Bytes`], [`String`], `Vec<u8>` | the body as it is |
//! | [`RequestBody`] | the body as a stream |
//! | [`Request`] | everything |
//!
//! What is refused is a [`HandlerError`] with a status of 4xx and words that say what was wrong.

mod body;
mod client;
mod form;
mod head;
mod json;
mod multipart;
mod path;
mod query;
mod state;

pub use client::{BaseUrl, ClientAddr};
pub use form::Form;
pub use head::Extension;
pub use json::Json;
pub use multipart::{Field, FormError, Multipart, MultipartLimits};
pub use path::Path;
pub use query::Query;
pub use state::{FromState, State};

#[cfg(doc)]
use crate::{Bytes, HandlerError, HeaderMap, Method, RequestBody, Version};
use crate::{
    into_response::IntoResponse,
    request::{Head, Request},
    response::Response,
};
use std::future::Future;

/// Neither a body nor a word about one.
pub(crate) fn has_no_body(request: &Request) -> bool {
    request.body().length() == Some(0) && request.head().header(http::header::CONTENT_TYPE).is_none()
}

/// A handler's parameter that is made of the request's head alone, at once.
///
/// ```
/// use lakh_http::{App, HandlerError, Head, StatusCode, extract::FromHead};
///
/// /// The version of the API that the client asks for.
/// struct ApiVersion(u32);
///
/// impl<S> FromHead<S> for ApiVersion {
///     type Rejection = HandlerError;
///
///     fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
///         let version = head.header("x-api-version").and_then(|value| std::str::from_utf8(value).ok());
///         let number = version.and_then(|version| version.parse().ok());
///         number.map(ApiVersion).ok_or_else(|| HandlerError::bad_request("which x-api-version?"))
///     }
/// }
///
/// let app = App::new().get("/", |version: ApiVersion| format!("version {}", version.0));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no parameter that a handler can have for an app whose state is `{S}`",
    note = "implement `FromHead<S>` for it, or, if it needs the body or has to wait, `FromRequest<S>`"
)]
pub trait FromHead<S = ()>: Sized {
    /// What the client gets instead of the handler's answer.
    type Rejection: IntoResponse;

    /// Makes the parameter.
    ///
    /// # Errors
    /// What the client is told if it cannot be made.
    fn from_head(head: &Head<'_>, state: &S) -> Result<Self, Self::Rejection>;

    /// Whether the request has nothing that it could be made of, for `Option`: then that is `None`. What is there
    /// and wrong is refused all the same. By default nothing is ever absent.
    fn is_absent(_head: &Head<'_>) -> bool {
        false
    }
}

/// A handler's last parameter, which may take the body and may wait.
///
/// A type implements this or [`FromHead`], not both. To have it beside another one that takes the body,
/// make it hold that one:
///
/// ```
/// use lakh_http::{HandlerError, Request, StatusCode, extract::FromRequest};
///
/// /// What a user sends who has logged in; asking the sessions takes a while.
/// struct ByUser<T> {
///     user: String,
///     sent: T,
/// }
///
/// impl<S, T: FromRequest<S, Rejection = HandlerError>> FromRequest<S> for ByUser<T> {
///     type Rejection = HandlerError;
///
///     async fn from_request(request: Request, state: &S) -> Result<Self, HandlerError> {
///         let Some(key) = request.head().header("x-session").map(<[u8]>::to_vec) else {
///             return Err(HandlerError::new(StatusCode::UNAUTHORIZED, "log in first"));
///         };
///         let user = user_of_session(&key).await?;
///         Ok(ByUser { user, sent: T::from_request(request, state).await? })
///     }
/// }
/// # async fn user_of_session(_: &[u8]) -> Result<String, HandlerError> { Ok(String::new()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no last parameter that a handler can have for an app whose state is `{S}`",
    note = "implement `FromRequest<S>` for it, or, if the head is enough, `FromHead<S>`"
)]
pub trait FromRequest<S = ()>: Sized {
    /// What the client gets instead of the handler's answer.
    type Rejection: IntoResponse;

    /// Makes the parameter. Not cancel safe: a dropped future has lost what it has read of the body.
    ///
    /// # Errors
    /// What the client is told if it cannot be made.
    fn from_request(request: Request, state: &S) -> impl Future<Output = Result<Self, Self::Rejection>>;

    /// As [`FromHead::is_absent`]: for what is made of the body, whether there is none.
    fn is_absent(_request: &Request) -> bool {
        false
    }
}

/// Bytes of a message that repeats what the client has sent, which may be much.
const LONGEST_MESSAGE: usize = 180;
/// How many of them are its end.
const MESSAGE_END: usize = 60;

/// Cuts the middle out of a long message: the beginning says what is wrong, and the end where.
fn in_short(message: String) -> String {
    let cut = "…";
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let start = message.floor_char_boundary(LONGEST_MESSAGE - MESSAGE_END - cut.len());
    let end = message.ceil_char_boundary(message.len() - MESSAGE_END);
    format!("{}{cut}{}", &message[..start], &message[end..])
}

/// Where in a value something does not fit, ` at users[1].age`: nothing for the whole of it, and without what serde
/// has no name for.
fn place(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    match path.trim_end_matches(['.', '?']) {
        "" => String::new(),
        place => format!(" at {place}"),
    }
}

impl<S, T: FromHead<S>> FromHead<S> for Option<T> {
    type Rejection = T::Rejection;

    /// `None` for what is [absent](FromHead::is_absent); what is there and wrong is refused.
    fn from_head(head: &Head<'_>, state: &S) -> Result<Self, Self::Rejection> {
        if T::is_absent(head) { Ok(None) } else { T::from_head(head, state).map(Some) }
    }
}

impl<S, T: FromHead<S>> FromHead<S> for Result<T, T::Rejection> {
    type Rejection = std::convert::Infallible;

    fn from_head(head: &Head<'_>, state: &S) -> Result<Self, Self::Rejection> {
        Ok(T::from_head(head, state))
    }
}

impl<S, T: FromRequest<S>> FromRequest<S> for Option<T> {
    type Rejection = T::Rejection;

    /// `None` for what is [absent](FromRequest::is_absent); what is there and wrong is refused.
    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if T::is_absent(&request) { Ok(None) } else { T::from_request(request, state).await.map(Some) }
    }
}

impl<S, T: FromRequest<S>> FromRequest<S> for Result<T, T::Rejection> {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(T::from_request(request, state).await)
    }
}

macro_rules! tuples {
    ($($($part:ident)*;)*) => { $(
        impl<S, $($part: FromHead<S>,)*> FromHead<S> for ($($part,)*) {
            type Rejection = Response;

            fn from_head(head: &Head<'_>, state: &S) -> Result<Self, Response> {
                Ok(($($part::from_head(head, state).map_err(IntoResponse::into_response)?,)*))
            }
        }
    )* };
}

tuples! {
    A B;
    A B C;
    A B C D;
}

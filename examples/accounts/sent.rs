//! What clients send: the fields of a form of the page, or the same in JSON.

use lakh::http::{
    HandlerError, HandlerResult, Request, StatusCode,
    extract::{Form, FromRequest, Json},
    header,
};
use serde::{Deserialize, de::DeserializeOwned};

const LONGEST_NAME: usize = 32;
/// Characters, as NIST SP 800-63B-4 has it at least.
const SHORTEST_PASSWORD: usize = 8;

/// The body, in either form.
pub(crate) struct Sent<T>(pub(crate) T);

impl<S, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = HandlerError;

    async fn from_request(request: Request, state: &S) -> HandlerResult<Self> {
        let is_form =
            |kind: &[u8]| kind.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded");
        let is_form = request.head().header(header::CONTENT_TYPE).is_some_and(is_form);
        match is_form {
            true => Form::from_request(request, state).await.map(|Form(sent)| Sent(sent)),
            false => Json::from_request(request, state).await.map(|Json(sent)| Sent(sent)),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

#[derive(Deserialize)]
pub(crate) struct Change {
    pub(crate) password: String,
    pub(crate) new: String,
}

#[derive(Deserialize)]
pub(crate) struct Confirmation {
    pub(crate) password: String,
}

/// Of a new account.
pub(crate) fn check_name(name: &str) -> HandlerResult<()> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_legal) {
        true => Ok(()),
        false => Err(unprocessable("a name has 1 to 32 letters of a to z, digits, or - _ .")),
    }
}

/// One that is chosen, not one that is shown. The hasher refuses what is too long.
pub(crate) fn check_password(password: &str) -> HandlerResult<()> {
    match password.chars().count() >= SHORTEST_PASSWORD {
        true => Ok(()),
        false => Err(unprocessable("a password has at least 8 characters")),
    }
}

fn unprocessable(message: &'static str) -> HandlerError {
    HandlerError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

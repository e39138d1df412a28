use super::{FromRequest, has_no_body, in_short, place};
use crate::{
    HandlerError,
    into_response::IntoResponse,
    request::Request,
    response::{JSON, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

/// JSON, both ways: as a parameter the request's body, as an answer one of type `application/json`.
///
/// A body is refused with 415 if its `Content-Type` is not JSON (`application/json`, or one that ends in
/// `+json`), with 400 if it is malformed, with 422 if it is well formed and does not fit `T`; the answer
/// says where and why. Unknown fields are serde's business (`#[serde(deny_unknown_fields)]`). An answer
/// that cannot be written is 500.
///
/// ```
/// use lakh_http::{App, extract::Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Sum {
///     numbers: Vec<i64>,
/// }
///
/// #[derive(Serialize)]
/// struct Total {
///     total: i64,
/// }
///
/// let app = App::new().post("/sum", async |Json(sum): Json<Sum>| Json(Total { total: sum.numbers.iter().sum() }));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<S, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = HandlerError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        if !request.head().header(header::CONTENT_TYPE).is_some_and(is_json) {
            let expected = "the body has to be JSON: send Content-Type: application/json";
            return Err(HandlerError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
        }
        from_json(&request.into_body().bytes().await?).map(Json)
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

fn from_json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, HandlerError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let at = place(error.path());
        let error = error.into_inner();
        let status = match error.classify() {
            serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        HandlerError::new(status, in_short(format!("the JSON{at}: {error}")))
    })?;
    json.end().map_err(|error| HandlerError::bad_request(format!("the JSON: {error}")))?;
    Ok(value)
}

/// `application/json` or `…+json`, with or without parameters.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let Some((kind, subtype)) = essence.split_at_checked(b"application/".len()) else { return false };
    let suffix = subtype.len().checked_sub(b"+json".len()).map(|at| &subtype[at..]);
    kind.eq_ignore_ascii_case(b"application/")
        && (subtype.eq_ignore_ascii_case(b"json") || suffix.is_some_and(|s| s.eq_ignore_ascii_case(b"+json")))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => Response::new(json).with_content_type(JSON),
            Err(error) => HandlerError::internal(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_json() {
        for yes in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(is_json(yes.as_bytes()), "{yes}");
        }
        for no in ["", "text/json", "application/jsonp", "application/x-www-form-urlencoded", "json"] {
            assert!(!is_json(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn errors_say_where() {
        #[derive(Debug, serde::Deserialize)]
        struct Team {
            #[allow(dead_code)]
            users: Vec<User>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct User {
            #[allow(dead_code)]
            age: u8,
        }
        let refused =
            |json: &'static str| from_json::<Team>(&Bytes::from_static(json.as_bytes())).unwrap_err();
        let error = refused(r#"{"users": [{"age": 1}, {"age": "x"}]}"#);
        assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(error.message().contains("at users[1].age: invalid type"), "{error}");
        assert!(error.message().contains("line 1 column 34"), "{error}");
        let error = refused("{\"users\": [");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{error}");
        assert!(refused("{\"users\"").message().starts_with("the JSON: EOF while"), "nothing is named there");
        assert_eq!(refused("{\"users\": []} x").status(), StatusCode::BAD_REQUEST);
    }
}

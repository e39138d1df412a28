use super::{FromHead, in_short, place};
use crate::{HandlerError, request::Head};
use serde::de::DeserializeOwned;

/// The query string, by serde: `?page=2&tag=a&tag=b` into a struct with a `page` and a list of `tag`s.
///
/// Refused with 400 if it does not fit; without a query an empty one is tried.
///
/// ```
/// use lakh_http::{App, extract::Query};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Paging {
///     #[serde(default)]
///     page: u32,
///     #[serde(default)]
///     tag: Vec<String>,
/// }
///
/// let app = App::new().get("/things", |Query(paging): Query<Paging>| format!("page {}", paging.page));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<S, T: DeserializeOwned> FromHead<S> for Query<T> {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        let query = head.query().unwrap_or_default().as_bytes();
        from_urlencoded(query, "the query").map(Query)
    }

    fn is_absent(head: &Head<'_>) -> bool {
        head.query().is_none()
    }
}

/// Decodes `application/x-www-form-urlencoded`; `what` it is goes into the error.
pub(super) fn from_urlencoded<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, HandlerError> {
    let pairs = form_urlencoded::parse(bytes);
    serde_path_to_error::deserialize(serde_html_form::Deserializer::new(pairs)).map_err(|error| {
        let at = place(error.path());
        HandlerError::bad_request(in_short(format!("{what}{at}: {}", error.into_inner())))
    })
}

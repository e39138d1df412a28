//~ cannot be returned from a handler
//~ (StatusCode, fields, T)
use lakh_http::{IntoResponse, StatusCode};

pub fn no_body() -> impl IntoResponse {
    (StatusCode::CREATED, [("location", "/films/1")])
}

//! Answers as tests read them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An answer whose head is there; its body is read by [`InProcess`](super::InProcess)'s or
/// [`OverWire`](super::OverWire)'s methods, which bear the same names.
#[derive(Debug)]
pub struct TestResponse<B> {
    status: StatusCode,
    headers: HeaderMap,
    pub(super) body: B,
}

impl<B> TestResponse<B> {
    /// The status; it can be compared with a number.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All header fields, those of the server itself among them.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first header field of this name, as text.
    ///
    /// # Panics
    /// If it is anything else than visible ASCII.
    #[track_caller]
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        let value = self.headers.get(name.as_ref())?;
        Some(value.to_str().expect("a header field of visible ASCII"))
    }

    pub(super) fn with_body<T>(self, body: impl FnOnce(B) -> T) -> TestResponse<T> {
        TestResponse { status: self.status, headers: self.headers, body: body(self.body) }
    }
}

/// An answer's head, and its length in bytes; `None` if it is not whole yet.
///
/// # Panics
/// If it is malformed.
pub(super) fn parse_head(bytes: &[u8]) -> Option<(TestResponse<()>, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(bytes).expect("a well formed answer") {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return None,
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).expect("a status of three digits");
    let mut headers = HeaderMap::new();
    for field in parsed.headers {
        let name = HeaderName::try_from(field.name).expect("a legal header name");
        headers.append(name, HeaderValue::try_from(field.value).expect("a legal header value"));
    }
    Some((TestResponse { status, headers, body: () }, len))
}

/// All of a body, as text.
#[track_caller]
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("a body of UTF-8")
}

/// All of a body, as JSON; the panic shows what it is instead.
#[track_caller]
pub(super) fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}, in the body {:?}", String::from_utf8_lossy(bytes)))
}

/// Adds to a body that is read as a whole.
#[track_caller]
pub(super) fn gather(all: &mut Vec<u8>, chunk: &[u8]) {
    assert!(all.len() + chunk.len() <= super::BODY_AT_MOST, "a body of more than 64 MiB");
    all.extend_from_slice(chunk);
}

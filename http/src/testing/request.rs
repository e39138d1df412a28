//! Requests as tests write them, and their bytes.

use super::{TestClient, TestServer};
use crate::proto::encode;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use std::{collections::VecDeque, fmt};

/// A request that is being put together; `send` sends it.
#[must_use = "a request does nothing until it is sent"]
pub struct TestRequest<'a, C> {
    client: &'a C,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Content,
}

enum Content {
    None,
    Bytes(Bytes),
    Chunks(Vec<Bytes>),
}

/// The bytes of a request: its head, and its body in pieces.
pub(super) struct RequestBytes {
    pub(super) method: Method,
    pub(super) head: Vec<u8>,
    pub(super) body: VecDeque<Bytes>,
}

impl<'a, C> TestRequest<'a, C> {
    /// `target` is a path, with a query or without, as it is sent: not encoded any more.
    #[track_caller]
    fn new(client: &'a C, method: Method, target: &str) -> Self {
        let is_legal = target.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(is_legal, "the target {target:?} has to be percent-encoded");
        let (headers, body) = (HeaderMap::new(), Content::None);
        TestRequest { client, method, target: target.to_owned(), headers, body }
    }

    /// Adds a parameter to the query, and encodes it.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        let mut pair = form_urlencoded::Serializer::new(String::new());
        self.target += &pair.append_pair(name, &value.to_string()).finish();
        self
    }

    /// Adds a header field. `Host` is `localhost` unless it is set here.
    ///
    /// # Panics
    /// If name or value are not legal in a header.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().ok().expect("a legal header name");
        self.headers.append(name, value.try_into().ok().expect("a legal header value"));
        self
    }

    /// A body of JSON, and its `Content-Type`.
    ///
    /// # Panics
    /// If the value cannot be written as JSON.
    #[track_caller]
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        let json = serde_json::to_vec(value).expect("a value that can be written as JSON");
        self.content_type("application/json").body(json)
    }

    /// The fields of an HTML form as the body, and its `Content-Type`.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.content_type("application/x-www-form-urlencoded").body(form)
    }

    /// A body of plain text, and its `Content-Type`.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content_type("text/plain; charset=utf-8").body(text.into())
    }

    /// A body of bytes, and no `Content-Type`.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Content::Bytes(bytes.into());
        self
    }

    /// A body with the chunked coding. A [`TestClient`] hands the next chunk out when the handler asks
    /// for it.
    pub fn chunks<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.body = Content::Chunks(chunks.into_iter().map(Into::into).collect());
        self
    }

    fn content_type(mut self, value: &'static str) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        self
    }

    pub(super) fn client(&self) -> &'a C {
        self.client
    }

    /// Whom it is for, and its bytes.
    pub(super) fn into_bytes(mut self, cookies: Option<HeaderValue>) -> (&'a C, RequestBytes) {
        self.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
        if let Some(cookies) = cookies {
            self.headers.entry(header::COOKIE).or_insert(cookies);
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            encode::write_header(&mut head, name, value);
        }
        let body = match self.body {
            Content::None => VecDeque::new(),
            Content::Bytes(bytes) => {
                encode::write_content_length(&mut head, bytes.len() as u64);
                [bytes].into()
            }
            Content::Chunks(chunks) => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n");
                chunked(&chunks)
            }
        };
        encode::write_head_end(&mut head);
        (self.client, RequestBytes { method: self.method, head, body })
    }
}

impl<C> fmt::Debug for TestRequest<'_, C> {
    /// Short enough for the message of a test that fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

fn chunked(chunks: &[Bytes]) -> VecDeque<Bytes> {
    let coded = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        Bytes::from(out)
    };
    let mut pieces: VecDeque<Bytes> =
        chunks.iter().map(|chunk| coded(&|out| encode::write_chunk(out, chunk))).collect();
    pieces.push_back(coded(&encode::write_last_chunk));
    pieces
}

/// The beginnings of requests, alike for both clients.
macro_rules! beginnings {
    ($client:ty; $($name:ident $method:ident)*) => {
        impl $client {
            $(
                #[doc = concat!("A ", stringify!($method), " request for a path.")]
                #[track_caller]
                pub fn $name(&self, path: &str) -> TestRequest<'_, Self> {
                    self.request(Method::$method, path)
                }
            )*

            /// A request of any method for a path, which may have a query, and has to be
            /// percent-encoded.
            ///
            /// # Panics
            /// If there is anything else in the path than visible ASCII.
            #[track_caller]
            pub fn request(&self, method: Method, path: &str) -> TestRequest<'_, Self> {
                TestRequest::new(self, method, path)
            }
        }
    };
}

beginnings! { TestClient; get GET head HEAD post POST put PUT patch PATCH delete DELETE }
beginnings! { TestServer; get GET head HEAD post POST put PUT patch PATCH delete DELETE }

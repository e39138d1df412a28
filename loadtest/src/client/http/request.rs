//! The bytes of a request: RFC 9112, 3.

use crate::plan::{HttpRequest, Target};

/// Methods that mean something without a body: no `Content-Length: 0` is sent (RFC 9110, 8.6).
const BODILESS: [&str; 6] = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

pub(super) fn bytes(target: &Target, request: &HttpRequest) -> Vec<u8> {
    let HttpRequest { method, headers, body, close, .. } = request;
    let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {} HTTP/1.1\r\n", target.path);
    let mut field = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
    if !has("host") {
        field("Host", &target.authority);
    }
    for (name, value) in headers {
        field(name, value);
    }
    if !has("content-length") && (!body.is_empty() || !BODILESS.contains(&method.as_str())) {
        field("Content-Length", &body.len().to_string());
    }
    if *close && !has("connection") {
        field("Connection", "close");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1).
use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use crate::proto::is_token_byte;

/// A field that breaks the grammar, or an answer that does not fit the offer: the handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionError(pub(super) &'static str);

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sec-WebSocket-Extensions: {}", self.0)
    }
}

impl std::error::Error for ExtensionError {}

/// One extension of a list, as it is written.
#[derive(Debug)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    pub(super) params: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// All extensions of all fields, in their order.
pub(super) fn parse(headers: &HeaderMap) -> Result<Vec<Extension<'_>>, ExtensionError> {
    let mut extensions = Vec::new();
    for field in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let text = field.to_str().map_err(|_| ExtensionError("not ASCII"))?;
        parse_field(&mut Scanner(text), &mut extensions)?;
    }
    Ok(extensions)
}

fn parse_field<'a>(
    scanner: &mut Scanner<'a>,
    extensions: &mut Vec<Extension<'a>>,
) -> Result<(), ExtensionError> {
    loop {
        // Elements of a list may be empty (RFC 9110, 5.6.1.2).
        while scanner.take(',') {}
        if scanner.0.is_empty() {
            return Ok(());
        }
        let mut extension = Extension { name: scanner.token()?, params: Vec::new() };
        while scanner.take(';') {
            let name = scanner.token()?;
            let value = if scanner.take('=') { Some(scanner.value()?) } else { None };
            extension.params.push((name, value));
        }
        extensions.push(extension);
        if !scanner.0.is_empty() && !scanner.take(',') {
            return Err(ExtensionError("something else than a comma between two extensions"));
        }
    }
}

/// What is left of a field. White space is allowed around everything.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, separator: char) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(separator);
        self.0 = rest.unwrap_or(self.0);
        self.skip_space();
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a str, ExtensionError> {
        let end = self.0.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        self.skip_space();
        if token.is_empty() { Err(ExtensionError("a name or a value is missing")) } else { Ok(token) }
    }

    /// A token, or a quoted string that is one without its quotes.
    fn value(&mut self) -> Result<Cow<'a, str>, ExtensionError> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(Cow::Borrowed) };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            let next = match chars.next() {
                Some('"') if !value.is_empty() => break,
                Some('\\') => chars.next(),
                next => next,
            };
            match next {
                Some(next) if next.is_ascii() && is_token_byte(next as u8) => value.push(next),
                _ => return Err(ExtensionError("a quoted value that is no token")),
            }
        }
        self.0 = chars.as_str();
        self.skip_space();
        Ok(Cow::Owned(value))
    }
}

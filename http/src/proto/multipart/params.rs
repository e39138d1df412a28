use super::{LONGEST_BOUNDARY, MultipartError};
use crate::proto::{TOKEN, is_text};
use std::borrow::Cow;

/// The boundary that `Content-Type` tells.
///
/// # Errors
/// If the type is another one, or the boundary is not there or not legal.
///
/// ```
/// use lakh_http::proto::multipart::boundary;
///
/// assert_eq!(boundary(b"multipart/form-data; boundary=\"a b\"").unwrap(), b"a b");
/// assert_eq!(boundary(b"text/plain").unwrap_err().status(), 415);
/// ```
pub fn boundary(content_type: &[u8]) -> Result<Vec<u8>, MultipartError> {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    if !essence.trim_ascii().eq_ignore_ascii_case(FORM_DATA) {
        return Err(MultipartError::NotMultipart);
    }
    find_boundary(content_type).ok_or(MultipartError::NoBoundary)
}

const FORM_DATA: &[u8] = b"multipart/form-data";

fn find_boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let mut params = Params::after(FORM_DATA, content_type)?;
    while let Some((name, value)) = params.next()? {
        if name.eq_ignore_ascii_case(b"boundary") && found.replace(value).is_some() {
            return None;
        }
    }
    found.filter(|boundary| is_boundary(boundary)).map(Cow::into_owned)
}

/// RFC 2046, 5.1.1: 1 to 70 `bchars`, the last of them no space.
fn is_boundary(bytes: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=LONGEST_BOUNDARY).contains(&bytes.len())
        && bytes.iter().all(is_legal)
        && bytes.last().is_some_and(|&last| last != b' ')
}

/// `; name=value` over and over (RFC 9110, 5.6.6).
pub(super) struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// The parameters behind this word, in any case; `None` if another one stands there.
    pub(super) fn after(word: &[u8], value: &'a [u8]) -> Option<Self> {
        let (first, rest) = value.trim_ascii_start().split_at_checked(word.len())?;
        first.eq_ignore_ascii_case(word).then_some(Params(rest))
    }

    /// The next parameter, a quoted value without its quotes; `None` if they are malformed.
    #[allow(clippy::should_implement_trait, clippy::type_complexity)]
    pub(super) fn next(&mut self) -> Option<Option<(&'a [u8], Cow<'a, [u8]>)>> {
        let mut rest = self.0.trim_ascii_start();
        // Empty parameters are allowed.
        let mut separated = false;
        while let Some(after) = rest.strip_prefix(b";") {
            (rest, separated) = (after.trim_ascii_start(), true);
        }
        if rest.is_empty() {
            self.0 = rest;
            return Some(None);
        }
        let (name, after) = split_token(rest)?;
        let after = after.strip_prefix(b"=").filter(|_| separated)?;
        let (value, after) = match after.strip_prefix(b"\"") {
            Some(quoted) => split_quoted(quoted)?,
            None => split_token(after).map(|(token, after)| (Cow::Borrowed(token), after))?,
        };
        self.0 = after;
        Some(Some((name, value)))
    }
}

fn split_token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes.iter().take_while(|&&byte| TOKEN[usize::from(byte)]).count();
    (len > 0).then(|| bytes.split_at(len))
}

/// What stands before the closing quote, and what behind it. A backslash counts only before a quote or
/// another one, since file names of old clients have them unescaped.
fn split_quoted(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'"', _) => return Some((Cow::Owned(plain), &bytes[at + 1..])),
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                plain.push(escaped);
                at += 2;
            }
            _ if is_text(byte) => {
                plain.push(byte);
                at += 1;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_up_to_70_legal_bytes() {
        let longest = "x".repeat(70);
        for (parameter, found) in [
            ("boundary=----WebKitFormBoundary7MA4", "----WebKitFormBoundary7MA4"),
            ("charset=utf-8; BOUNDARY=\"a b:c\" ;", "a b:c"),
            (&format!("boundary={longest}"), &longest),
        ] {
            let content_type = format!("Multipart/Form-Data; {parameter}");
            assert_eq!(boundary(content_type.as_bytes()), Ok(found.into()), "{parameter}");
        }
        let long = format!("; boundary={longest}x");
        for parameter in [
            "",
            "; boundary",
            "; boundary=",
            "; boundary=\"\"",
            "; boundary=\"a \"",
            "; boundary=\"a",
            "; boundary=a; boundary=b",
            "; boundary=\"\u{fc}\"",
            "; boundary=\"a\\\"b\"",
            &long,
        ] {
            let content_type = format!("multipart/form-data{parameter}");
            assert_eq!(boundary(content_type.as_bytes()), Err(MultipartError::NoBoundary), "{parameter}");
        }
        for other in ["", "multipart/mixed; boundary=a", "multipart/form-datax; boundary=a", "text/plain"] {
            assert_eq!(boundary(other.as_bytes()), Err(MultipartError::NotMultipart), "{other}");
        }
    }
}

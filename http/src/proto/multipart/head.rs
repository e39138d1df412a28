use super::{MultipartError, params::Params};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    /// The field's name.
    pub name: String,
    /// The file's name as it was sent, bytes that are no UTF-8 replaced. Empty if a form's file was not
    /// chosen. It may hold anything, `../` too.
    pub file_name: Option<String>,
    /// All header fields.
    pub headers: HeaderMap,
}

impl PartHead {
    /// Parses a header block with its blank line.
    pub(super) fn parse(block: &[u8], most: usize) -> Result<Self, MultipartError> {
        let headers = parse_headers(block, most)?;
        let mut dispositions = headers.get_all(header::CONTENT_DISPOSITION).iter();
        let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
            return Err(MultipartError::NoName);
        };
        let (name, file_name) = parse_disposition(disposition.as_bytes()).ok_or(MultipartError::NoName)?;
        Ok(PartHead { name, file_name, headers })
    }

    /// The last component of the file's name, with either kind of slash; `None` if nothing is left that
    /// could be a file's name (RFC 7578, 4.2).
    pub fn last_component(&self) -> Option<&str> {
        let name = self.file_name.as_deref()?;
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let is_name = !last.is_empty() && last != "." && last != ".." && !last.contains(char::is_control);
        is_name.then_some(last)
    }
}

fn parse_headers(block: &[u8], most: usize) -> Result<HeaderMap, MultipartError> {
    if has_bare_line_end(block) {
        return Err(MultipartError::Head);
    }
    let mut fields = vec![httparse::EMPTY_HEADER; most];
    let fields = match httparse::parse_headers(block, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(MultipartError::TooManyHeaders),
        _ => return Err(MultipartError::Head),
    };
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else { return Err(MultipartError::Head) };
        headers.append(name, value);
    }
    Ok(headers)
}

/// A CR or LF without the other: others may see another end of the line.
fn has_bare_line_end(block: &[u8]) -> bool {
    let mut before = 0;
    let bare = block.iter().any(|&byte| {
        let pair = (std::mem::replace(&mut before, byte), byte);
        (pair.0 == b'\r') != (pair.1 == b'\n')
    });
    bare || before == b'\r'
}

/// Name and file name. `filename*` must not be used in forms and is passed over (RFC 7578, 4.2).
fn parse_disposition(value: &[u8]) -> Option<(String, Option<String>)> {
    let (mut name, mut file_name) = (None, None);
    let mut params = Params::after(b"form-data", value)?;
    while let Some((key, value)) = params.next()? {
        let place = if key.eq_ignore_ascii_case(b"name") {
            &mut name
        } else if key.eq_ignore_ascii_case(b"filename") {
            &mut file_name
        } else {
            continue;
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let name = String::from_utf8(name?.into_owned()).ok()?;
    Some((name, file_name.map(|name| String::from_utf8_lossy(&name).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(disposition: &str) -> Result<PartHead, MultipartError> {
        PartHead::parse(format!("Content-Disposition: {disposition}\r\n\r\n").as_bytes(), 2)
    }

    #[test]
    fn names_are_tokens_or_quoted() {
        for (disposition, name, file) in [
            ("form-data; name=a", "a", None),
            ("Form-Data;NAME=\"a b\" ; FileName=\"c;d\"", "a b", Some("c;d")),
            (r#"form-data; name="a\"b\\c""#, r#"a"b\c"#, None),
            (r#"form-data; name="a"; filename="C:\dir\file.txt""#, "a", Some(r"C:\dir\file.txt")),
            ("form-data; name=\"größe\"; filename=\"ü\"", "größe", Some("ü")),
            ("form-data; name=\"\"; filename=\"\"", "", Some("")),
            ("form-data; name=a; filename*=utf-8''b; x=\"y\"", "a", None),
        ] {
            let head = head(disposition).unwrap();
            assert_eq!((&*head.name, head.file_name.as_deref()), (name, file), "{disposition}");
        }
    }

    #[test]
    fn a_part_without_one_name_is_none_of_a_form() {
        for disposition in [
            "form-data",
            "attachment; name=a",
            "form-data; name=a; name=b",
            "form-data; name=a; filename=b; filename=c",
            "form-data; name=\"a",
            "form-data; name",
            "form-data name=a",
            "form-data; name=a b",
            "form-data; name=\"a\"b",
        ] {
            assert_eq!(head(disposition), Err(MultipartError::NoName), "{disposition}");
        }
        let twice =
            b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n";
        assert_eq!(PartHead::parse(twice, 2), Err(MultipartError::NoName));
        let latin = b"Content-Disposition: form-data; name=\"\xfc\"\r\n\r\n";
        assert_eq!(PartHead::parse(latin, 2), Err(MultipartError::NoName));
    }

    #[test]
    fn only_the_last_component_of_a_file_name_counts() {
        for (sent, last) in [
            ("a.txt", Some("a.txt")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\\dir\\a.txt", Some("a.txt")),
            ("/..", None),
            ("a/.", None),
            ("a/", None),
            ("", None),
            ("a\tb", None),
        ] {
            let head = head(&format!("form-data; name=a; filename=\"{sent}\"")).unwrap();
            assert_eq!(head.last_component(), last, "{sent}");
        }
    }

    #[test]
    fn header_lines_end_with_both_bytes() {
        for block in ["a: b\n\r\n", "a: b\r\r\n\r\n", "a: b\r\n c\r\n\r\n", "a : b\r\n\r\n", "a\r\n\r\n"] {
            assert_eq!(PartHead::parse(block.as_bytes(), 9), Err(MultipartError::Head), "{block:?}");
        }
    }
}

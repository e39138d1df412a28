use super::split_points;
use crate::proto::multipart::{
    LONGEST_BOUNDARY, MultipartError, MultipartParser, PartEvent, PartHead, PartLimits, boundary,
};
use bytes::Bytes;

/// The boundary of all bodies that are tried.
const BOUNDARY: &[u8] = b"X";
const DELIMITER: &[u8] = b"\r\n--X";

/// Checks [`MultipartParser`], and [`boundary`], against these bytes.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_multipart(data: &[u8]) {
    if let Ok(boundary) = boundary(data) {
        assert!((1..=LONGEST_BOUNDARY).contains(&boundary.len()));
        assert!(boundary.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic()));
    }
    let tight = PartLimits { head: 64, headers: 2 };
    for limits in [PartLimits::default(), tight] {
        let whole = parse(&[data], limits);
        for step in [1, 2, 3, 7, 64] {
            assert_eq!(parse(&data.chunks(step).collect::<Vec<_>>(), limits), whole, "by {step}");
        }
        for end in split_points(data.len()) {
            assert_eq!(parse(&[&data[..end], &data[end..]], limits), whole, "split at {end}");
        }
        for part in &whole.parts {
            check_part(part, limits);
        }
        if whole.is_done {
            check_whole(&whole, data);
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Form {
    parts: Vec<Part>,
    is_done: bool,
    error: Option<MultipartError>,
}

#[derive(Debug, PartialEq)]
struct Part {
    head: PartHead,
    content: Vec<u8>,
    has_ended: bool,
}

/// Parses the pieces one after the other, as the extractor does.
fn parse(pieces: &[&[u8]], limits: PartLimits) -> Form {
    let mut parser = MultipartParser::new(BOUNDARY, limits);
    let mut form = Form::default();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match parser.next(&mut input) {
                Ok(Some(PartEvent::Done)) => {
                    form.is_done = true;
                    return form;
                }
                Ok(Some(event)) => form.take(event),
                Ok(None) => break,
                Err(error) => {
                    let again = parser.next(&mut Bytes::from_static(b"\r\n--X--"));
                    assert_eq!(again.err(), Some(error), "an error is final");
                    form.error = Some(error);
                    return form;
                }
            }
        }
        assert!(input.is_empty(), "input is left over");
    }
    // The last piece may have had nothing behind the last boundary.
    form.is_done = parser.is_done();
    form
}

impl Form {
    fn take(&mut self, event: PartEvent) {
        let last = self.parts.last_mut().filter(|part| !part.has_ended);
        match (event, last) {
            (PartEvent::Begin(head), None) => {
                self.parts.push(Part { head, content: Vec::new(), has_ended: false });
            }
            (PartEvent::Data(data), Some(part)) => {
                assert!(!data.is_empty());
                part.content.extend_from_slice(&data);
            }
            (PartEvent::End, Some(part)) => part.has_ended = true,
            (event, last) => panic!("{event:?} within {last:?}"),
        }
    }
}

fn check_part(part: &Part, limits: PartLimits) {
    assert!(part.head.headers.len() <= limits.headers);
    let fields: usize = part.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(fields <= limits.head);
    assert!(!holds(&part.content, DELIMITER) && !part.content.starts_with(&DELIMITER[2..]));
    if let Some(name) = part.head.last_component() {
        assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0', '\n']));
    }
}

/// What splitting at the boundaries gives, and what the parts give when they are written anew.
fn check_whole(form: &Form, data: &[u8]) {
    assert!(form.error.is_none() && form.parts.iter().all(|part| part.has_ended));
    let contents: Vec<&[u8]> = form.parts.iter().map(|part| &part.content[..]).collect();
    assert_eq!(contents, split(data));

    let mut bytes = Vec::new();
    for part in &form.parts {
        bytes.extend_from_slice(b"--X\r\n");
        for (name, value) in &part.head.headers {
            let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            bytes.extend(line.concat());
        }
        bytes.extend([b"\r\n", &part.content[..], b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"--X--");
    let roomy = PartLimits { head: usize::MAX, headers: 100 };
    assert_eq!(parse(&[&bytes], roomy), *form);
}

/// The contents of the parts of a body that is well formed.
fn split(data: &[u8]) -> Vec<Vec<u8>> {
    let data = [b"\r\n", data].concat();
    let mut contents = Vec::new();
    let mut rest = after(&data, DELIMITER).expect("a first boundary");
    while !rest.starts_with(b"--") {
        let part = after(rest, b"\r\n").expect("the boundary's line");
        let end = find(part, DELIMITER).expect("another boundary");
        // Without a blank line there is no content.
        contents.push(after(&part[..end], b"\r\n\r\n").unwrap_or_default().to_vec());
        rest = &part[end + DELIMITER.len()..];
    }
    contents
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn after<'a>(bytes: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    find(bytes, what).map(|at| &bytes[at + what.len()..])
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    find(bytes, what).is_some()
}

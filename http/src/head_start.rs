//! Answers' heads, which are much the same from one to the next.

use crate::{
    proto::{DateCache, encode},
    response::{Fields, Response},
};
use http::{HeaderName, HeaderValue, StatusCode};
use std::time::{SystemTime, UNIX_EPOCH};

/// Answers in a row with other fields than those that are kept rendered, before theirs are kept.
const MISSES: u8 = 16;

/// Writes status line, `Server`, `Date` and the handler's fields, and the rest of heads that have
/// nothing but a length besides.
///
/// The first three are rendered once a second. So are the fields of a successful answer that has
/// come often: most services answer with the same few, and comparing costs less than writing. And
/// so is the end of the last such head.
pub(crate) struct HeadStart {
    server: Option<String>,
    date: DateCache,
    /// The shard's second in which everything was rendered.
    rendered: Option<u32>,
    /// `Server` and `Date`.
    lines: Vec<u8>,
    /// The status line of 200, `lines`, from `bare` on the lines of `fields`, and from `end` on what
    /// ends a head with this `length`, if that is there.
    start: Vec<u8>,
    bare: usize,
    fields: Fields,
    end: usize,
    length: Option<u64>,
    misses: u8,
}

impl HeadStart {
    pub(crate) fn new(server: Option<String>) -> Self {
        HeadStart {
            server,
            date: DateCache::default(),
            rendered: None,
            lines: Vec::new(),
            start: Vec::new(),
            bare: 0,
            fields: Fields::new(),
            end: 0,
            length: None,
            misses: 0,
        }
    }

    /// Appends the beginning of the response's head. `now` is in seconds of the shard.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, now: u32, response: &Response) {
        if self.is_kept(now, response) {
            out.extend_from_slice(&self.start[..self.end]);
        } else {
            self.write_other(out, response);
        }
    }

    /// Appends the whole head of a response that has a body of `length` bytes, on a connection that
    /// stays open.
    #[inline(always)] // on the way of every answer
    pub(crate) fn write_whole(&mut self, out: &mut Vec<u8>, now: u32, response: &Response, length: u64) {
        if self.is_kept(now, response) {
            if self.length != Some(length) {
                self.start.truncate(self.end);
                write_end(&mut self.start, length);
                self.length = Some(length);
            }
            out.extend_from_slice(&self.start);
        } else {
            self.write_other(out, response);
            write_end(out, length);
        }
    }

    /// Whether the beginning of the response's head is there, rendered for this second.
    #[inline(always)] // on the way of every answer
    fn is_kept(&mut self, now: u32, response: &Response) -> bool {
        if self.rendered != Some(now) {
            self.render(now);
        }
        let plain = response.parts.status == StatusCode::OK && response.parts.block.is_none();
        plain && are_same(&response.parts.fields, &self.fields)
    }

    fn write_other(&mut self, out: &mut Vec<u8>, response: &Response) {
        if response.parts.status != StatusCode::OK {
            encode::write_status(out, response.parts.status);
            out.extend_from_slice(&self.lines);
        } else {
            out.extend_from_slice(&self.start[..self.bare]);
        }
        match &response.parts.block {
            Some(block) => out.extend_from_slice(block.lines()),
            None if response.parts.status == StatusCode::OK => self.count_miss(&response.parts.fields),
            None => {}
        }
        write_fields(out, &response.parts.fields);
    }

    /// Keeps these fields rendered from now on if the others have not come for long.
    fn count_miss(&mut self, fields: &Fields) {
        self.misses += 1;
        if self.misses == MISSES {
            self.misses = 0;
            self.fields.clone_from(fields);
            self.render_fields();
        }
    }

    fn render_fields(&mut self) {
        self.start.truncate(self.bare);
        write_fields(&mut self.start, &self.fields);
        self.end = self.start.len();
        self.length = None;
    }

    #[cold]
    fn render(&mut self, now: u32) {
        self.rendered = Some(now);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.date.update(unix.as_secs());
        self.lines.clear();
        if let Some(server) = &self.server {
            self.lines.extend_from_slice(b"server: ");
            self.lines.extend_from_slice(server.as_bytes());
            self.lines.extend_from_slice(b"\r\n");
        }
        encode::write_date(&mut self.lines, &self.date);
        self.start.clear();
        encode::write_status(&mut self.start, StatusCode::OK);
        self.start.extend_from_slice(&self.lines);
        self.bare = self.start.len();
        self.render_fields();
    }
}

/// Equal, and cheaply so: texts of the program itself are mostly the same bytes at the same place.
#[inline]
fn are_same(a: &[(HeaderName, HeaderValue)], b: &[(HeaderName, HeaderValue)]) -> bool {
    let is_same = |a: &HeaderValue, b: &HeaderValue| {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        std::ptr::eq(a, b) || a == b
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is_same(&a.1, &b.1))
}

/// Appends the fields that are the handler's business.
fn write_fields(out: &mut Vec<u8>, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        if !is_ours(name) {
            encode::write_header(out, name, value);
        }
    }
}

fn write_end(out: &mut Vec<u8>, length: u64) {
    encode::write_content_length(out, length);
    encode::write_head_end(out);
}

/// Fields that the server itself writes.
fn is_ours(name: &HeaderName) -> bool {
    matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection" | "date")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(start: &mut HeadStart, response: &Response) -> String {
        let mut out = Vec::new();
        start.write(&mut out, 1, response);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_kept_rendered_changes_nothing_but_the_cost() {
        let mut kept = HeadStart::new(Some("lakh".to_owned()));
        let responses = [
            Response::new("a").with_header("content-type", "text/plain"),
            Response::new("a").with_header("content-type", "text/html"),
            Response::new("a").with_header("content-type", "text/plain").with_header("x-a", "b"),
            Response::new("a").with_header("date", "never").with_header("x-a", "b"),
            Response::new("a"),
            Response::new("a").with_status(StatusCode::NOT_FOUND).with_header("x-a", "b"),
        ];
        for round in 0..200 {
            let response = &responses[(round / 20 + round % 3) % responses.len()];
            let head = written(&mut kept, response);
            let fields: Vec<_> = head.lines().skip(1).filter(|l| !l.starts_with("date: ")).collect();
            let expected = response.parts.fields.iter().filter(|(name, _)| name.as_str() != "date");
            let expected = expected.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            let expected: Vec<_> = std::iter::once("server: lakh".to_owned()).chain(expected).collect();
            assert_eq!(fields, expected, "round {round}");
            assert_eq!(head.lines().filter(|l| l.starts_with("date: ")).count(), 1);
            assert!(head.starts_with(&format!("HTTP/1.1 {}", response.parts.status.as_str())));
            for length in [13, round / 3, 13] {
                let mut whole = Vec::new();
                kept.write_whole(&mut whole, 1, response, length as u64);
                let expected = format!("{}content-length: {length}\r\n\r\n", written(&mut kept, response));
                assert_eq!(String::from_utf8(whole).unwrap(), expected, "round {round}");
            }
        }
    }
}

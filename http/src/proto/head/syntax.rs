//! The grammar of request heads: the request line and field lines (RFC 9112, 3 and 5).
//!
//! One pass from left to right, eight bytes at a time where heads have most of theirs. An error is about the first
//! byte that cannot stand where it does, so that a part of a head never says anything else than the whole.
use http::Version;

use super::error::Kind;
use crate::proto::{TOKEN, is_text};

/// Why a head cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end before the head does.
    Short,
    Bad(Kind),
}

/// A target that ends in a space, and what the one look at its bytes has shown. There is neither `#` in it nor
/// anything but ASCII; the other visible characters that a URI may not contain are let through since browsers send
/// them.
pub(super) struct Target<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the first `?` is.
    pub(super) question: Option<usize>,
}

/// Name and value of a field.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// What is left to be read of a head.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The method and the space behind it.
    #[inline]
    pub(super) fn method(&mut self) -> Result<&'a [u8], Stop> {
        if let Some(rest) = self.rest.strip_prefix(b"GET ") {
            self.rest = rest;
            return Ok(b"GET");
        }
        let method = self.token();
        match self.rest {
            [] => Err(Stop::Short),
            [b' ', rest @ ..] if !method.is_empty() => {
                self.rest = rest;
                Ok(method)
            }
            _ => Err(Stop::Bad(Kind::RequestLine)),
        }
    }

    /// The target and the space behind it.
    #[inline]
    pub(super) fn target(&mut self) -> Result<Target<'a>, Stop> {
        let start = self.rest;
        let (mut question, mut unclean, mut len) = (None, 0, 0);
        loop {
            // Behind the target of a whole head there are more than eight bytes.
            let Some(eight) = start[len..].first_chunk() else { return Err(end_of_target(start)) };
            let word = u64::from_le_bytes(*eight);
            let ends = bytes_below(word, b'!') | bytes_equal(word, 0x7f);
            // All bits below the first end.
            let inside = ends.wrapping_sub(1) & !ends;
            let questions = bytes_equal(word, b'?') & inside;
            if questions != 0 && question.is_none() {
                question = Some(len + first_byte(questions));
            }
            unclean |= (word | bytes_equal(word, b'#')) & HIGH_BITS & inside;
            if ends != 0 {
                len += first_byte(ends);
                break;
            }
            len += 8;
        }
        if unclean != 0 {
            return Err(Stop::Bad(Kind::TargetByte));
        }
        if len == 0 || start[len] != b' ' {
            return Err(Stop::Bad(Kind::RequestLine));
        }
        self.rest = &start[len + 1..];
        Ok(Target { bytes: &start[..len], question })
    }

    /// The version and the line's end.
    #[inline]
    pub(super) fn version(&mut self) -> Result<Version, Stop> {
        let version = match self.rest.first_chunk() {
            Some(b"HTTP/1.1") => Version::HTTP_11,
            Some(b"HTTP/1.0") => Version::HTTP_10,
            _ => return Err(other_version(self.rest)),
        };
        self.rest = &self.rest[8..];
        self.line_end(Kind::LineEnd)?;
        Ok(version)
    }

    /// The next field, the value without the white space around it; `None` at the blank line.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<Field<'a>>, Stop> {
        if let [b'\r', ..] = self.rest {
            self.line_end(Kind::LineEnd)?;
            return Ok(None);
        }
        let name = self.token();
        match self.rest {
            [b':', rest @ ..] if !name.is_empty() => self.rest = rest,
            rest => return Err(no_colon(rest)),
        }
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let mut value = self.text();
        self.line_end(Kind::HeaderValue)?;
        while let [rest @ .., b' ' | b'\t'] = value {
            value = rest;
        }
        Ok(Some((name, value)))
    }

    /// The longest token here; it may be empty.
    #[inline]
    fn token(&mut self) -> &'a [u8] {
        let start = self.rest;
        while let Some((eight, rest)) = self.rest.split_first_chunk() {
            let others = others_than_letters(u64::from_le_bytes(*eight));
            if others == 0 {
                self.rest = rest;
                continue;
            }
            self.rest = &self.rest[first_byte(others)..];
            if !TOKEN[usize::from(self.rest[0])] {
                return self.since(start);
            }
            self.rest = &self.rest[1..];
        }
        while let [byte, rest @ ..] = self.rest
            && TOKEN[usize::from(*byte)]
        {
            self.rest = rest;
        }
        self.since(start)
    }

    /// All bytes up to the first that may not stand in a value.
    #[inline]
    fn text(&mut self) -> &'a [u8] {
        let start = self.rest;
        while let Some((sixteen, rest)) = self.rest.split_first_chunk()
            && !has_controls(sixteen)
        {
            self.rest = rest;
        }
        while let Some((eight, rest)) = self.rest.split_first_chunk() {
            let word = u64::from_le_bytes(*eight);
            let controls = bytes_below(word, b' ') | bytes_equal(word, 0x7f);
            if controls == 0 {
                self.rest = rest;
                continue;
            }
            self.rest = &self.rest[first_byte(controls)..];
            if self.rest[0] != b'\t' {
                return self.since(start);
            }
            self.rest = &self.rest[1..];
        }
        while let [byte, rest @ ..] = self.rest
            && is_text(*byte)
        {
            self.rest = rest;
        }
        self.since(start)
    }

    #[inline]
    fn since(&self, start: &'a [u8]) -> &'a [u8] {
        &start[..start.len() - self.rest.len()]
    }

    /// CR LF, and nothing else (RFC 9112, 2.2). `kind` is for other bytes than these two.
    #[inline]
    fn line_end(&mut self, kind: Kind) -> Result<(), Stop> {
        match self.rest {
            [b'\r', b'\n', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            [] | [b'\r'] => Err(Stop::Short),
            [b'\n', ..] => Err(Stop::Bad(Kind::LineEnd)),
            _ => Err(Stop::Bad(kind)),
        }
    }
}

/// Fewer than eight bytes are left: too few for the rest of a whole head.
#[cold]
fn end_of_target(target: &[u8]) -> Stop {
    match target.iter().position(|&byte| !is_target_byte(byte)) {
        None => Stop::Short,
        Some(end) if target[end] == b'#' || !target[end].is_ascii() => Stop::Bad(Kind::TargetByte),
        Some(end) if end > 0 && target[end] == b' ' => other_version(&target[end + 1..]),
        Some(_) => Stop::Bad(Kind::RequestLine),
    }
}

/// What a target may be made of.
pub(super) fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Tells an unsupported version from a malformed one, as soon as they differ.
#[cold]
fn other_version(rest: &[u8]) -> Stop {
    let as_expected = |(at, &byte): (usize, &u8)| match at {
        5 | 7 => byte.is_ascii_digit(),
        8 => byte == b'\r',
        _ => byte == b"HTTP/_._"[at],
    };
    if !rest.iter().take(9).enumerate().all(as_expected) {
        Stop::Bad(Kind::Version)
    } else if rest.len() < 9 {
        Stop::Short
    } else {
        Stop::Bad(Kind::VersionUnsupported)
    }
}

#[cold]
fn no_colon(rest: &[u8]) -> Stop {
    match rest {
        [] => Stop::Short,
        [b'\n', ..] => Stop::Bad(Kind::LineEnd),
        _ => Stop::Bad(Kind::HeaderName),
    }
}

/// Whether one of the bytes is less than a space, or DEL. Without branches: the compiler compares all at once.
#[inline]
fn has_controls(bytes: &[u8; 16]) -> bool {
    bytes.iter().fold(0, |found, &byte| found | u8::from(byte < b' ') | u8::from(byte == 0x7f)) != 0
}

// Of the bytes of a word, the first is the lowest. The high bits of the bytes looked for are set in the results; above
// the first such byte there may be false ones, except in `others_than_letters`.

/// Bytes less than `limit`, which is at most 0x80.
#[inline]
fn bytes_below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(eight(limit)) & !word & HIGH_BITS
}

#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    bytes_below(word ^ eight(byte), 1)
}

/// Bytes other than letters and `-`, which names are mostly made of.
#[inline]
fn others_than_letters(word: u64) -> u64 {
    let seven_bits = !HIGH_BITS;
    // Added to seven bits, the high bit says whether they are at least as much as 0x80 less what was added.
    let lower = (word | eight(0x20)) & seven_bits;
    let letters = (lower + eight(0x80 - b'a')) & !(lower + eight(0x80 - (b'z' + 1)));
    let no_hyphens = ((word ^ eight(b'-')) & seven_bits) + seven_bits;
    (word | (!letters & no_hyphens)) & HIGH_BITS
}

/// Which byte the first mark is in; there is one.
#[inline]
fn first_byte(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// A word of eight times this byte.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH_BITS: u64 = eight(0x80);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_marks_the_bytes_that_its_bytes_say() {
        for byte in 0..=255u8 {
            for (place, filler) in (0..8).flat_map(|place| [(place, b'a'), (place, b'Z'), (place, b'-')]) {
                let mut bytes = [filler; 8];
                bytes[place] = byte;
                let word = u64::from_le_bytes(bytes);
                let mark = 0x80 << (8 * place);
                let expected = |marked: bool| if marked { mark } else { 0 };
                let is_letter = byte.is_ascii_alphabetic() || byte == b'-';
                assert_eq!(others_than_letters(word), expected(!is_letter), "{byte}");
                // Of the other two, the first mark counts.
                let first = |marks: u64| marks & marks.wrapping_neg();
                assert_eq!(first(bytes_below(word, b' ')), expected(byte < b' '), "{byte}");
                assert_eq!(first(bytes_equal(word, b'?')), expected(byte == b'?'), "{byte}");
            }
        }
    }

    #[test]
    fn controls_are_found_wherever_they_are() {
        for byte in 0..=255u8 {
            for place in 0..16 {
                let mut bytes = [b'x'; 16];
                bytes[place] = byte;
                assert_eq!(has_controls(&bytes), byte.is_ascii_control(), "{byte}");
            }
        }
    }
}

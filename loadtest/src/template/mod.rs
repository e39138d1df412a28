//! Requests that differ: placeholders in paths, header fields and bodies.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{seq}` | the number of the request, from 0, once in the whole run |
//! | `{rand:16}` | so many letters and digits by chance, other ones at each place |
//! | `{line:FILE}` | a line of the file, in turn: request 0 has the first, and after the last the first comes again |
//! | `{{` | `{` |
//!
//! A brace that no name follows, as in JSON, stands for itself. Empty lines of a file do not count, and neither does
//! the line's end. A template is parsed once; rendering it allocates nothing but room in the caller's buffer.

mod error;
mod files;
mod placeholder;

use fastrand::Rng;
use placeholder::Placeholder;
use std::sync::Arc;

pub(crate) use error::Problem;
pub use error::TemplateError;
pub use files::{Files, Lines};
pub(crate) use files::{MOST_LINES, split};

/// A text with placeholders. Cloning it copies no text.
///
/// ```
/// use lakh_loadtest::template::{Files, Place, Template, Values};
///
/// let template = Template::parse("/users/{seq}?{{", Place::Target, &mut Files::new())?;
/// let mut values = Values::new(0, 1);
/// let mut path = Vec::new();
/// for _ in 0..2 {
///     template.render(&mut values, &mut path);
///     values.advance();
/// }
/// assert_eq!(path, b"/users/0?{/users/1?{");
/// # Ok::<(), lakh_loadtest::template::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Arc<[u8]>),
    Number,
    Random(usize),
    Line(Arc<Lines>),
}

/// Where a template's text goes: what it must not contain depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A request's target: visible ASCII alone.
    Target,
    /// The value of a header field: no control characters but tabs.
    Field,
    /// A text message: UTF-8.
    Text,
    /// A body: anything.
    Body,
}

impl Template {
    /// Reads a text, and the files that it names.
    ///
    /// # Errors
    ///
    /// If it has an unknown placeholder, names a file that cannot be read, is too big or has no lines, or has anything
    /// that may not stand at its place.
    pub fn parse(text: impl AsRef<[u8]>, place: Place, files: &mut Files) -> Result<Template, TemplateError> {
        let text = text.as_ref();
        Template::parse_parts(text, place, files).map_err(|problem| problem.show(text))
    }

    fn parse_parts(text: &[u8], place: Place, files: &mut Files) -> Result<Template, Problem> {
        let mut template = Template::default();
        let mut plain = Vec::new();
        let mut at = 0;
        while let Some(brace) = text[at..].iter().position(|&byte| byte == b'{').map(|found| at + found) {
            place.check(text, at..brace)?;
            plain.extend_from_slice(&text[at..brace]);
            let behind = brace + 1;
            match Placeholder::at_start_of(&text[behind..]).map_err(|what| Problem::new(brace, what))? {
                Some((placeholder, length)) => {
                    template.push(Part::text(&mut plain));
                    let part = placeholder.part(place, files).map_err(|what| Problem::new(brace, what))?;
                    template.push(Some(part));
                    at = behind + length;
                }
                None => {
                    plain.push(b'{');
                    // Two of them are one.
                    at = if text[behind..].starts_with(b"{") { behind + 1 } else { behind };
                }
            }
        }
        place.check(text, at..text.len())?;
        plain.extend_from_slice(&text[at..]);
        template.push(Part::text(&mut plain));
        Ok(template)
    }

    fn push(&mut self, part: Option<Part>) {
        self.parts.extend(part);
    }

    /// Bytes as they are: braces mean nothing.
    pub fn text(bytes: impl Into<Vec<u8>>) -> Template {
        Template { parts: Part::text(&mut bytes.into()).into_iter().collect() }
    }

    /// This, and behind it the other.
    pub fn then(mut self, other: Template) -> Template {
        for part in other.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => *before = [&**before, &*text].concat().into(),
                (_, part) => self.parts.push(part),
            }
        }
        self
    }

    /// What it always becomes; `None` if it has placeholders.
    pub fn fixed(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(&[]),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Adds the text for the request whose values these are.
    pub fn render(&self, values: &mut Values, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Number => out.extend_from_slice(itoa::Buffer::new().format(values.number).as_bytes()),
                Part::Random(count) => out.extend((0..*count).map(|_| values.rng.alphanumeric() as u8)),
                Part::Line(lines) => out.extend_from_slice(lines.get(values.number)),
            }
        }
    }

    /// How many bytes [`render`](Self::render) adds for the request of this number.
    pub fn length(&self, number: u64) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Number => number.checked_ilog10().map_or(1, |digits| digits as usize + 1),
            Part::Random(count) => *count,
            Part::Line(lines) => lines.get(number).len(),
        };
        self.parts.iter().map(length).sum()
    }
}

impl Part {
    /// What has been collected, if it is anything.
    fn text(bytes: &mut Vec<u8>) -> Option<Part> {
        (!bytes.is_empty()).then(|| Part::Text(std::mem::take(bytes).into()))
    }
}

/// What the placeholders of one request become. Every shard has its own, and numbers requests without asking the
/// others.
#[derive(Clone, Debug)]
pub struct Values {
    number: u64,
    step: u64,
    rng: Rng,
}

impl Values {
    /// Those of the first request of shard number `shard` (from 0) of `shards`.
    pub fn new(shard: u64, shards: u64) -> Self {
        Values { number: shard, step: shards.max(1), rng: Rng::new() }
    }

    /// As [`new`](Self::new), with letters by chance that are the same ones every time.
    pub fn with_seed(shard: u64, shards: u64, seed: u64) -> Self {
        Values { rng: Rng::with_seed(seed.wrapping_add(shard)), ..Values::new(shard, shards) }
    }

    /// Goes on to the next request.
    pub fn advance(&mut self) {
        self.number = self.number.wrapping_add(self.step);
    }

    /// The number of the request.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Does something as the request of another number, and comes back.
    pub(crate) fn with_number<R>(&mut self, number: u64, f: impl FnOnce(&mut Values) -> R) -> R {
        let own = std::mem::replace(&mut self.number, number);
        let result = f(self);
        self.number = own;
        result
    }
}

impl Place {
    fn may_have(self, byte: u8) -> bool {
        match self {
            Place::Target => byte.is_ascii_graphic(),
            Place::Field => byte == b'\t' || (byte >= b' ' && byte != 0x7F),
            Place::Text | Place::Body => true,
        }
    }

    /// Whether `text` may stand there, as far as `range` goes.
    pub(crate) fn check(self, text: &[u8], range: std::ops::Range<usize>) -> Result<(), Problem> {
        let part = &text[range.clone()];
        let wrong = match self {
            Place::Text => std::str::from_utf8(part).err().map(|error| error.valid_up_to()),
            _ => part.iter().position(|&byte| !self.may_have(byte)),
        };
        match wrong {
            Some(at) => Err(Problem::new(range.start + at, "a character that may not stand there")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

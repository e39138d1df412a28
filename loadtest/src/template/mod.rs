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

use crate::{numbers, units::quoted};
use fastrand::Rng;
use std::{
    collections::BTreeMap,
    error, fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

/// The most characters of one `{rand:…}`.
const LONGEST_RANDOM: usize = 64 * 1024;
/// The longest name that is looked for behind a brace.
const LONGEST_NAME: usize = 32;
const KNOWN: &str = "{seq}, {rand:16} and {line:FILE}";

/// A text with placeholders. Cloning it copies no lines of files.
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
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
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
    /// A body or a message: anything.
    Body,
}

impl Template {
    /// Reads a text, and the files that it names.
    ///
    /// # Errors
    ///
    /// If it has an unknown placeholder, names a file that cannot be read, is too big or has no lines, or has anything
    /// that may not stand at its place.
    pub fn parse(text: &str, place: Place, files: &mut Files) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.extend_from_slice(&rest.as_bytes()[..at]);
            let behind = &rest[at + 1..];
            match Placeholder::at_start_of(behind)? {
                Some((placeholder, length)) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain).into()));
                    }
                    parts.push(placeholder.part(place, files)?);
                    rest = &behind[length..];
                }
                None => {
                    plain.push(b'{');
                    // Two of them are one.
                    rest = behind.strip_prefix('{').unwrap_or(behind);
                }
            }
        }
        plain.extend_from_slice(rest.as_bytes());
        if !place.may_have(text.as_bytes()) {
            return Err(TemplateError(format!("{} has characters that may not stand there", quoted(text))));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Template { parts })
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
}

/// The files that templates name. Each is read once, and whole.
#[derive(Debug, Default)]
pub struct Files {
    read: BTreeMap<PathBuf, Arc<Lines>>,
}

impl Files {
    /// The biggest file that is read, in bytes.
    pub const BIGGEST: u64 = 64 << 20;

    /// None yet.
    pub fn new() -> Self {
        Files::default()
    }

    /// The lines of a file that are not empty.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no plain file, is bigger than [`BIGGEST`](Self::BIGGEST), or has no lines.
    pub fn lines(&mut self, path: &str) -> Result<Arc<Lines>, TemplateError> {
        let path = PathBuf::from(path);
        if let Some(lines) = self.read.get(&path) {
            return Ok(Arc::clone(lines));
        }
        let named = |problem: &dyn fmt::Display| {
            TemplateError(format!("{}: {problem}", quoted(&path.to_string_lossy())))
        };
        let text = read(&path).map_err(|error| named(&error))?;
        if text.len() as u64 > Self::BIGGEST {
            return Err(named(&format!("is bigger than {}", numbers::bytes(Self::BIGGEST))));
        }
        let lines = Arc::new(Lines::new(text));
        if lines.is_empty() {
            return Err(named(&"has no lines"));
        }
        self.read.insert(path, Arc::clone(&lines));
        Ok(lines)
    }
}

/// At most a byte more than is allowed.
fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    // To open a named pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(Files::BIGGEST + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The lines of a file, without empty ones.
#[derive(Debug)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each begins and ends.
    places: Vec<(u32, u32)>,
}

impl Lines {
    fn new(text: Vec<u8>) -> Self {
        let mut places = Vec::new();
        let mut begin = 0;
        for line in text.split(|byte| *byte == b'\n') {
            let length = line.strip_suffix(b"\r").unwrap_or(line).len();
            if length > 0 {
                // A file is not bigger than a `u32` tells.
                places.push((begin as u32, (begin + length) as u32));
            }
            begin += line.len() + 1;
        }
        Lines { text, places }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|(begin, end)| &self.text[*begin as usize..*end as usize])
    }

    /// The line for a request: they take turns.
    fn get(&self, number: u64) -> &[u8] {
        let (begin, end) = self.places[(number % self.places.len() as u64) as usize];
        &self.text[begin as usize..end as usize]
    }
}

/// Why a text is no [`Template`]. Its text says what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for TemplateError {}

impl Place {
    fn may_have(self, text: &[u8]) -> bool {
        let allowed = |byte: &u8| match self {
            Place::Target => byte.is_ascii_graphic(),
            Place::Field => *byte == b'\t' || (*byte >= b' ' && *byte != 0x7F),
            Place::Body => true,
        };
        text.iter().all(allowed)
    }
}

enum Placeholder<'a> {
    Number,
    Random(usize),
    Line(&'a str),
}

impl<'a> Placeholder<'a> {
    /// The one whose opening brace stands before `text`, and its length with the closing one.
    fn at_start_of(text: &'a str) -> Result<Option<(Self, usize)>, TemplateError> {
        let name_length = text.bytes().take(LONGEST_NAME).take_while(u8::is_ascii_alphabetic).count();
        let (name, rest) = text.split_at(name_length);
        if name.is_empty() || !rest.starts_with(['}', ':']) {
            // What is known and goes on differently is a slip.
            let slip = matches!(name, "seq" | "rand" | "line");
            let shown =
                || TemplateError(format!("{} has no end; write {KNOWN}", quoted(&format!("{{{name}"))));
            return if slip { Err(shown()) } else { Ok(None) };
        }
        let end = rest.find('}').ok_or_else(|| {
            TemplateError(format!("{} has no closing brace; write {KNOWN}", quoted(&format!("{{{text}"))))
        })?;
        let whole = || quoted(&format!("{{{}}}", &text[..name_length + end]));
        let argument = rest[..end].strip_prefix(':');
        let placeholder = match (name, argument) {
            ("seq", None) => Placeholder::Number,
            ("rand", Some(count)) => {
                let count = count.parse().ok().filter(|count| (1..=LONGEST_RANDOM).contains(count));
                let count = count.ok_or_else(|| {
                    TemplateError(format!(
                        "{} needs a number from 1 to {LONGEST_RANDOM}: {{rand:16}}",
                        whole()
                    ))
                })?;
                Placeholder::Random(count)
            }
            ("line", Some(path)) if !path.is_empty() => Placeholder::Line(path),
            _ => {
                return Err(TemplateError(format!(
                    "{} is no placeholder; there are {KNOWN}, and {{{{ is a brace",
                    whole()
                )));
            }
        };
        Ok(Some((placeholder, name_length + end + 1)))
    }

    fn part(self, place: Place, files: &mut Files) -> Result<Part, TemplateError> {
        Ok(match self {
            Placeholder::Number => Part::Number,
            Placeholder::Random(count) => Part::Random(count),
            Placeholder::Line(path) => {
                let lines = files.lines(path)?;
                if let Some(line) = lines.iter().find(|line| !place.may_have(line)) {
                    return Err(TemplateError(format!(
                        "{}: the line {} has characters that may not stand there",
                        quoted(path),
                        quoted(&String::from_utf8_lossy(line))
                    )));
                }
                Part::Line(lines)
            }
        })
    }
}

#[cfg(test)]
mod tests;

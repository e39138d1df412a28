//! What stands in braces.

use super::{Files, Part, Place};
use crate::units::quoted;

/// The most characters of one `{rand:…}`.
const LONGEST_RANDOM: usize = 64 * 1024;
/// The longest name that is looked for behind a brace.
const LONGEST_NAME: usize = 32;
const KNOWN: &str = "{seq}, {rand:16} and {line:FILE}";

pub(super) enum Placeholder<'a> {
    Number,
    Random(usize),
    Line(&'a str),
}

impl<'a> Placeholder<'a> {
    /// The one whose opening brace stands before `text`, and its length with the closing one; or what is wrong with it.
    pub(super) fn at_start_of(text: &'a [u8]) -> Result<Option<(Self, usize)>, String> {
        let name_length =
            text.iter().take(LONGEST_NAME).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (name, rest) = text.split_at(name_length);
        if name.is_empty() || !matches!(rest.first(), Some(b'}' | b':')) {
            // What is known and goes on differently is a slip.
            let slip = matches!(name, b"seq" | b"rand" | b"line");
            let shown = || format!("{{{} has no end; write {KNOWN}", String::from_utf8_lossy(name));
            return if slip { Err(shown()) } else { Ok(None) };
        }
        let end = rest.iter().position(|&byte| byte == b'}').ok_or_else(|| {
            format!("{{{}: has no closing brace; write {KNOWN}", String::from_utf8_lossy(name))
        })?;
        let length = name_length + end;
        let whole = || {
            let inside: String =
                String::from_utf8_lossy(&text[..length]).chars().take(LONGEST_NAME).collect();
            format!("{{{}}}", inside.escape_debug())
        };
        let argument = rest[..end].strip_prefix(b":").map(std::str::from_utf8);
        let placeholder = match (name, argument) {
            (b"seq", None) => Placeholder::Number,
            (b"rand", Some(Ok(count))) => {
                let count = count.parse().ok().filter(|count| (1..=LONGEST_RANDOM).contains(count));
                let count = count.ok_or_else(|| {
                    format!("{} needs a number from 1 to {LONGEST_RANDOM}: {{rand:16}}", whole())
                })?;
                Placeholder::Random(count)
            }
            (b"line", Some(Ok(path))) if !path.is_empty() => Placeholder::Line(path),
            _ => {
                return Err(format!("{} is no placeholder; there are {KNOWN}, and {{{{ is a brace", whole()));
            }
        };
        Ok(Some((placeholder, length + 1)))
    }

    /// What a template keeps of it, or what is wrong with it at this place.
    pub(super) fn part(self, place: Place, files: &mut Files) -> Result<Part, String> {
        Ok(match self {
            Placeholder::Number => Part::Number,
            Placeholder::Random(count) => Part::Random(count),
            Placeholder::Line(path) => {
                let lines = files.lines(path).map_err(|error| error.to_string())?;
                if let Some(line) = lines.iter().find(|line| place.check(line, 0..line.len()).is_err()) {
                    return Err(format!(
                        "{}: the line {} has characters that may not stand there",
                        quoted(path),
                        quoted(&String::from_utf8_lossy(line))
                    ));
                }
                Part::Line(lines)
            }
        })
    }
}

//! The files that templates and lists of requests come from.

use super::TemplateError;
use crate::{numbers, units::quoted};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The most lines of a file, so that what is known of them has a bound, too: 8 bytes each.
pub(crate) const MOST_LINES: usize = 32 << 20;

/// The files that a run takes requests from. Each is read once, and whole.
#[derive(Debug)]
pub struct Files {
    read: BTreeMap<PathBuf, Arc<Lines>>,
    /// Bytes that may still be read.
    left: u64,
}

impl Default for Files {
    fn default() -> Self {
        Files { read: BTreeMap::new(), left: Files::MOST }
    }
}

impl Files {
    /// Bytes of all files together.
    pub const MOST: u64 = 1 << 30;

    /// None yet.
    pub fn new() -> Self {
        Files::default()
    }

    /// None yet, and so many bytes of all together at most; never more than [`MOST`](Self::MOST).
    pub fn with_room(bytes: u64) -> Self {
        Files { left: bytes.min(Files::MOST), ..Files::default() }
    }

    /// The lines of a file that are not empty.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no plain file, has no lines or more than 33,554,432, or if there is no room for it.
    pub fn lines(&mut self, path: impl AsRef<Path>) -> Result<Arc<Lines>, TemplateError> {
        let path = path.as_ref();
        if let Some(lines) = self.read.get(path) {
            return Ok(Arc::clone(lines));
        }
        let lines = Lines::new(self.text(path)?).map_err(|problem| problem_of(path, problem))?;
        let lines = Arc::new(lines);
        self.read.insert(path.to_owned(), Arc::clone(&lines));
        Ok(lines)
    }

    /// The bytes of a file.
    pub(crate) fn text(&mut self, path: &Path) -> Result<Vec<u8>, TemplateError> {
        match read(path, self.left) {
            Ok(Some(text)) => {
                self.left -= text.len() as u64;
                Ok(text)
            }
            Ok(None) => {
                let room = numbers::bytes(self.left);
                Err(problem_of(
                    path,
                    format!("is bigger than the {room} that there is room for; take a part of it"),
                ))
            }
            Err(error) => Err(problem_of(path, error)),
        }
    }
}

/// `None` if there are more than `most` bytes, which are not read then.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    // To open a named pipe would wait for its other end.
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let Some(length) = usize::try_from(metadata.len()).ok().filter(|&length| length as u64 <= most) else {
        return Ok(None);
    };
    let mut text = Vec::new();
    // With one byte more, the end is found without growing.
    text.try_reserve_exact(length + 1)?;
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut text)?;
    Ok((text.len() as u64 <= most).then_some(text))
}

/// The lines of a file, without empty ones.
#[derive(Debug, PartialEq)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each begins and ends.
    places: Vec<(u32, u32)>,
}

impl Lines {
    fn new(text: Vec<u8>) -> Result<Self, String> {
        let mut places = Vec::new();
        for (_, begin, end) in split(&text).filter(|(_, begin, end)| begin < end) {
            if places.len() == MOST_LINES {
                return Err(format!("has more than {} lines", numbers::count(MOST_LINES as u64)));
            }
            // A file is not bigger than a `u32` tells.
            places.push((begin as u32, end as u32));
        }
        if places.is_empty() { Err("has no lines".to_owned()) } else { Ok(Lines { text, places }) }
    }

    /// How many; at least one.
    #[expect(clippy::len_without_is_empty, reason = "they never are")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|(begin, end)| &self.text[*begin as usize..*end as usize])
    }

    /// The line for a request: they take turns.
    pub(super) fn get(&self, number: u64) -> &[u8] {
        let (begin, end) = self.places[(number % self.places.len() as u64) as usize];
        &self.text[begin as usize..end as usize]
    }
}

/// The lines of a text: their number, from 1, and where they begin and end, the line's end left out.
pub(crate) fn split(text: &[u8]) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut begin = 0;
    text.split(|&byte| byte == b'\n').zip(1..).map(move |(line, number)| {
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        let place = (number, begin, begin + length);
        begin += line.len() + 1;
        place
    })
}

fn problem_of(path: &Path, problem: impl fmt::Display) -> TemplateError {
    TemplateError::new(format!("{}: {problem}", quoted(&path.to_string_lossy())))
}

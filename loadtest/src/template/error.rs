//! What is wrong with a text, shown with the place where it is.

use std::{error, fmt};

/// Characters that are shown before the place, and from it on.
const BEFORE: usize = 40;
const BEHIND: usize = 36;

/// Why a text is no [`Template`](super::Template), or a file no list of requests. Its text says what there is, and has
/// the place below it, with a caret, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    problem: String,
    /// The text and a caret.
    excerpt: Option<String>,
}

impl TemplateError {
    /// Without a place in a text.
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        TemplateError { problem: problem.into(), excerpt: None }
    }

    /// Says first where the text comes from.
    #[must_use]
    pub fn of(self, source: impl fmt::Display) -> Self {
        TemplateError { problem: format!("{source}: {}", self.problem), ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl error::Error for TemplateError {}

/// What is wrong at which byte.
#[derive(Debug)]
pub(crate) struct Problem {
    at: usize,
    what: String,
}

impl Problem {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Problem { at, what: what.into() }
    }

    /// With the part of `text` where it is.
    pub(crate) fn show(self, text: &[u8]) -> TemplateError {
        let (before, behind) = text.split_at(self.at.min(text.len()));
        let (before, behind) = (printable(before), printable(behind));
        let skipped = before.len().saturating_sub(BEFORE);
        let begin = if skipped > 0 { "…" } else { "" };
        let end = if behind.len() > BEHIND { "…" } else { "" };
        let left: String = before[skipped..].iter().collect();
        let right: String = behind.iter().take(BEHIND).collect();
        let column = 2 + begin.chars().count() + before.len() - skipped;
        let excerpt = format!("  {begin}{left}{right}{end}\n{:column$}^", "");
        TemplateError { problem: self.what, excerpt: Some(excerpt) }
    }
}

/// In one line, and without what a terminal would obey.
fn printable(bytes: &[u8]) -> Vec<char> {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| -> Box<dyn Iterator<Item = char>> {
        if c.is_control() { Box::new(c.escape_default()) } else { Box::new([c].into_iter()) }
    };
    text.chars().flat_map(shown).collect()
}

//! One event, and its lines.

use bytes::Bytes;
use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// One event (HTML standard, 9.2.6). One without data is not given to the page, but its id and its time
/// to wait count.
///
/// ```
/// use lakh_http::sse::Event;
///
/// let event = Event::new("two\nlines").name("news").id("7");
/// assert_eq!(event.to_string(), "id: 7\nevent: news\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    id: Option<String>,
    name: Option<String>,
    /// The lines of all other fields.
    lines: String,
}

impl Event {
    /// An event with this data, which may have several lines. Their ends become `\n`, whatever they were.
    pub fn new(data: impl AsRef<str>) -> Self {
        let mut event = Event::default();
        event.write_lines("data: ", data.as_ref());
        event
    }

    /// An event with JSON as its data.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Event::new)
    }

    /// What kind of event it is: what a page gives to `addEventListener`. `message` by default.
    ///
    /// # Panics
    /// If there is a line end in it.
    #[track_caller]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(!name.contains(['\r', '\n']), "an event's name cannot have several lines: {name:?}");
        self.name = Some(name);
        self
    }

    /// What the client sends as `Last-Event-ID` when it comes back.
    ///
    /// # Panics
    /// If there is a line end in it, or a NUL, with which clients ignore it.
    #[track_caller]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        assert!(!id.contains(['\r', '\n', '\0']), "an event's id cannot be {id:?}");
        self.id = Some(id);
        self
    }

    /// How long the client has to wait, from now on, before it comes back after a loss; in milliseconds
    /// on the wire.
    pub fn retry(mut self, delay: Duration) -> Self {
        // Writing into a String cannot fail.
        let _ = writeln!(self.lines, "retry: {}", delay.as_millis());
        self
    }

    /// Adds a comment, which clients ignore.
    pub fn comment(mut self, text: impl AsRef<str>) -> Self {
        self.write_lines(": ", text.as_ref());
        self
    }

    fn write_lines(&mut self, field: &str, text: &str) {
        // The ends of lines that clients know: CR LF, LF, CR.
        for line in text.replace("\r\n", "\n").split(['\r', '\n']) {
            self.lines.extend([field, line, "\n"]);
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        self.to_string().into()
    }
}

impl std::fmt::Display for Event {
    /// As it is sent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (field, value) in [("id", &self.id), ("event", &self.name)] {
            if let Some(value) = value {
                writeln!(f, "{field}: {value}")?;
            }
        }
        writeln!(f, "{}", self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_split_at_every_kind_of_line_end() {
        let event = Event::new("a\nb\r\nc\rd\n\n");
        let expected = "data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: \n\n";
        assert_eq!(event.to_string(), expected);
        assert_eq!(Event::new("").to_string(), "data: \n\n");
    }

    #[test]
    fn all_fields_are_written() {
        let event = Event::json(&[1, 2]).unwrap().retry(Duration::from_secs(2)).comment("x\ny").id("");
        assert_eq!(event.to_string(), "id: \ndata: [1,2]\nretry: 2000\n: x\n: y\n\n");
        assert_eq!(Event::default().to_string(), "\n");
    }

    #[test]
    #[should_panic(expected = "several lines")]
    fn a_name_cannot_smuggle_a_field_in() {
        let _ = Event::new("x").name("a\ndata: b");
    }

    #[test]
    #[should_panic(expected = "an event's id")]
    fn an_id_cannot_smuggle_a_field_in() {
        let _ = Event::new("x").id("a\rdata: b");
    }
}

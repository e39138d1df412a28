//! One line of the log.

use crate::{
    human,
    terminal::{Colour, Paint},
};
use std::{io::Write, time::Duration};

/// How lines look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    pub(crate) paint: Paint,
    /// Cuts what would not fit on a terminal's line.
    pub(crate) for_people: bool,
}

/// Room for the method and the target: shorter ones are padded to the first width, longer ones
/// cut, on a terminal and elsewhere.
const REQUEST: usize = 28;
const REQUEST_AT_MOST: usize = 48;
const REQUEST_IN_FILES: usize = 2048;

#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) clock: &'a str,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    /// `None`: there was no answer.
    pub(super) status: Option<u16>,
    pub(super) cut: bool,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

impl Line<'_> {
    pub(super) fn write_to(&self, out: &mut Vec<u8>, style: Style) {
        let paint = style.paint;
        let end = paint.end();
        out.extend_from_slice(paint.begin(Colour::Dim).as_bytes());
        out.extend_from_slice(self.clock.as_bytes());
        out.extend_from_slice(end.as_bytes());
        out.push(b' ');
        let most = if style.for_people { REQUEST_AT_MOST } else { REQUEST_IN_FILES };
        write_request(out, self.method, self.target, most);
        let colour = match self.status {
            _ if self.cut => Colour::Red,
            Some(..300) => Colour::Green,
            Some(300..400) => Colour::Cyan,
            Some(400..500) => Colour::Yellow,
            _ => Colour::Red,
        };
        let status = self.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        let (size, took) = (human::size(self.bytes), human::took(self.took));
        let cut = if self.cut { "  cut" } else { "" };
        let begin = paint.begin(colour);
        // Writing to memory does not fail.
        let _ = writeln!(out, " {begin}{status}{end}  {size:<4}  {took:>9}{cut}");
    }
}

/// Writes the method and the target in visible ASCII, so that one character is one column.
fn write_request(out: &mut Vec<u8>, method: &str, target: &str, most: usize) {
    let start = out.len();
    let separator: &[u8] = if target.is_empty() { b"" } else { b" " };
    for part in [method.as_bytes(), separator, target.as_bytes()] {
        for byte in part {
            match byte {
                b' '..=b'~' => out.push(*byte),
                _ => {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
        }
    }
    let width = out.len() - start;
    if width > most {
        out.truncate(start + most - 1);
        out.extend_from_slice("…".as_bytes());
    } else {
        out.resize(out.len() + REQUEST.saturating_sub(width), b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(method: &'a str, target: &'a str, status: u16, bytes: u64) -> Line<'a> {
        let (status, took) = (Some(status), Duration::from_micros(123));
        Line { clock: "12:00:01", method, target, status, cut: false, bytes, took }
    }

    fn text(line: &Line<'_>, style: Style) -> String {
        let mut out = Vec::new();
        line.write_to(&mut out, style);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned() {
        let plain = |line: Line<'_>| text(&line, Style::default());
        assert_eq!(
            plain(line("GET", "/", 200, 1234)),
            "12:00:01 GET /                        200  1.2k      0.1ms\n"
        );
        assert_eq!(
            plain(line("GET", "/app.js", 304, 0)),
            "12:00:01 GET /app.js                  304            0.1ms\n"
        );
        assert_eq!(
            plain(line("-", "", 400, 16)),
            "12:00:01 -                            400  16        0.1ms\n"
        );
    }

    #[test]
    fn an_answer_that_was_cut_is_marked() {
        let cut = |line: Line<'_>| text(&Line { cut: true, ..line }, Style::default());
        assert_eq!(
            cut(line("GET", "/film.mp4", 200, 1_000_000_000)),
            "12:00:01 GET /film.mp4                200  1.0G      0.1ms  cut\n"
        );
        assert_eq!(
            cut(Line { status: None, ..line("GET", "/slow", 0, 0) }),
            "12:00:01 GET /slow                    ---            0.1ms  cut\n"
        );
    }

    #[test]
    fn what_is_too_long_for_a_terminal_is_cut_there() {
        let long = format!("/{}", "a".repeat(100));
        let line = line("GET", &long, 200, 0);
        let cut = text(&line, Style { for_people: true, ..Style::default() });
        assert!(cut.contains(&format!("GET /{}… 200", "a".repeat(42))), "{cut}");
        assert!(cut.trim_end().chars().count() <= 80, "{cut}");
        assert!(text(&line, Style::default()).contains(&format!("GET {long} 200")));
    }

    #[test]
    fn files_have_a_limit_too() {
        let long = "a".repeat(100_000);
        assert!(text(&line("GET", &long, 200, 0), Style::default()).len() < REQUEST_IN_FILES + 50);
    }

    #[test]
    fn control_characters_are_escaped() {
        let shown = text(&line("GET", "/\x1b[31m\r\n\u{e9}", 200, 0), Style::default());
        assert!(shown.contains(r"GET /\x1b[31m\x0d\x0a\xc3\xa9"), "{shown}");
        assert_eq!(shown.lines().count(), 1);
    }

    #[test]
    fn colours_end_where_they_began() {
        let shown = text(&line("GET", "/", 404, 0), Style { paint: Paint { on: true }, for_people: true });
        assert!(shown.contains("\x1b[33m404\x1b[0m"), "{shown}");
        assert!(shown.starts_with("\x1b[2m12:00:01\x1b[0m "), "{shown}");
    }
}

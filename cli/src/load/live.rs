//! What standard error shows while a run lasts: a view that is drawn anew in place, or lines.
//!
//! The view hides no cursor and changes no setting of the terminal, so there is nothing to be restored, however the
//! process ends. It is written by the thread of [`lakh_core::stderr`]: a terminal that is stopped holds up no run.

use crate::terminal;
use lakh_core::stderr;
use lakh_loadtest::{Plan, engine::News, progress::Progress, report::Paint};
use std::{
    io::{self, IsTerminal},
    time::Duration,
};

/// How long the end waits for whoever reads standard error, so that the report comes behind the view.
const LAST_FRAME: Duration = Duration::from_millis(500);
/// The size of a terminal that does not say its own.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// What tells a person how the run goes.
pub(crate) struct Live {
    progress: Progress,
    screen: Option<Screen>,
}

impl Live {
    /// A view if standard error is a terminal and `plain` is not asked for, lines otherwise.
    pub(crate) fn new(plan: &Plan, plain: bool) -> Self {
        let view = !plain && !terminal::is_dumb() && io::stderr().is_terminal();
        let paint = super::paint(&io::stderr());
        let screen = view.then(|| Screen::new(paint));
        let mut live = Live { progress: Progress::new(plan), screen };
        live.draw();
        live
    }

    /// Tells of another second.
    pub(crate) fn tell(&mut self, news: &News<'_>) {
        self.progress.add(news.phase, &news.sample);
        if self.screen.is_some() {
            self.draw();
        } else if let Some(line) = self.progress.line() {
            stderr::print(&format!("{line}\n"));
        }
    }

    fn draw(&mut self) {
        let Some(screen) = &mut self.screen else { return };
        let (columns, rows) = size();
        let plain = self.progress.view(columns, rows, Paint::PLAIN);
        let painted = self.progress.view(columns, rows, screen.paint);
        stderr::print(&screen.draw(&plain, &painted, columns));
    }

    /// Takes the view away: what follows stands in its place.
    pub(crate) fn finish(mut self) {
        if let Some(screen) = &mut self.screen {
            stderr::print(&screen.erase(size().0));
            // Else it would erase what is written next.
            stderr::flush(LAST_FRAME);
        }
    }
}

/// What stands on the terminal, above the line with the cursor.
struct Screen {
    paint: Paint,
    /// The columns of each line.
    drawn: Vec<usize>,
}

impl Screen {
    fn new(paint: Paint) -> Self {
        Screen { paint, drawn: Vec::new() }
    }

    /// What replaces the last drawing by these lines. `plain` are the same without colours, which take no room.
    fn draw(&mut self, plain: &[String], painted: &[String], columns: usize) -> String {
        let mut text = self.erase(columns);
        self.drawn.extend(plain.iter().map(|line| line.chars().count()));
        for line in painted {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// What takes the drawing away. A terminal that has become narrower has more rows of it.
    fn erase(&mut self, columns: usize) -> String {
        let rows: usize = self.drawn.drain(..).map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
    }
}

/// Columns and rows of the terminal at standard error.
fn size() -> (usize, usize) {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stderr())
        && size.ws_col > 0
        && size.ws_row > 0
    {
        return (size.ws_col.into(), size.ws_row.into());
    }
    USUAL_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much of a terminal as the view needs. Lines that do not fit are wrapped, as terminals do.
    struct Terminal {
        columns: usize,
        lines: Vec<Vec<char>>,
        row: usize,
    }

    impl Terminal {
        fn new(columns: usize) -> Self {
            Terminal { columns, lines: vec![Vec::new()], row: 0 }
        }

        fn write(&mut self, text: &str) {
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '\n' => self.next_row(),
                    '\r' => {}
                    '\x1b' => {
                        let end = rest.find(|c: char| c.is_ascii_alphabetic()).expect("a whole sequence");
                        self.control(&rest[..end], &rest[end..=end]);
                        rest = &rest[end + 1..];
                    }
                    _ => {
                        if self.lines[self.row].len() == self.columns {
                            self.next_row();
                        }
                        let row = self.row;
                        self.lines[row].push(c);
                    }
                }
            }
        }

        fn control(&mut self, parameters: &str, last: &str) {
            match (parameters, last) {
                (rows, "A") => self.row -= rows.trim_start_matches('[').parse::<usize>().expect("a number"),
                ("[", "J") => {
                    self.lines.truncate(self.row);
                    self.lines.push(Vec::new());
                }
                (_, "m") => {}
                other => panic!("{other:?} is not known"),
            }
        }

        fn next_row(&mut self) {
            self.row += 1;
            if self.row == self.lines.len() {
                self.lines.push(Vec::new());
            }
        }

        /// As terminals do: lines that were too long for it are wrapped anew.
        fn become_narrower(&mut self, columns: usize) {
            self.columns = columns;
            let old = std::mem::take(&mut self.lines);
            for line in old {
                if line.is_empty() {
                    self.lines.push(line);
                } else {
                    self.lines.extend(line.chunks(columns).map(<[char]>::to_vec));
                }
            }
            self.row = self.lines.len() - 1;
        }

        fn text(&self) -> String {
            self.lines.iter().map(|line| line.iter().collect::<String>() + "\n").collect()
        }
    }

    fn draw(screen: &mut Screen, lines: &[&str], columns: usize) -> String {
        let plain: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let painted: Vec<String> = lines.iter().map(|line| format!("\x1b[36m{line}\x1b[0m")).collect();
        screen.draw(&plain, &painted, columns)
    }

    #[test]
    fn each_drawing_replaces_the_last_one() {
        let (mut screen, mut terminal) = (Screen::new(Paint::COLOUR), Terminal::new(80));
        terminal.write("$ lakh load\n");
        for lines in [&["a long line", "", "three"][..], &["short", "", "line"], &["one"], &["two", "lines"]]
        {
            terminal.write(&draw(&mut screen, lines, 80));
            assert_eq!(terminal.text(), format!("$ lakh load\n{}\n\n", lines.join("\n")));
        }
        terminal.write(&screen.erase(80));
        assert_eq!(terminal.text(), "$ lakh load\n\n");
        assert_eq!(screen.erase(80), "", "nothing is left to be erased");
    }

    #[test]
    fn what_is_typed_meanwhile_goes_with_the_view() {
        let (mut screen, mut terminal) = (Screen::new(Paint::PLAIN), Terminal::new(80));
        terminal.write(&draw(&mut screen, &["a view"], 80));
        terminal.write("^C");
        terminal.write(&screen.erase(80));
        assert_eq!(terminal.text(), "\n");
    }

    #[test]
    fn a_terminal_that_becomes_narrower_keeps_nothing_of_the_view() {
        let (mut screen, mut terminal) = (Screen::new(Paint::PLAIN), Terminal::new(100));
        terminal.write("$\n");
        terminal.write(&draw(&mut screen, &[&"x".repeat(99), "", &"y".repeat(40), &"z".repeat(60)], 100));
        terminal.become_narrower(30);
        terminal.write(&draw(&mut screen, &["narrow"], 30));
        assert_eq!(terminal.text(), "$\nnarrow\n\n");
        // Where there is no room for it, there is none.
        terminal.become_narrower(20);
        terminal.write(&draw(&mut screen, &[], 20));
        assert_eq!(terminal.text(), "$\n\n");
    }

    #[test]
    fn a_terminal_has_a_size() {
        let (columns, rows) = size();
        assert!(columns > 0 && rows > 0);
    }
}

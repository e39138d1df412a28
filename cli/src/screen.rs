//! A view that is drawn anew in place, above the line with the cursor.
//!
//! It hides no cursor and takes no other screen, so that nothing has to be restored, however the process ends.

/// The size of a terminal that does not say its own.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// What stands on the terminal, above the line with the cursor.
#[derive(Default)]
pub(crate) struct Screen {
    /// The columns of each line.
    drawn: Vec<usize>,
}

impl Screen {
    /// What replaces the last drawing by these lines. `plain` are the same without colours, which take no room.
    pub(crate) fn draw(&mut self, plain: &[String], painted: &[String], columns: usize) -> String {
        let mut text = self.erase(columns);
        self.drawn.extend(plain.iter().map(|line| line.chars().count()));
        for line in painted {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// What takes the drawing away. A terminal that has become narrower has more rows of it.
    pub(crate) fn erase(&mut self, columns: usize) -> String {
        let rows: usize = self.drawn.drain(..).map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
    }
}

/// Columns and rows of a terminal.
pub(crate) fn size(
    #[cfg(unix)] terminal: impl std::os::fd::AsFd,
    #[cfg(not(unix))] _: impl Sized,
) -> (usize, usize) {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(terminal)
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
        let (mut screen, mut terminal) = (Screen::default(), Terminal::new(80));
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
        let (mut screen, mut terminal) = (Screen::default(), Terminal::new(80));
        terminal.write(&draw(&mut screen, &["a view"], 80));
        terminal.write("^C");
        terminal.write(&screen.erase(80));
        assert_eq!(terminal.text(), "\n");
    }

    #[test]
    fn a_terminal_that_becomes_narrower_keeps_nothing_of_the_view() {
        let (mut screen, mut terminal) = (Screen::default(), Terminal::new(100));
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
        let (columns, rows) = size(std::io::stderr());
        assert!(columns > 0 && rows > 0);
    }
}

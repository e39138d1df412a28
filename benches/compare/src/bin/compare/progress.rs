//! Signs of life on stderr, so that stdout stays a report: one line on a terminal, silence in a file.

use std::fmt::Arguments;
use std::io::IsTerminal;

pub(crate) fn show(what: Arguments<'_>) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what} … ");
    }
}

pub(crate) fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

//! What depends on whether a person is watching.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// Writes why it ends. That nobody reads it is no reason to stop.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Whether what goes to a stream may be coloured: a terminal's user may want no colours anywhere (`NO_COLOR`).
pub(crate) fn may_colour(stream: &impl IsTerminal) -> bool {
    let wants_none = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !wants_none && !is_dumb()
}

/// Whether the terminal knows no control sequences.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Colours for standard output, or none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

impl Paint {
    /// What begins a colour (an SGR number), or nothing.
    pub(crate) fn begin(self, colour: Colour) -> &'static str {
        match colour {
            _ if !self.on => "",
            Colour::Bold => "\x1b[1m",
            Colour::Dim => "\x1b[2m",
            Colour::Red => "\x1b[31m",
            Colour::Green => "\x1b[32m",
            Colour::Yellow => "\x1b[33m",
            Colour::Cyan => "\x1b[36m",
        }
    }

    /// What ends it.
    pub(crate) fn end(self) -> &'static str {
        if self.on { "\x1b[0m" } else { "" }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

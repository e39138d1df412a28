//! What is typed on a terminal whose settings are changed meanwhile.
#![cfg(unix)]

use crate::screen::size;
use lakh_core::tty::Mode;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read},
};
use std::{
    cell::Cell,
    io::{self, Stdin},
    time::{Duration, Instant},
};

/// Between two looks at whether the process was stopped, or the window resized.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The terminal of standard input, with other settings until this is dropped, or a signal ends or stops the process.
pub(crate) struct Typed {
    stdin: Stdin,
    mode: Mode,
    stops: Cell<u32>,
    window: Cell<(usize, usize)>,
}

/// What a wait has ended by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// There is something to be read.
    Typed,
    /// The process was stopped, and goes on.
    Stopped,
    /// The window has another size.
    Resized,
    TimedOut,
}

impl Typed {
    pub(crate) fn new(change: impl FnOnce(&Stdin) -> io::Result<Mode>) -> io::Result<Typed> {
        let stdin = io::stdin();
        let mode = change(&stdin)?;
        let window = Cell::new(size(&stdin));
        Ok(Typed { stdin, mode, stops: Cell::new(0), window })
    }

    /// Waits for what is typed, or for as long as this.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> io::Result<Event> {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            // What was typed before a stop is forgotten.
            let stops = self.mode.resumed();
            if self.stops.replace(stops) != stops {
                return Ok(Event::Stopped);
            }
            let now = size(&self.stdin);
            if self.window.replace(now) != now {
                return Ok(Event::Resized);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let moment = left.map_or(A_MOMENT, |left| left.min(A_MOMENT));
            let moment = Timespec::try_from(moment).expect("a moment is short");
            let mut typed = [PollFd::new(&self.stdin, PollFlags::IN)];
            match poll(&mut typed, Some(&moment)) {
                Ok(0) if left.is_some_and(|left| left <= A_MOMENT) => return Ok(Event::TimedOut),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(Event::Typed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is typed; nothing at its end, and `None` if a signal came between.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match read(&self.stdin, into) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

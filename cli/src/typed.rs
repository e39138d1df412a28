//! What is typed on a terminal whose settings are changed meanwhile, and are as they were afterwards.
#![cfg(unix)]

use crate::terminal::say;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};
use signal_hook::{consts, flag, low_level};
use std::{
    io::{self, Read, Stdin},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What ends or stops a process that a person has started.
const SIGNALS: [i32; 5] = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP, consts::SIGQUIT, consts::SIGTSTP];

/// The terminal of standard input, with other settings until this is dropped, or a signal ends or stops the process.
pub(crate) struct Typed {
    stdin: Stdin,
    before: Termios,
    changed: Termios,
    /// Whether the terminal is as it was, so that signals may do what they do by default.
    restored: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
    /// Readable when a signal has come.
    bell: UnixStream,
}

/// What a wait has ended by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// There is something to be read.
    Typed,
    /// The process was stopped, and goes on.
    Stopped,
    /// One of the signals that were asked for.
    Rung,
    TimedOut,
}

impl Typed {
    /// Changes the settings, and from here on hears of `bells`, signals that would do nothing by default.
    pub(crate) fn new(bells: &[i32], change: impl FnOnce(&mut Termios)) -> io::Result<Typed> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut changed = before.clone();
        change(&mut changed);
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (restored, signal) = (Arc::new(AtomicBool::new(true)), Arc::default());
        for number in SIGNALS {
            flag::register_conditional_default(number, Arc::clone(&restored))?;
            flag::register_usize(number, Arc::clone(&signal), number as usize)?;
            low_level::pipe::register(number, rope.try_clone()?)?;
        }
        for number in bells {
            low_level::pipe::register(*number, rope.try_clone()?)?;
        }
        let terminal = Typed { stdin, before, changed, restored, signal, bell };
        terminal.change()?;
        Ok(terminal)
    }

    /// Waits for what is typed, or for as long as this. Signals that end the process do so in here.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> io::Result<Event> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut both = [PollFd::new(&self.stdin, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
        match poll(&mut both, limit.as_ref()) {
            Ok(0) => return Ok(Event::TimedOut),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Event::Rung),
            Err(error) => return Err(error.into()),
        }
        if !both[1].revents().is_empty() {
            // It holds a byte for each signal at most: which ones came is in `signal`.
            let _ = (&self.bell).read(&mut [0; 64])?;
            return match self.signal.swap(0, Ordering::SeqCst) {
                0 => Ok(Event::Rung),
                number => self.obey(number as i32).map(|()| Event::Stopped),
            };
        }
        Ok(Event::Typed)
    }

    /// Reads what is typed; nothing at its end, and `None` if a signal came between.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match read(&self.stdin, into) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Does what the signal does by default, to a terminal that is as it was.
    fn obey(&self, number: i32) -> io::Result<()> {
        say("\n");
        self.restore();
        low_level::emulate_default_handler(number)?;
        self.change()
    }

    /// What was typed before is forgotten, as it was shown.
    fn change(&self) -> io::Result<()> {
        self.restored.store(false, Ordering::SeqCst);
        Ok(tcsetattr(&self.stdin, OptionalActions::Flush, &self.changed)?)
    }

    fn restore(&self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
        self.restored.store(true, Ordering::SeqCst);
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.restore();
        // One that came at the last moment.
        match self.signal.swap(0, Ordering::SeqCst) {
            0 => {}
            number => drop(low_level::emulate_default_handler(number as i32)),
        }
    }
}

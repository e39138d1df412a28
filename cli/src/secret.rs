//! A password that is typed, or comes through a pipe.

use crate::failure::Failure;
use lakh_password::MAX_PASSWORD;
use std::io::{self, IsTerminal, Read};
use zeroize::Zeroizing;

/// Asks twice if a person is there to be asked, else reads the one line of standard input.
pub(crate) fn read() -> Result<String, Failure> {
    let password = if io::stdin().is_terminal() { ask_twice()? } else { piped()? };
    match password.is_empty() {
        true => Err(Failure::refused("the password is empty")),
        false => Ok(password),
    }
}

fn piped() -> Result<String, Failure> {
    // One byte more than a line may have, with its end.
    let most = MAX_PASSWORD + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    io::stdin().take(most as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        bytes.pop_if(|byte| *byte == b'\r');
    }
    if bytes.contains(&b'\n') {
        return Err(Failure::refused("standard input has more than one line; a password is one"));
    }
    text(bytes)
}

fn text(mut bytes: Zeroizing<Vec<u8>>) -> Result<String, Failure> {
    if bytes.len() > MAX_PASSWORD {
        return Err(Failure::refused(format!("a password has at most {MAX_PASSWORD} bytes")));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        Failure::refused("the password is no UTF-8")
    })
}

fn unreadable(error: io::Error) -> Failure {
    Failure::broken(format!("cannot read the password: {error}"))
}

#[cfg(unix)]
fn ask_twice() -> Result<String, Failure> {
    let terminal = typed::Silent::new().map_err(unreadable)?;
    let first = terminal.line("Password: ").map_err(unreadable)?;
    let second = terminal.line("Once more: ").map_err(unreadable)?;
    drop(terminal);
    match *first == *second {
        true => text(first),
        false => Err(Failure::broken("these are two different passwords")),
    }
}

#[cfg(not(unix))]
fn ask_twice() -> Result<String, Failure> {
    Err(Failure::refused("a terminal cannot be silenced on this platform; give the password by a pipe"))
}

#[cfg(unix)]
mod typed {
    use crate::terminal::say;
    use lakh_password::MAX_PASSWORD;
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::{Errno, read},
        termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
    };
    use signal_hook::{consts, flag, low_level};
    use std::{
        io::{self, Read, Stdin},
        os::unix::net::UnixStream,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
    };
    use zeroize::Zeroizing;

    /// What ends or stops a process that a person has started.
    const SIGNALS: [i32; 5] =
        [consts::SIGINT, consts::SIGTERM, consts::SIGHUP, consts::SIGQUIT, consts::SIGTSTP];

    /// The terminal of standard input, which does not show what is typed until this is dropped, or a signal ends or
    /// stops the process.
    pub(super) struct Silent {
        stdin: Stdin,
        before: Termios,
        silent: Termios,
        /// Whether the terminal is as it was, so that signals may do what they do by default.
        restored: Arc<AtomicBool>,
        signal: Arc<AtomicUsize>,
        /// Readable when a signal has come.
        bell: UnixStream,
    }

    impl Silent {
        pub(super) fn new() -> io::Result<Silent> {
            let stdin = io::stdin();
            let before = tcgetattr(&stdin)?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            // The end of the line is seen all the same.
            silent.local_modes.insert(LocalModes::ECHONL);
            let (bell, rope) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            let (restored, signal) = (Arc::new(AtomicBool::new(true)), Arc::default());
            for number in SIGNALS {
                flag::register_conditional_default(number, Arc::clone(&restored))?;
                flag::register_usize(number, Arc::clone(&signal), number as usize)?;
                low_level::pipe::register(number, rope.try_clone()?)?;
            }
            let terminal = Silent { stdin, before, silent, restored, signal, bell };
            terminal.silence()?;
            Ok(terminal)
        }

        /// What is typed up to the end of the line, without it.
        pub(super) fn line(&self, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
            say(prompt);
            // One byte more than is accepted: it never grows, so that no copy is left behind.
            let most = MAX_PASSWORD + 1;
            let mut line = Zeroizing::new(Vec::with_capacity(most));
            let mut piece = Zeroizing::new([0; 256]);
            loop {
                if self.wait()? {
                    line.clear();
                    say(prompt);
                    continue;
                }
                let length = match read(&self.stdin, &mut piece[..]) {
                    Ok(0) => {
                        say("\n");
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was typed"));
                    }
                    Ok(length) => length,
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                };
                let end = piece[..length].iter().position(|byte| *byte == b'\n');
                let room = most - line.len();
                line.extend_from_slice(&piece[..end.unwrap_or(length).min(room)]);
                if end.is_some() {
                    return Ok(line);
                }
            }
        }

        /// Waits for what is typed; true if the process was stopped meanwhile. Signals that end it do so in here.
        fn wait(&self) -> io::Result<bool> {
            loop {
                let mut both =
                    [PollFd::new(&self.stdin, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
                match poll(&mut both, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                let [typed, rung] = both.map(|one| !one.revents().is_empty());
                if rung {
                    // It holds a byte for each signal at most: which ones came is in `signal`.
                    let _ = (&self.bell).read(&mut [0; 64])?;
                    match self.signal.swap(0, Ordering::SeqCst) {
                        0 => continue,
                        number => return self.obey(number as i32).map(|()| true),
                    }
                }
                if typed {
                    return Ok(false);
                }
            }
        }

        /// Does what the signal does by default, to a terminal that is as it was.
        fn obey(&self, number: i32) -> io::Result<()> {
            say("\n");
            self.restore();
            low_level::emulate_default_handler(number)?;
            self.silence()
        }

        /// What was typed before is forgotten, as it was shown.
        fn silence(&self) -> io::Result<()> {
            self.restored.store(false, Ordering::SeqCst);
            Ok(tcsetattr(&self.stdin, OptionalActions::Flush, &self.silent)?)
        }

        fn restore(&self) {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
            self.restored.store(true, Ordering::SeqCst);
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.restore();
            // One that came at the last moment.
            match self.signal.swap(0, Ordering::SeqCst) {
                0 => {}
                number => drop(low_level::emulate_default_handler(number as i32)),
            }
        }
    }
}

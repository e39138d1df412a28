//! A password that is typed, or comes through a pipe.

use crate::failure::Failure;
#[cfg(unix)]
use crate::{
    terminal::say,
    typed::{Event, Typed},
};
#[cfg(unix)]
use lakh_core::tty::Mode;
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
    let terminal = Typed::new(|stdin| Mode::silent(stdin)).map_err(unreadable)?;
    let first = line(&terminal, "Password: ").map_err(unreadable)?;
    let second = line(&terminal, "Once more: ").map_err(unreadable)?;
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

/// What is typed up to the end of the line, without it.
#[cfg(unix)]
fn line(terminal: &Typed, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    say(prompt);
    // One byte more than is accepted: it never grows, so that no copy is left behind.
    let most = MAX_PASSWORD + 1;
    let mut line = Zeroizing::new(Vec::with_capacity(most));
    let mut piece = Zeroizing::new([0; 256]);
    loop {
        match terminal.wait(None)? {
            Event::Typed => {}
            Event::Stopped => {
                line.clear();
                say(prompt);
                continue;
            }
            Event::Resized | Event::TimedOut => continue,
        }
        let length = match terminal.read(&mut piece[..])? {
            None => continue,
            Some(0) => {
                say("\n");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was typed"));
            }
            Some(length) => length,
        };
        let end = piece[..length].iter().position(|byte| *byte == b'\n');
        let room = most - line.len();
        line.extend_from_slice(&piece[..end.unwrap_or(length).min(room)]);
        if end.is_some() {
            return Ok(line);
        }
    }
}

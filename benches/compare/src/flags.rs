//! Command lines: `--name value` or `--name=value`, and a shell-like splitting of commands.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::{Error, Result};

/// Walks over the arguments of a program.
pub struct Flags {
    rest: std::collections::VecDeque<String>,
    value: Option<String>,
    name: String,
}

impl Flags {
    pub fn from_env() -> Flags {
        Flags::new(std::env::args().skip(1))
    }

    pub fn new(arguments: impl IntoIterator<Item = String>) -> Flags {
        Flags { rest: arguments.into_iter().collect(), value: None, name: String::new() }
    }

    /// The next word if it is not a flag.
    pub fn word(&mut self) -> Option<String> {
        self.rest.pop_front_if(|word| !word.starts_with("--"))
    }

    /// The next flag's name, without a value that was attached to it by `=`.
    pub fn next_flag(&mut self) -> Result<Option<String>> {
        if let Some(value) = self.value.take() {
            return Err(Error::new(format!("{} takes no value, but got {value:?}", self.name)));
        }
        let Some(word) = self.rest.pop_front() else { return Ok(None) };
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                self.value = Some(value.to_owned());
                self.name = name.to_owned();
            }
            _ => self.name = word,
        }
        Ok(Some(self.name.clone()))
    }

    /// The value of the flag that `next_flag` has just returned.
    pub fn value(&mut self) -> Result<String> {
        match self.value.take().or_else(|| self.rest.pop_front()) {
            Some(value) => Ok(value),
            None => Err(Error::new(format!("{} needs a value", self.name))),
        }
    }

    pub fn parsed<T: FromStr>(&mut self) -> Result<T> {
        let value = self.value()?;
        value.parse().map_err(|_| Error::new(format!("{} does not understand {value:?}", self.name)))
    }

    pub fn number(&mut self, least: u64, most: u64) -> Result<u64> {
        let number: u64 = self.parsed()?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(Error::new(format!("{} is {number}, which is not within {least} to {most}", self.name)))
    }

    pub fn list(&mut self) -> Result<Vec<String>> {
        Ok(self.value()?.split(',').map(str::to_owned).filter(|word| !word.is_empty()).collect())
    }

    pub fn unknown<T>(&self) -> Result<T> {
        Err(Error::new(format!("{} is not an option here; see --help", self.name)))
    }
}

/// What every peer server is told.
#[derive(Debug)]
pub struct ServerFlags {
    pub listen: SocketAddr,
    pub shards: usize,
}

impl ServerFlags {
    pub fn parse(flags: Flags) -> Result<ServerFlags> {
        ServerFlags::parse_with(flags, |_| false)
    }

    /// With flags of one server alone: `own` takes those that it knows.
    pub fn parse_with(mut flags: Flags, mut own: impl FnMut(&str) -> bool) -> Result<ServerFlags> {
        let mut parsed = ServerFlags { listen: SocketAddr::from(([127, 0, 0, 1], 0)), shards: 1 };
        while let Some(name) = flags.next_flag()? {
            match name.as_str() {
                "--listen" => parsed.listen = flags.parsed()?,
                "--shards" | "--threads" => parsed.shards = flags.number(1, 1024)? as usize,
                name if own(name) => {}
                _ => return flags.unknown(),
            }
        }
        Ok(parsed)
    }
}

/// Splits a command at spaces, with `'…'` and `"…"` keeping words together.
pub fn split_command(command: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in command.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::new(format!("a quote stays open in {command:?}")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Flags {
        Flags::new(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn values_follow_or_are_attached() {
        let parsed = ServerFlags::parse(flags(&["--listen=127.0.0.1:81", "--shards", "3"])).unwrap();
        assert_eq!((parsed.listen.port(), parsed.shards), (81, 3));
    }

    #[test]
    fn errors_name_the_flag_and_the_value() {
        let error = |words| ServerFlags::parse(flags(words)).unwrap_err().to_string();
        assert_eq!(error(&["--listen", "here"]), "--listen does not understand \"here\"");
        assert_eq!(error(&["--shards"]), "--shards needs a value");
        assert_eq!(error(&["--shards", "0"]), "--shards is 0, which is not within 1 to 1024");
        assert_eq!(error(&["--color"]), "--color is not an option here; see --help");
    }

    #[test]
    fn a_value_that_nobody_asked_for_is_an_error() {
        let mut flags = flags(&["--spin=yes"]);
        assert_eq!(flags.next_flag().unwrap().as_deref(), Some("--spin"));
        assert!(flags.next_flag().is_err());
    }

    #[test]
    fn commands_split_like_a_shell_splits_them() {
        assert_eq!(split_command("a  'b c' d\"e f\" ''").unwrap(), ["a", "b c", "de f", ""]);
        assert!(split_command("a 'b").is_err());
        assert!(split_command("  ").unwrap().is_empty());
    }
}

//! The flags of all examples that serve: where to listen, and with how many shards.

use lakh::http::IntoAddr;
use std::{env, net::SocketAddr, process::exit};

const NAME: &str = env!("CARGO_CRATE_NAME");

pub(crate) struct Flags {
    pub(crate) listen: SocketAddr,
    /// `None`: one for each CPU.
    pub(crate) shards: Option<usize>,
    /// What the example has beside them, with a value each.
    more: &'static [&'static str],
    #[allow(dead_code)] // few have any
    pub(crate) others: Vec<(String, String)>,
}

impl Flags {
    /// Those of this process, which ends here if they ask for help or cannot be understood.
    #[allow(dead_code)] // few have more
    pub(crate) fn from_args(port: u16) -> Self {
        Self::from_args_and(port, &[])
    }

    /// As [`Flags::from_args`], with the flags of one example.
    pub(crate) fn from_args_and(port: u16, more: &'static [&'static str]) -> Self {
        let listen = ([127, 0, 0, 1], port).into();
        let mut flags = Flags { listen, shards: None, more, others: Vec::new() };
        match flags.read(env::args().skip(1)) {
            Ok(true) => flags,
            Ok(false) => {
                println!("{}", flags.usage());
                exit(0);
            }
            Err(message) => fail(&message),
        }
    }

    /// False if help is asked for.
    fn read(&mut self, mut args: impl Iterator<Item = String>) -> Result<bool, String> {
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or(format!("{flag} needs a value; {}", self.usage()));
            match flag.as_str() {
                "--listen" => {
                    self.listen = value()?.into_addr().map_err(|error| format!("--listen: {error}"))?
                }
                "--shards" => self.shards = Some(count(&value()?)?),
                "--help" | "-h" => return Ok(false),
                other if self.more.contains(&other) => {
                    let value = value()?;
                    self.others.push((flag, value));
                }
                _ => return Err(format!("unknown argument {flag}; {}", self.usage())),
            }
        }
        Ok(true)
    }

    fn usage(&self) -> String {
        let more: String = self.more.iter().map(|flag| format!(" [{flag} VALUE]")).collect();
        format!("usage: {NAME} [--listen ADDR:PORT] [--shards N]{more}")
    }
}

fn count(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("--shards: at least one is needed".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err(format!("--shards {value}: not a number")),
    }
}

/// Ends the process: it cannot do what it was asked to.
pub(crate) fn fail(message: &str) -> ! {
    eprintln!("{NAME}: {message}");
    exit(2);
}

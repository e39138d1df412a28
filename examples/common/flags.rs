//! The flags of all examples that serve: where to listen, and with how many shards.

use lakh::http::IntoAddr;
use std::{env, net::SocketAddr, process::exit};

const NAME: &str = env!("CARGO_CRATE_NAME");

/// A flag without a value, for examples that name it among theirs.
#[allow(dead_code)] // those that serve files have none
pub(crate) const PRIVATE_DESCRIPTORS: &str = "--private-descriptors";

pub(crate) struct Flags {
    pub(crate) listen: SocketAddr,
    /// `None`: one for each CPU.
    pub(crate) shards: Option<usize>,
    /// Whether each shard has a descriptor table of its own.
    #[allow(dead_code)] // those that serve files have none
    pub(crate) private_descriptors: bool,
    /// What the example has beside them, with a value each unless it is [`PRIVATE_DESCRIPTORS`].
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
        let mut flags = Flags { listen, shards: None, private_descriptors: false, more, others: Vec::new() };
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
                PRIVATE_DESCRIPTORS if self.more.contains(&PRIVATE_DESCRIPTORS) => {
                    self.private_descriptors = true;
                }
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
        let more = self.more.iter().map(|&flag| match flag {
            PRIVATE_DESCRIPTORS => format!(" [{flag}]"),
            _ => format!(" [{flag} VALUE]"),
        });
        let more: String = more.collect();
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

//! The flags of all examples that serve: where to listen, and with how many shards.

use lakh::http::IntoAddr;
use std::{env, net::SocketAddr, process::exit};

const NAME: &str = env!("CARGO_CRATE_NAME");

pub(crate) struct Flags {
    pub(crate) listen: SocketAddr,
    /// `None`: one for each CPU.
    pub(crate) shards: Option<usize>,
}

impl Flags {
    /// Those of this process, which ends here if they ask for help or cannot be understood.
    pub(crate) fn from_args(port: u16) -> Self {
        let mut flags = Flags { listen: ([127, 0, 0, 1], port).into(), shards: None };
        match flags.read(env::args().skip(1)) {
            Ok(true) => flags,
            Ok(false) => {
                println!("{}", usage());
                exit(0);
            }
            Err(message) => fail(&message),
        }
    }

    /// False if help is asked for.
    fn read(&mut self, mut args: impl Iterator<Item = String>) -> Result<bool, String> {
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or(format!("{flag} needs a value; {}", usage()));
            match flag.as_str() {
                "--listen" => {
                    self.listen = value()?.into_addr().map_err(|error| format!("--listen: {error}"))?
                }
                "--shards" => self.shards = Some(count(&value()?)?),
                "--help" | "-h" => return Ok(false),
                _ => return Err(format!("unknown argument {flag}; {}", usage())),
            }
        }
        Ok(true)
    }
}

fn count(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("--shards: at least one is needed".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err(format!("--shards {value}: not a number")),
    }
}

fn usage() -> String {
    format!("usage: {NAME} [--listen ADDR:PORT] [--shards N]")
}

/// Ends the process: it cannot do what it was asked to.
pub(crate) fn fail(message: &str) -> ! {
    eprintln!("{NAME}: {message}");
    exit(2);
}

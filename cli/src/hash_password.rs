//! `lakh hash-password`: a password becomes what `lakh serve --auth` and password files take.

use crate::{failure::Failure, secret};
use clap::ValueEnum;
use lakh_password::{Algorithm, Error, Hasher, Htpasswd};
use std::io::{self, Write};

pub(crate) const EXAMPLES: &str = "\
Examples:
  lakh hash-password                          asks twice, and shows nothing of it
  lakh hash-password --user ada >> users      a line for lakh serve --auth-file
  pass show site | lakh hash-password         one line from a pipe
  lakh hash-password --memory 65536 --passes 3";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HashPassword {
    /// How to hash it
    #[arg(short, long, value_name = "NAME", default_value = "argon2id")]
    algorithm: Name,

    /// Print USER:HASH, a line of a password file
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// argon2id: memory in KiB [default: 19456]
    #[arg(long, value_name = "KIB", help_heading = "Costs")]
    memory: Option<u32>,

    /// argon2id: how often the memory is gone through [default: 2]
    #[arg(long, value_name = "N", help_heading = "Costs")]
    passes: Option<u32>,

    /// argon2id: independent parts of the memory [default: 1]
    #[arg(long, value_name = "N", help_heading = "Costs")]
    lanes: Option<u32>,

    /// scrypt: the logarithm of N to base 2 [default: 17]
    #[arg(long, value_name = "N", help_heading = "Costs")]
    log_n: Option<u8>,

    /// scrypt: the size of a block, r [default: 8]
    #[arg(long, value_name = "R", help_heading = "Costs")]
    block_size: Option<u32>,

    /// scrypt: how often all of it is done, p [default: 1]
    #[arg(long, value_name = "P", help_heading = "Costs")]
    repetitions: Option<u32>,

    /// pbkdf2: iterations [default: 600000]
    #[arg(long, value_name = "N", help_heading = "Costs")]
    rounds: Option<u32>,

    /// bcrypt: the logarithm of the rounds to base 2 [default: 12]
    #[arg(long, value_name = "N", help_heading = "Costs")]
    cost: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Argon2id,
    Scrypt,
    Pbkdf2,
    Bcrypt,
}

pub(crate) fn run(options: &HashPassword) -> Result<(), Failure> {
    let hasher = Hasher::new(options.algorithm()?).map_err(refused)?;
    if let Some(name) = &options.user {
        Htpasswd::check_name(name).map_err(refused)?;
    }
    let password = secret::read()?;
    let hashed = lakh_core::block_on(async move { hasher.hash(password).await });
    let hash =
        hashed.map_err(|error| Failure::broken(format!("cannot hash it: {error}")))?.map_err(refused)?;
    let line = match &options.user {
        Some(name) => format!("{name}:{hash}\n"),
        None => format!("{hash}\n"),
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::broken(format!("cannot print the hash: {error}")))
}

impl HashPassword {
    /// The algorithm with its costs; costs of another algorithm are a mistake.
    fn algorithm(&self) -> Result<Algorithm, Failure> {
        let stray = self.costs().into_iter().find(|(of, _, given)| *given && *of != self.algorithm);
        if let Some((of, flag, _)) = stray {
            let message =
                format!("--{flag} is a cost of {}, and not of {}", of.text(), self.algorithm.text());
            return Err(Failure::refused(message));
        }
        let mut algorithm = match self.algorithm {
            Name::Argon2id => Algorithm::ARGON2ID,
            Name::Scrypt => Algorithm::SCRYPT,
            Name::Pbkdf2 => Algorithm::PBKDF2,
            Name::Bcrypt => Algorithm::BCRYPT,
        };
        match &mut algorithm {
            Algorithm::Argon2id { memory_kib, passes, lanes } => {
                set(memory_kib, self.memory);
                set(passes, self.passes);
                set(lanes, self.lanes);
            }
            Algorithm::Scrypt { log_n, r, p } => {
                set(log_n, self.log_n);
                set(r, self.block_size);
                set(p, self.repetitions);
            }
            Algorithm::Pbkdf2 { rounds } => set(rounds, self.rounds),
            Algorithm::Bcrypt { cost } => set(cost, self.cost),
            _ => {}
        }
        Ok(algorithm)
    }

    /// Of which algorithm each cost is, its flag, and whether it was given.
    fn costs(&self) -> [(Name, &'static str, bool); 8] {
        [
            (Name::Argon2id, "memory", self.memory.is_some()),
            (Name::Argon2id, "passes", self.passes.is_some()),
            (Name::Argon2id, "lanes", self.lanes.is_some()),
            (Name::Scrypt, "log-n", self.log_n.is_some()),
            (Name::Scrypt, "block-size", self.block_size.is_some()),
            (Name::Scrypt, "repetitions", self.repetitions.is_some()),
            (Name::Pbkdf2, "rounds", self.rounds.is_some()),
            (Name::Bcrypt, "cost", self.cost.is_some()),
        ]
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Name::Argon2id => "argon2id",
            Name::Scrypt => "scrypt",
            Name::Pbkdf2 => "pbkdf2",
            Name::Bcrypt => "bcrypt",
        }
    }
}

fn set<T: Copy>(cost: &mut T, given: Option<T>) {
    *cost = given.unwrap_or(*cost);
}

/// What was asked for, or what was typed, cannot be hashed.
fn refused(error: Error) -> Failure {
    match error.is_format() || error.is_cost() || error.is_password() {
        true => Failure::refused(error.to_string()),
        false => Failure::broken(error.to_string()),
    }
}

//! The algorithms that make hashes, and what they cost.

use crate::{Error, gate::Permit};
use argon2::Argon2;
use password_hash::{PasswordHasher, phc};
use pbkdf2::Pbkdf2;
use scrypt::Scrypt;
use std::str::FromStr;

/// The longest password that is hashed, in bytes.
pub const MAX_PASSWORD: usize = 1024;
/// bcrypt reads no more than 72 bytes, one of which ends the password.
const MAX_BCRYPT_PASSWORD: usize = 71;

// What nobody wants to wait for: some minutes of a processor.
const MAX_MEMORY: u64 = 4 << 30;
const MAX_PASSES: u32 = 1 << 10;
const MAX_LANES: u32 = 64;
const MAX_SCRYPT_R: u32 = 64;
const MAX_ROUNDS: u32 = 100_000_000;
/// PBKDF2 with fewer is refused by its crate.
const MIN_ROUNDS: u32 = 1000;
const MIN_BCRYPT_COST: u32 = 4;
const MAX_BCRYPT_COST: u32 = 20;

/// How to make hashes: the algorithm and its costs.
///
/// The constants are what OWASP's Password Storage Cheat Sheet asks for (2025); [`Default`] is
/// [`ARGON2ID`](Self::ARGON2ID). Ask more where logins are few: verifying uses the costs that stand in the hash, so
/// nothing breaks, and [`Verdict::needs_rehash`](crate::Verdict::needs_rehash) tells which hashes are of yesterday.
///
/// ```
/// use lakh_password::{Algorithm, Hasher};
///
/// let slower = Algorithm::Argon2id { memory_kib: 65_536, passes: 3, lanes: 1 };
/// let hasher = Hasher::new(slower)?;
/// assert!(Hasher::new(Algorithm::Bcrypt { cost: 3 }).unwrap_err().is_cost());
/// # Ok::<(), lakh_password::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Argon2id (RFC 9106), which fills memory: the choice unless something speaks against it.
    Argon2id {
        /// Memory in KiB.
        memory_kib: u32,
        /// How often the memory is gone through (t).
        passes: u32,
        /// Parts of the memory that do not depend on each other (p). They are computed one after the other.
        lanes: u32,
    },
    /// scrypt (RFC 7914), which takes 128 × r × 2^`log_n` bytes of memory.
    Scrypt {
        /// The logarithm of N to base 2.
        log_n: u8,
        /// The size of a block (r).
        r: u32,
        /// How often all of it is done (p), one after the other.
        p: u32,
    },
    /// PBKDF2 with HMAC-SHA-256 (RFC 8018), where FIPS-140 is the law. It takes no memory, which is what is wrong
    /// with it.
    Pbkdf2 {
        /// Iterations.
        rounds: u32,
    },
    /// bcrypt, for what other programs shall read. Passwords have at most 71 bytes; it takes 4 KiB.
    Bcrypt {
        /// The logarithm of the number of rounds to base 2.
        cost: u32,
    },
}

impl Algorithm {
    /// 19 MiB, 2 passes, 1 lane.
    pub const ARGON2ID: Algorithm = Algorithm::Argon2id { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// N = 2^17, r = 8, p = 1: 128 MiB.
    pub const SCRYPT: Algorithm = Algorithm::Scrypt { log_n: 17, r: 8, p: 1 };
    /// 600,000 rounds.
    pub const PBKDF2: Algorithm = Algorithm::Pbkdf2 { rounds: 600_000 };
    /// 2^12 rounds.
    pub const BCRYPT: Algorithm = Algorithm::Bcrypt { cost: 12 };

    /// The memory that one hash takes, in bytes.
    pub fn memory(&self) -> u64 {
        match *self {
            Algorithm::Argon2id { memory_kib, .. } => u64::from(memory_kib) * 1024,
            Algorithm::Scrypt { log_n, r, .. } => (128 * u64::from(r)) << log_n.min(32),
            Algorithm::Pbkdf2 { .. } | Algorithm::Bcrypt { .. } => SMALL,
        }
    }

    /// Refuses costs that are nonsense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let within = |name: &str, value: u64, least: u64, most: u64| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(Error::costly(format!("{name} must be from {least} to {most}, not {value}"))),
        };
        match *self {
            Algorithm::Argon2id { memory_kib, passes, lanes } => {
                within("the lanes of Argon2", lanes.into(), 1, MAX_LANES.into())?;
                within("the passes of Argon2", passes.into(), 1, MAX_PASSES.into())?;
                let least = 8 * u64::from(lanes);
                within("the memory of Argon2 in KiB", memory_kib.into(), least, MAX_MEMORY / 1024)
            }
            Algorithm::Scrypt { log_n, r, p } => {
                within("the block size of scrypt", r.into(), 1, MAX_SCRYPT_R.into())?;
                within("the repetitions of scrypt", p.into(), 1, MAX_PASSES.into())?;
                within("log2(N) of scrypt", log_n.into(), 1, 31)?;
                within("the memory of scrypt in bytes", self.memory(), 256, MAX_MEMORY)
            }
            Algorithm::Pbkdf2 { rounds } => check_rounds("PBKDF2", rounds),
            Algorithm::Bcrypt { cost } => {
                within("the cost of bcrypt", cost.into(), MIN_BCRYPT_COST.into(), MAX_BCRYPT_COST.into())
            }
        }
    }

    /// Refuses a password that the algorithm cannot take whole.
    pub(crate) fn check_password(&self, password: &str) -> Result<(), Error> {
        let most = match self {
            Algorithm::Bcrypt { .. } => MAX_BCRYPT_PASSWORD,
            _ => MAX_PASSWORD,
        };
        match password.len() <= most && !(most == MAX_BCRYPT_PASSWORD && password.contains('\0')) {
            true => Ok(()),
            false => Err(Error::password(format!("a password has at most {most} bytes, and no NUL"))),
        }
    }

    /// Makes the hash, as text. This is what takes its time, which is the same for every password: of one that
    /// [`check_password`](Self::check_password) refuses, bcrypt hashes the beginning.
    pub(crate) fn compute(&self, password: &str, salt: [u8; 16], permit: &Permit) -> Result<String, Error> {
        permit.count();
        let password = password.as_bytes();
        let phc: Result<phc::PasswordHash, _> = match *self {
            Algorithm::Argon2id { memory_kib, passes, lanes } => {
                let params = argon2::Params::new(memory_kib, passes, lanes, None).map_err(costs)?;
                Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                    .hash_password_with_salt(password, &salt)
            }
            Algorithm::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).map_err(costs)?;
                Scrypt::new_with_params(params).hash_password_with_salt(password, &salt)
            }
            Algorithm::Pbkdf2 { rounds } => {
                let params = pbkdf2::Params::new(rounds).map_err(costs)?;
                Pbkdf2::new(pbkdf2::Algorithm::Pbkdf2Sha256, params).hash_password_with_salt(password, &salt)
            }
            Algorithm::Bcrypt { cost } => {
                let parts = bcrypt::hash_with_salt(password, cost, salt).map_err(costs)?;
                return Ok(parts.format_for_version(bcrypt::Version::TwoB));
            }
        };
        Ok(phc.map_err(costs)?.to_string())
    }
}

/// What is counted as the memory of an algorithm that needs hardly any.
pub(crate) const SMALL: u64 = 4096;

pub(crate) fn check_rounds(name: &str, rounds: u32) -> Result<(), Error> {
    match (MIN_ROUNDS..=MAX_ROUNDS).contains(&rounds) {
        true => Ok(()),
        false => Err(Error::costly(format!(
            "the rounds of {name} must be from {MIN_ROUNDS} to {MAX_ROUNDS}, not {rounds}"
        ))),
    }
}

fn costs(error: impl std::fmt::Display) -> Error {
    Error::costly(error.to_string())
}

impl Default for Algorithm {
    fn default() -> Self {
        Algorithm::ARGON2ID
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    /// `argon2id`, `scrypt`, `pbkdf2` or `bcrypt`, with the costs of the constants.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "argon2id" => Ok(Algorithm::ARGON2ID),
            "scrypt" => Ok(Algorithm::SCRYPT),
            "pbkdf2" => Ok(Algorithm::PBKDF2),
            "bcrypt" => Ok(Algorithm::BCRYPT),
            _ => Err(Error::format("the algorithms are argon2id, scrypt, pbkdf2 and bcrypt")),
        }
    }
}

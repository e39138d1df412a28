//! Hashes as they are stored.

use crate::{
    Error,
    algorithm::{Algorithm, SMALL, check_rounds},
    gate::Permit,
};
use argon2::Argon2;
use password_hash::{PasswordVerifier, phc};
use pbkdf2::Pbkdf2;
use scrypt::Scrypt;
use sha_crypt::ShaCrypt;
use std::{fmt, str::FromStr};

/// Longer texts are no hashes.
const MAX_TEXT: usize = 512;

/// A password's hash: the algorithm, its costs, the salt and the result, in one text to be stored.
///
/// Made by [`hash`](crate::hash()), read by [`str::parse`]. Understood are PHC strings of Argon2 (`$argon2id$`,
/// `$argon2i$`, `$argon2d$`), scrypt and PBKDF2 (`$pbkdf2-sha256$`, `$pbkdf2-sha512$`), and what other programs make
/// by bcrypt (`$2a$`, `$2b$`, `$2y$`) and SHA-crypt (`$5$`, `$6$`). Faster hashes than these and plain passwords are
/// refused.
///
/// [`Debug`](fmt::Debug) shows the algorithm alone, so that hashes do not come into logs; [`Display`](fmt::Display)
/// shows all of it.
///
/// ```
/// use lakh_password::PasswordHash;
///
/// let stored = "$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C";
/// let hash: PasswordHash = stored.parse()?;
/// assert_eq!(hash.to_string(), stored);
/// assert!("hunter2".parse::<PasswordHash>().unwrap_err().is_format());
/// # Ok::<(), lakh_password::Error>(())
/// ```
#[derive(Clone)]
pub struct PasswordHash {
    text: Box<str>,
    scheme: Scheme,
}

#[derive(Clone, Copy)]
enum Scheme {
    /// Made as [`Algorithm`] makes it.
    Ours(Algorithm),
    /// Argon2i, Argon2d, or an Argon2id of an older version or another length.
    OtherArgon2 {
        memory: u64,
    },
    Pbkdf2Sha512,
    ShaCrypt,
}

impl PasswordHash {
    /// The text to be stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the hash is of another algorithm, or other costs, than hashes are made with now.
    pub fn needs_rehash(&self, now: &Algorithm) -> bool {
        !matches!(self.scheme, Scheme::Ours(algorithm) if algorithm == *now)
    }

    /// The memory that verifying takes, in bytes.
    pub fn memory(&self) -> u64 {
        match self.scheme {
            Scheme::Ours(algorithm) => algorithm.memory(),
            Scheme::OtherArgon2 { memory } => memory,
            Scheme::Pbkdf2Sha512 | Scheme::ShaCrypt => SMALL,
        }
    }

    /// Whether this is the password. It takes as long as the costs say, whatever the password.
    pub(crate) fn is_of(&self, password: &str, permit: &Permit) -> bool {
        permit.count();
        let bytes = password.as_bytes();
        let phc = || phc::PasswordHash::new(&self.text).expect("was checked when it was read");
        match self.scheme {
            Scheme::Ours(Algorithm::Argon2id { .. }) | Scheme::OtherArgon2 { .. } => {
                Argon2::default().verify_password(bytes, &phc()).is_ok()
            }
            Scheme::Ours(Algorithm::Scrypt { .. }) => Scrypt::new().verify_password(bytes, &phc()).is_ok(),
            Scheme::Ours(Algorithm::Pbkdf2 { .. }) | Scheme::Pbkdf2Sha512 => {
                Pbkdf2::default().verify_password(bytes, &phc()).is_ok()
            }
            // Other programs have cut what is longer than bcrypt reads.
            Scheme::Ours(Algorithm::Bcrypt { .. }) => bcrypt::verify(bytes, &self.text).unwrap_or(false),
            Scheme::ShaCrypt => ShaCrypt::default().verify_password(bytes, &*self.text).is_ok(),
        }
    }

    pub(crate) fn made(text: String, algorithm: Algorithm) -> PasswordHash {
        PasswordHash { text: text.into(), scheme: Scheme::Ours(algorithm) }
    }
}

impl FromStr for PasswordHash {
    type Err = Error;

    /// # Errors
    /// [`is_format`](Error::is_format) for what is not understood, [`is_cost`](Error::is_cost) for costs that are
    /// nonsense. Neither shows the text, which might be somebody's password.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            return Err(Error::format("a hash has no more than 512 characters"));
        }
        let scheme = Scheme::read(text)?;
        if let Scheme::Ours(algorithm) = scheme {
            algorithm.check()?;
        }
        Ok(PasswordHash { text: text.into(), scheme })
    }
}

impl Scheme {
    fn read(text: &str) -> Result<Scheme, Error> {
        let name = text.strip_prefix('$').and_then(|rest| rest.split('$').next());
        match name {
            Some("argon2id" | "argon2i" | "argon2d") => argon2(&read_phc(text)?),
            Some("scrypt") => {
                let params = scrypt_params(&read_phc(text)?)?;
                Ok(Scheme::Ours(params))
            }
            Some(name @ ("pbkdf2-sha256" | "pbkdf2-sha512")) => {
                let params = pbkdf2::Params::try_from(&read_phc(text)?).map_err(not_well_formed)?;
                check_rounds("PBKDF2", params.rounds())?;
                match name {
                    "pbkdf2-sha256" => Ok(Scheme::Ours(Algorithm::Pbkdf2 { rounds: params.rounds() })),
                    _ => Ok(Scheme::Pbkdf2Sha512),
                }
            }
            Some("2a" | "2b" | "2y") => {
                let parts: bcrypt::HashParts = text.parse().map_err(not_well_formed)?;
                Ok(Scheme::Ours(Algorithm::Bcrypt { cost: parts.get_cost() }))
            }
            Some(name @ ("5" | "6")) => sha_crypt(text, name),
            _ => Err(Error::format(unknown(text))),
        }
    }
}

fn argon2(hash: &phc::PasswordHash) -> Result<Scheme, Error> {
    let params = argon2::Params::try_from(hash).map_err(not_well_formed)?;
    let version = argon2::Version::try_from(hash.version.unwrap_or(0x10)).map_err(not_well_formed)?;
    let (memory_kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let algorithm = Algorithm::Argon2id { memory_kib, passes, lanes };
    algorithm.check()?;
    let is_ours = hash.algorithm.as_str() == "argon2id"
        && version == argon2::Version::V0x13
        && hash.hash.as_ref().is_some_and(|output| output.len() == argon2::Params::DEFAULT_OUTPUT_LEN);
    Ok(if is_ours { Scheme::Ours(algorithm) } else { Scheme::OtherArgon2 { memory: algorithm.memory() } })
}

/// Read here, since the crate multiplies before it looks.
fn scrypt_params(hash: &phc::PasswordHash) -> Result<Algorithm, Error> {
    let number = |name: &str| hash.params.get_decimal(name).ok_or_else(|| not_well_formed(""));
    let log_n = u8::try_from(number("ln")?).map_err(not_well_formed)?;
    let algorithm = Algorithm::Scrypt { log_n, r: number("r")?, p: number("p")? };
    algorithm.check()?;
    Ok(algorithm)
}

/// `$5$rounds=5000$salt$hash`, of which the rounds may be missing.
fn sha_crypt(text: &str, name: &str) -> Result<Scheme, Error> {
    let mut fields: Vec<&str> = text.split('$').skip(2).collect();
    if let Some(rounds) = fields.first().and_then(|first| first.strip_prefix("rounds=")) {
        check_rounds("SHA-crypt", rounds.parse().map_err(not_well_formed)?)?;
        fields.remove(0);
    }
    let length = if name == "5" { 43 } else { 86 };
    let is_crypt = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    match fields[..] {
        [salt, hash] if salt.len() <= 16 && is_crypt(salt) && hash.len() == length && is_crypt(hash) => {
            Ok(Scheme::ShaCrypt)
        }
        _ => Err(not_well_formed("")),
    }
}

fn read_phc(text: &str) -> Result<phc::PasswordHash, Error> {
    let hash = phc::PasswordHash::new(text).map_err(not_well_formed)?;
    match hash.salt.is_some() && hash.hash.is_some() {
        true => Ok(hash),
        false => Err(not_well_formed("")),
    }
}

fn not_well_formed(_: impl fmt::Display) -> Error {
    Error::format("the hash is damaged, or a part of it is missing")
}

/// What it is instead, as far as that can be told.
fn unknown(text: &str) -> String {
    let what = if text.starts_with("$apr1$") || text.starts_with("$1$") {
        "a hash by MD5, which protects nothing today"
    } else if text.starts_with("{SHA}") || text.starts_with("{SSHA}") {
        "a hash by SHA-1, which protects nothing today"
    } else if text.starts_with("$2x$") {
        "a hash by a version of bcrypt that had a fault"
    } else if text.starts_with("$y$") || text.starts_with("$7$") {
        "a hash by yescrypt or scrypt in crypt(3)'s form, which is not read here"
    } else {
        "no hash that is known here; a plain password, or crypt(3), is not accepted"
    };
    format!("{what}. Make a new one by `lakh hash-password` or `htpasswd -B`")
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.text.split('$').nth(1).unwrap_or_default();
        f.debug_tuple("PasswordHash").field(&name).finish()
    }
}

impl PartialEq for PasswordHash {
    /// Whether they are the same text.
    fn eq(&self, other: &PasswordHash) -> bool {
        self.text == other.text
    }
}

impl Eq for PasswordHash {}

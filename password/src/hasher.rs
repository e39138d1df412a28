//! Hashing on the pool, within bounds.

use crate::{
    Algorithm, Error, MAX_PASSWORD, PasswordHash,
    gate::{Gate, Permit},
    random,
};
use lakh_core::{
    pool::{Lane, RunError},
    sys::cpu::cpu_quota,
};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};
use zeroize::Zeroizing;

/// Memory for each processor: one scrypt as OWASP has it, six Argon2id.
const MEMORY_PER_CPU: u64 = 128 << 20;
/// At the default costs, the last one waits for about a second.
const LIMIT_PER_CPU: usize = 32;

static DEFAULT: LazyLock<Hasher> = LazyLock::new(|| Hasher::unchecked(Algorithm::default()));

/// Hashes a password by Argon2id at OWASP's costs. Short for [`Hasher::hash`] of the process's [default](Hasher).
///
/// # Errors
/// As [`Hasher::hash`].
///
/// # Cancel safety
/// As [`Hasher::hash`].
///
/// # Panics
/// Outside a shard.
pub async fn hash(password: impl Into<String>) -> Result<PasswordHash, Error> {
    DEFAULT.hash(password).await
}

/// Verifies a password. Short for [`Hasher::verify`] of the process's [default](Hasher).
///
/// # Errors
/// As [`Hasher::verify`].
///
/// # Cancel safety
/// As [`Hasher::hash`].
///
/// # Panics
/// Outside a shard.
pub async fn verify(password: impl Into<String>, stored: Option<&PasswordHash>) -> Result<Verdict, Error> {
    DEFAULT.verify(password, stored).await
}

/// What came of verifying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the password may be wrong"]
pub enum Verdict {
    /// It is another password, or there is no such user.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and the hash is of another algorithm or of other costs than new ones: hash the
    /// password anew and store that.
    Outdated,
}

impl Verdict {
    /// Whether it is the password.
    pub fn is_right(self) -> bool {
        self != Verdict::Wrong
    }

    /// Whether it is the password, and should be hashed anew.
    pub fn needs_rehash(self) -> bool {
        self == Verdict::Outdated
    }
}

/// Hashes by one algorithm, on the pool's cpu lane, within bounds of its own. Clones share the bounds.
///
/// - **Memory**: what is being hashed takes at most 128 MiB for each processor ([`memory`](Self::memory)). Others
///   wait, in order. A stored hash that asks for more than all of it is refused.
/// - **Number**: 32 for each processor wait or are at work ([`limit`](Self::limit)). One more is refused at once
///   ([`Error::is_full`]), so that who logs in does not wait behind a flood.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    gate: Arc<Gate>,
}

impl Hasher {
    /// Makes hashes by this algorithm.
    ///
    /// # Errors
    /// [`is_cost`](Error::is_cost) for costs that are nonsense.
    pub fn new(algorithm: Algorithm) -> Result<Hasher, Error> {
        algorithm.check()?;
        Ok(Hasher::unchecked(algorithm))
    }

    /// The memory for all that is hashed at a time, in bytes; at least what one hash takes. A new bound, which
    /// clones made before do not share.
    pub fn memory(self, bytes: u64) -> Hasher {
        Hasher { gate: gate(self.algorithm, bytes, self.gate.limit()), ..self }
    }

    /// How many may wait or be at work, at least 1. A new bound, which clones made before do not share.
    pub fn limit(self, jobs: usize) -> Hasher {
        Hasher { gate: gate(self.algorithm, self.gate.memory(), jobs), ..self }
    }

    /// How many hashes have been computed by this hasher and its clones, to store or to verify.
    pub fn computed(&self) -> u64 {
        self.gate.computed()
    }

    /// How it makes hashes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Hashes a password with a random salt.
    ///
    /// # Errors
    /// [`is_password`](Error::is_password) if it is too long, [`is_full`](Error::is_full) if too many wait, or
    /// there are no random numbers, or the pool has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future takes queued work back. What is being hashed is hashed to its end, and counts in the
    /// bounds until then.
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn hash(&self, password: impl Into<String>) -> Result<PasswordHash, Error> {
        let (algorithm, password) = (self.algorithm, Zeroizing::new(password.into()));
        algorithm.check_password(&password)?;
        let salt = random::bytes()?;
        let text =
            self.run(algorithm.memory(), move |permit| algorithm.compute(&password, salt, permit)).await??;
        Ok(PasswordHash::made(text, algorithm))
    }

    /// Looks whether this is the password that was hashed. With `None`, for a user that is not there, it makes a
    /// hash, throws it away, and takes the time of a hash made now: the time does not tell who exists, as long as
    /// stored hashes are not [outdated](Verdict::Outdated). What is longer than [`MAX_PASSWORD`] is wrong without
    /// being hashed, for everybody.
    ///
    /// # Errors
    /// [`is_full`](Error::is_full) if too many wait, [`is_cost`](Error::is_cost) if the stored hash asks for more
    /// [`memory`](Self::memory) than there is, or the pool has shut down.
    ///
    /// # Cancel safety
    /// As [`hash`](Self::hash).
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn verify(
        &self,
        password: impl Into<String>,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        let (algorithm, password) = (self.algorithm, Zeroizing::new(password.into()));
        if password.len() > MAX_PASSWORD {
            return Ok(Verdict::Wrong);
        }
        let Some(stored) = stored.cloned() else {
            self.run(algorithm.memory(), move |permit| algorithm.compute(&password, [0; 16], permit))
                .await??;
            return Ok(Verdict::Wrong);
        };
        let is_outdated = stored.needs_rehash(&algorithm);
        let is_right = self.run(stored.memory(), move |permit| stored.is_of(&password, permit)).await?;
        Ok(match (is_right, is_outdated) {
            (false, _) => Verdict::Wrong,
            (true, false) => Verdict::Right,
            (true, true) => Verdict::Outdated,
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        memory: u64,
        work: impl FnOnce(&Permit) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.check_memory(memory)?;
        let permit: Permit = self.gate.enter(memory).await?;
        let job = lakh_core::with(|shard| {
            shard.pool().run(Lane::CPU, move || {
                let done = work(&permit);
                drop(permit);
                done
            })
        });
        Ok(job.map_err(RunError::from)?.await.map_err(RunError::from)?)
    }

    /// Refuses a stored hash that could never be verified, since it takes more memory than there is for all.
    pub(crate) fn check_memory(&self, memory: u64) -> Result<(), Error> {
        let most = self.gate.memory();
        match memory <= most {
            true => Ok(()),
            false => {
                Err(Error::costly(format!("the hash takes {memory} bytes of memory; the hasher has {most}")))
            }
        }
    }

    fn unchecked(algorithm: Algorithm) -> Hasher {
        let cpus = cpu_quota().get();
        let gate = gate(algorithm, MEMORY_PER_CPU * cpus as u64, LIMIT_PER_CPU * cpus);
        Hasher { algorithm, gate }
    }
}

fn gate(algorithm: Algorithm, memory: u64, limit: usize) -> Arc<Gate> {
    Arc::new(Gate::new(memory.max(algorithm.memory()), limit.max(1)))
}

impl Default for Hasher {
    /// The process's own: Argon2id at OWASP's costs, with the bounds that [`hash`] and [`verify`] share.
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

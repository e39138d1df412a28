//! Files of names and hashes.

use crate::{
    Error, Hasher, PasswordHash, random,
    recent::{Recent, Tag},
    together::{Part, Together},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    collections::HashMap,
    fmt,
    fs::File,
    future::Future,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// The longest name, as Apache has it.
const MAX_NAME: usize = 255;

/// Names and the hashes of their passwords, as `htpasswd` files have them: one `name:hash` a line, or
/// `name:hash:comment`; empty lines and those that begin with `#` count as comments, too.
///
/// The hashes are those that [`PasswordHash`] reads: bcrypt (`htpasswd -B`), Argon2, scrypt and PBKDF2 as PHC strings
/// (`lakh hash-password`), and SHA-crypt (`$5$`, `$6$`). A line with any other one (MD5, SHA-1, crypt(3), a plain
/// password) is refused with its number, and so is a name that comes twice.
///
/// - **Who is not there** costs the hash of somebody who is. It is always the same one for the same name, and so
///   neither the time nor its changes tell who exists, whatever the costs of the lines.
/// - **Who has been let in** is remembered for five minutes, up to 1,024 of them, or every request of a browser would
///   cost a hash. What is kept is an HMAC of name and password by a random key of this process, not the password.
/// - **Who asks the same at the same time** (the connections of one browser) waits for one hash.
/// - **All others** share the bounds of the [`Hasher`]: as many wait as may, and the next one is refused at once
///   ([`Error::is_full`]). Whoever is remembered gets in all the same.
///
/// Clones share all of it, until one is added to. A file that has changed is not read again by itself.
///
/// ```
/// use lakh_password::Htpasswd;
///
/// # lakh_core::block_on(async {
/// let users = Htpasswd::parse("ada:$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C:since May")?;
/// assert!(users.verify("ada", "correct horse").await?);
/// assert!(!users.verify("ada", "guessed").await?);
/// assert!(!users.verify("bob", "correct horse").await?);
///
/// let error = Htpasswd::parse("# staff\nbob:hunter2").unwrap_err();
/// assert!(error.is_format() && error.to_string().starts_with("line 2: "));
/// # Ok::<(), lakh_password::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Clone)]
pub struct Htpasswd {
    users: Arc<Users>,
    hasher: Hasher,
    entrance: Arc<Entrance>,
}

#[derive(Clone, Default)]
struct Users {
    hashes: Vec<PasswordHash>,
    /// Where in `hashes`.
    names: HashMap<Box<str>, usize>,
}

/// What is known of those who have come.
struct Entrance {
    key: [u8; 32],
    recent: Mutex<Recent>,
    together: Arc<Together>,
}

impl Htpasswd {
    /// Nobody yet; verifies by this hasher, whose algorithm does not matter.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn new(hasher: Hasher) -> Result<Htpasswd, Error> {
        let entrance = Arc::new(Entrance::new(random::bytes()?));
        Ok(Htpasswd { users: Arc::default(), hasher, entrance })
    }

    /// The lines of a text, to be verified by the process's [default](Hasher::default).
    ///
    /// # Errors
    /// As [`add_lines`](Self::add_lines).
    pub fn parse(text: &str) -> Result<Htpasswd, Error> {
        let mut users = Htpasswd::new(Hasher::default())?;
        users.add_lines(text)?;
        Ok(users)
    }

    /// The lines of a file, to be verified by the process's [default](Hasher::default). It blocks: call it at the
    /// start, or on the [pool](lakh_core::blocking).
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file).
    pub fn open(path: impl AsRef<Path>) -> Result<Htpasswd, Error> {
        let mut users = Htpasswd::new(Hasher::default())?;
        users.add_file(path)?;
        Ok(users)
    }

    /// Adds the lines of a file, which has 16 MiB at most. It blocks, as [`open`](Self::open) does.
    ///
    /// # Errors
    /// What the system says, or as [`add_lines`](Self::add_lines).
    pub fn add_file(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            return Err(Error::format("a password file has no more than 16 MiB"));
        }
        let text = String::from_utf8(text).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Error::format("it is no UTF-8").at_line(line)
        })?;
        self.add_lines(&text)
    }

    /// Adds lines; those before one that is refused have been added.
    ///
    /// # Errors
    /// For the first line that is refused, with its number and what to do, and without the line, which may hold a
    /// password: [`is_format`](Error::is_format), or [`is_cost`](Error::is_cost).
    pub fn add_lines(&mut self, text: &str) -> Result<(), Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if !line.is_empty() && !line.starts_with('#') {
                self.add_line(line).map_err(|error| error.at_line(number + 1))?;
            }
        }
        Ok(())
    }

    /// Adds `name:hash` or `name:hash:comment`.
    ///
    /// # Errors
    /// As [`add_lines`](Self::add_lines), without a number.
    pub fn add_line(&mut self, line: &str) -> Result<(), Error> {
        let (name, rest) = line.split_once(':').ok_or_else(|| Error::format("a line is `name:hash`"))?;
        let hash = rest.split(':').next().unwrap_or_default();
        self.add(name, hash.parse()?)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`is_format`](Error::is_format) for a name that is there already, is empty, has more than 255 bytes, a colon
    /// or a control character; [`is_cost`](Error::is_cost) for a hash that takes more memory than the hasher has.
    pub fn add(&mut self, name: &str, hash: PasswordHash) -> Result<(), Error> {
        Htpasswd::check_name(name)?;
        self.hasher.check_memory(hash.memory())?;
        if Arc::strong_count(&self.users) > 1 {
            // Clones have other users from now on, and must not let in who is remembered as one of these.
            self.entrance = Arc::new(Entrance::new(self.entrance.key));
        }
        let users = Arc::make_mut(&mut self.users);
        if users.names.contains_key(name) {
            return Err(Error::format("the name is there already"));
        }
        users.names.insert(name.into(), users.hashes.len());
        users.hashes.push(hash);
        Ok(())
    }

    /// Whether [`add`](Self::add) takes this name.
    ///
    /// # Errors
    /// [`is_format`](Error::is_format) if it is empty, has more than 255 bytes, a colon or a control character.
    pub fn check_name(name: &str) -> Result<(), Error> {
        let is_refused = |c: char| c == ':' || c.is_control();
        match !name.is_empty() && name.len() <= MAX_NAME && !name.contains(is_refused) {
            true => Ok(()),
            false => Err(Error::format("a name has 1 to 255 bytes, no colon and no control character")),
        }
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.hashes.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.hashes.is_empty()
    }

    /// Whether this is the password of this user. The future owns what it needs.
    ///
    /// # Errors
    /// [`is_full`](Error::is_full) if too many wait, or the pool has shut down.
    ///
    /// # Cancel safety
    /// As [`Hasher::hash`].
    ///
    /// # Panics
    /// Outside a shard.
    pub fn verify(
        &self,
        name: &str,
        password: &str,
    ) -> impl Future<Output = Result<bool, Error>> + Send + 'static + use<> {
        let tag = self.entrance.tag(&[name, password]);
        let asked = match self.entrance.has(&tag) {
            true => None,
            false => Some((self.clone(), password.to_owned(), self.users.find(name, &self.entrance))),
        };
        async move {
            let Some((this, password, (stored, is_there))) = asked else { return Ok(true) };
            loop {
                match this.entrance.together.ask(tag) {
                    Part::First(first) => {
                        let verdict = this.hasher.verify(&*password, stored.as_ref()).await?;
                        let is_right = verdict.is_right() && is_there;
                        if is_right {
                            this.entrance.add(tag);
                        }
                        first.answer(is_right);
                        return Ok(is_right);
                    }
                    Part::Other(other) => {
                        if let Some(is_right) = other.await {
                            return Ok(is_right);
                        }
                    }
                }
            }
        }
    }
}

impl Users {
    /// The user's hash, or somebody's, and whether it is the user's.
    fn find(&self, name: &str, entrance: &Entrance) -> (Option<PasswordHash>, bool) {
        let mine = self.names.get(name).map(|place| &self.hashes[*place]);
        let hash = mine.or_else(|| {
            // Nobody who does not have the key can tell whose it will be.
            let [a, b, c, d, ..] = entrance.tag(&[name]);
            self.hashes.get(u32::from_be_bytes([a, b, c, d]) as usize % self.hashes.len().max(1))
        });
        (hash.cloned(), mine.is_some())
    }
}

impl Entrance {
    fn new(key: [u8; 32]) -> Entrance {
        Entrance { key, recent: Mutex::default(), together: Arc::default() }
    }

    /// The lengths make the parts unmistakable.
    fn tag(&self, parts: &[&str]) -> Tag {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn has(&self, tag: &Tag) -> bool {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).has(tag, Instant::now())
    }

    fn add(&self, tag: Tag) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(tag, Instant::now());
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("len", &self.len())
            .field("hasher", &self.hasher)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_there_cost_the_hash_of_somebody_and_always_of_the_same_one() {
        let mut users = Htpasswd::new(Hasher::default()).unwrap();
        for cost in ["04", "05", "06"] {
            let hash = format!("$2y${cost}$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C");
            users.add(cost, hash.parse().unwrap()).unwrap();
        }
        let find = |users: &Htpasswd, name: &str| users.users.find(name, &users.entrance);
        assert!(matches!(find(&users, "05"), (Some(hash), true) if hash.as_str().starts_with("$2y$05$")));
        let mut seen = [0; 3];
        for number in 0..100 {
            let name = format!("nobody {number}");
            let (hash, is_there) = find(&users, &name);
            assert!(!is_there && hash == find(&users, &name).0);
            seen[users.users.hashes.iter().position(|stored| hash.as_ref() == Some(stored)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
        assert!(matches!(find(&Htpasswd::new(Hasher::default()).unwrap(), "ada"), (None, false)));
    }
}

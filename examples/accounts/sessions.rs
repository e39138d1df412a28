//! Sessions: a random token in a cookie, and in the database what it hashes to. Who reads the database cannot log in by
//! it. The token is beyond guessing, so a fast hash will do.

use super::accounts::Account;
use lakh::password::random;
use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};
use sha2::{Digest as _, Sha256};
use std::{io, time::SystemTime};

pub(crate) const DAYS: i64 = 7;
/// Of one account.
const MOST: i64 = 16;

/// What the client has.
pub(crate) struct Token(String);

/// What the database has of it.
pub(crate) type Digest = [u8; 32];

impl Token {
    pub(crate) fn new() -> io::Result<Self> {
        random::base64url(32).map(Token)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(&self.0)
    }
}

pub(crate) fn digest(token: &str) -> Digest {
    Sha256::digest(token).into()
}

/// Opens a session for who has shown the account's password, and ends the one that the client had before. False, and
/// there is none, if the account is gone or has another hash by now.
pub(crate) fn open(
    transaction: &Transaction<'_>,
    account: &Account,
    digest: &Digest,
    before: Option<&Digest>,
) -> Result<bool> {
    let opened = transaction.execute(
        "INSERT INTO sessions (digest, account, expires) SELECT ?, id, ? FROM accounts WHERE id = ? AND hash = ?",
        params![digest, now() + DAYS * 24 * 3600, account.id, account.hash],
    )?;
    if opened == 0 {
        return Ok(false);
    }
    if let Some(before) = before {
        close(transaction, before)?;
    }
    transaction.execute("DELETE FROM sessions WHERE expires <= ?", [now()])?;
    // The new one is not the oldest, even if all are of the same second.
    transaction.execute(
        "DELETE FROM sessions WHERE account = ?1 AND digest NOT IN \
         (SELECT digest FROM sessions WHERE account = ?1 ORDER BY digest = ?2 DESC, expires DESC LIMIT ?3)",
        params![account.id, digest, MOST],
    )?;
    Ok(true)
}

pub(crate) fn close(transaction: &Transaction<'_>, digest: &Digest) -> Result<()> {
    transaction.execute("DELETE FROM sessions WHERE digest = ?", [digest]).map(drop)
}

pub(crate) fn close_all(transaction: &Transaction<'_>, account: &Account) -> Result<()> {
    transaction.execute("DELETE FROM sessions WHERE account = ?", [account.id]).map(drop)
}

/// The name of the account whose session it is.
pub(crate) fn user(connection: &Connection, digest: &Digest) -> Result<Option<String>> {
    connection
        .query_row(
            "SELECT name FROM sessions JOIN accounts ON id = account WHERE digest = ? AND expires > ?",
            params![digest, now()],
            |row| row.get(0),
        )
        .optional()
}

fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::{accounts, database::create_tables};
    use super::*;

    #[test]
    fn the_newest_session_is_none_of_the_oldest_even_within_a_second() {
        let mut connection = Connection::open_in_memory().unwrap();
        create_tables(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        let account = accounts::create(&transaction, "ann", "hash").unwrap().unwrap();
        // However equals are ordered, some of these are the last ones.
        for n in (100..120).chain(0..20).chain(200..220) {
            assert!(open(&transaction, &account, &[n; 32], None).unwrap());
            assert_eq!(user(&transaction, &[n; 32]).unwrap().as_deref(), Some("ann"), "{n}");
        }
        let left = transaction.query_one("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0));
        assert_eq!(left.unwrap(), MOST);
    }
}

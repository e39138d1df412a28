//! What the database knows of accounts. These run on its lane.

use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};

/// As it was when it was looked up. What is changed later names the hash that was verified, so that it is changed only
/// if that is still the account's.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) hash: String,
}

/// Case does not count.
pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<Account>> {
    connection
        .query_row("SELECT id, name, hash FROM accounts WHERE name = ?", [name], |row| {
            Ok(Account { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)? })
        })
        .optional()
}

/// `None` if the name is taken.
pub(crate) fn create(transaction: &Transaction<'_>, name: &str, hash: &str) -> Result<Option<Account>> {
    let made = "INSERT INTO accounts (name, hash) VALUES (?, ?) ON CONFLICT DO NOTHING";
    if transaction.execute(made, [name, hash])? == 0 {
        return Ok(None);
    }
    let id = transaction.last_insert_rowid();
    Ok(Some(Account { id, name: name.to_owned(), hash: hash.to_owned() }))
}

/// False if the account is gone or has another hash by now.
pub(crate) fn set_hash(transaction: &Transaction<'_>, account: &Account, hash: &str) -> Result<bool> {
    let changed = "UPDATE accounts SET hash = ? WHERE id = ? AND hash = ?";
    Ok(transaction.execute(changed, params![hash, account.id, account.hash])? == 1)
}

/// With all its sessions. False if the account is gone or has another hash by now.
pub(crate) fn delete(transaction: &Transaction<'_>, account: &Account) -> Result<bool> {
    let deleted = "DELETE FROM accounts WHERE id = ? AND hash = ?";
    Ok(transaction.execute(deleted, params![account.id, account.hash])? == 1)
}

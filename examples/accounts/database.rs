//! The database: one connection to SQLite, on a lane of the pool that is its own.
//!
//! SQLite has one writer at a time. So the lane runs one job at a time, and who has to wait waits in its queue, which
//! has a bound, and not on a thread. A disk that is slow holds up this lane alone.

use lakh::{
    core::pool::{Kind, Lane, LaneConfig, PoolConfig},
    http::{HandlerError, HandlerResult, StatusCode, header},
};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::{
    error::Error,
    fs::OpenOptions,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Jobs that wait.
const QUEUE: usize = 256;
/// How long a handler waits for its job. One that has begun by then is done to its end all the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a job waits for another process that writes to the file.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Of 4 KiB: 1 GiB.
const MOST_PAGES: u32 = 1 << 18;

/// `user_version` of the file. What changes the tables raises it, and brings older files up to it.
const VERSION: u32 = 1;
const TABLES: &str = "
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sessions (
        digest BLOB NOT NULL PRIMARY KEY,
        account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_of_account ON sessions (account, expires);
    CREATE INDEX sessions_by_end ON sessions (expires);
    PRAGMA user_version = 1;
";

/// Clones are of the same connection.
#[derive(Clone)]
pub(crate) struct Database {
    /// `None` once it is closed. Never contended: the lane runs one job at a time.
    connection: Arc<Mutex<Option<Connection>>>,
    lane: Lane,
}

impl Database {
    /// Opens the file, or makes it, and gives it a lane of the pool that is to be. Blocks: for the start.
    pub(crate) fn open(path: &Path, pool: &mut PoolConfig) -> io::Result<Self> {
        create_for_owner_alone(path)?;
        let mut connection = connect(path).map_err(io::Error::other)?;
        create_tables(&mut connection).map_err(io::Error::other)?;
        let lane = pool.add_lane("database", LaneConfig::new(Kind::Io).cap(1).queue_limit(QUEUE));
        Ok(Database { connection: Arc::new(Mutex::new(Some(connection))), lane })
    }

    /// Runs a query.
    ///
    /// A full lane, a busy file or a slow disk is 503, a full disk 507, anything else 500. If the caller is dropped,
    /// work that has not begun is taken back; otherwise it is done to its end.
    pub(crate) async fn read<T, F>(&self, query: F) -> HandlerResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run(|connection| query(connection)).await
    }

    /// Runs a transaction, which is committed if the work gives no error. Errors are those of [`Database::read`].
    pub(crate) async fn write<T, F>(&self, work: F) -> HandlerResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit().map(|()| done)
        })
        .await
    }

    /// Moves what is in the log into the file, and closes it. For the end, when nobody asks any more.
    pub(crate) fn close(&self) -> rusqlite::Result<()> {
        let Some(connection) = self.lock().take() else { return Ok(()) };
        connection.query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    }

    async fn run<T, F>(&self, work: F) -> HandlerResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let database = self.clone();
        let job = lakh::blocking_on(self.lane, move || database.lock().as_mut().map(work));
        match lakh::timeout(PATIENCE, job).await.map_err(too_slow)?? {
            Some(result) => result.map_err(answer_to),
            None => Err(HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }

    /// A job that has panicked has left no transaction behind.
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite gives the files beside it the same rights.
fn create_for_owner_alone(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "max_page_count", MOST_PAGES)?;
    Ok(connection)
}

pub(crate) fn create_tables(connection: &mut Connection) -> Result<(), Box<dyn Error + Send + Sync>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match transaction.query_one("PRAGMA user_version", [], |row| row.get(0))? {
        0 => transaction.execute_batch(TABLES)?,
        VERSION => {}
        other => return Err(format!("version {other} of the tables is not known here").into()),
    }
    Ok(transaction.commit()?)
}

fn too_slow(elapsed: impl Error + 'static) -> HandlerError {
    HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE).with_cause(elapsed)
}

fn answer_to(error: rusqlite::Error) -> HandlerError {
    let answer = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE).with_header(header::RETRY_AFTER, 1)
        }
        Some(ErrorCode::DiskFull) => HandlerError::status_only(StatusCode::INSUFFICIENT_STORAGE),
        _ => HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR),
    };
    answer.with_cause(error)
}

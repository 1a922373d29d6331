//! Opening the file as this engine wants it, and bringing its schema up to date.

use crate::{Result, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Step `n` brings version `n` to `n + 1`. Steps are only ever added.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("replays.sql"),
    include_str!("fan_outs.sql"),
    include_str!("selectors.sql"),
    include_str!("calls.sql"),
    include_str!("meta_events.sql"),
    include_str!("replay_items.sql"),
];

/// How long a write waits for another process that holds the file before it answers `Unavailable`.
const BUSY_WAIT: Duration = Duration::from_millis(250);
/// A log that grew beyond this (behind a long read) is cut back to it when it starts over.
const LOG_KEPT_BYTES: i64 = 64 * 1024 * 1024;
/// KiB of pages the writer keeps: right edges of all tables and the hot queue.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// KiB of pages each reader keeps.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Prepared statements each connection keeps.
const STATEMENTS_MAX: usize = 64;

/// `synchronous=FULL` in WAL mode: each commit waits for the log to be on disk. Checkpoints are the
/// checkpointer's, never part of a commit.
pub fn open_writer(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_WAIT)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

pub fn open_reader(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// SQLite would otherwise compile a prepared statement anew for each other value of a range or a limit,
/// which costs more than most of them.
fn keep_plans(connection: &Connection) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Each step in a transaction of its own, so a crash half-way leaves a whole version behind.
pub fn migrate(connection: &mut Connection) -> Result<()> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (version, sql) in (1i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

//! Deleting from the old end, a bounded piece at a time.

use super::SqliteStore;
use super::codec::FLAG_DUPLICATE;
use super::fan_out;
use super::meta_events;
use super::writer::Session;
use crate::Result;
use crate::document;
use crate::roles::{Dropped, Retention};
use async_trait::async_trait;
use dacapo_model::{Id, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

#[async_trait]
impl Retention for SqliteStore {
    async fn drop_before(&self, cutoff: Timestamp, limit: usize) -> Result<Dropped> {
        self.writer.run(move |session| drop_before(session, cutoff, limit)).await
    }
}

fn drop_before(session: &mut Session<'_>, cutoff: Timestamp, limit: usize) -> Result<Dropped> {
    let connection = session.connection;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let end = Id::floor_of(cutoff).order().cast_signed().min(oldest_owed(session)?.unwrap_or(i64::MAX));
    // The event after the last one that goes: everything with a smaller order belongs to what goes.
    let sql = "SELECT ord FROM events WHERE ord < ?1 ORDER BY ord LIMIT 1 OFFSET ?2";
    let beyond: Option<i64> = connection.query_row(sql, params![end, limit], |row| row.get(0)).optional()?;
    let end = beyond.unwrap_or(end);
    let delete = |sql: &str| -> Result<u64> { Ok(connection.prepare_cached(sql)?.execute([end])? as u64) };
    // Not for the sake of a duplicate: the first event with the key may be younger than that.
    delete(&format!(
        "DELETE FROM idempotency WHERE (project, key) IN \
         (SELECT project, idem FROM events WHERE ord < ?1 AND idem IS NOT NULL AND flags & {FLAG_DUPLICATE} = 0)"
    ))?;
    let events = delete("DELETE FROM events WHERE ord < ?1")?;
    // Deliveries an event was born with lie before the next event; its replays lie anywhere after.
    let attempts = count_inline(connection, end)?
        + delete("DELETE FROM attempts WHERE delivery < ?1")?
        + delete(
            "DELETE FROM attempts WHERE delivery IN \
             (SELECT ord FROM settled INDEXED BY settled_by_event WHERE trigger = 1 AND event_ord < ?1)",
        )?;
    delete(
        "DELETE FROM endpoint_log WHERE (endpoint, ord) IN \
         (SELECT endpoint, ord FROM settled WHERE ord < ?1 UNION ALL \
          SELECT endpoint, ord FROM settled INDEXED BY settled_by_event WHERE trigger = 1 AND event_ord < ?1)",
    )?;
    forget_replays(connection, cutoff)?;
    forget_calls(connection, end)?;
    let meta_events = meta_events::forget(connection, cutoff)?;
    let deliveries = delete("DELETE FROM settled WHERE ord < ?1")?
        + delete("DELETE FROM settled INDEXED BY settled_by_event WHERE trigger = 1 AND event_ord < ?1")?;
    Ok(Dropped { events, deliveries, attempts, meta_events })
}

/// Replays are kept as long as the events of their time, and so is what endpoints were.
fn forget_replays(connection: &Connection, cutoff: Timestamp) -> Result<()> {
    let first = Id::floor_of(cutoff).to_bytes();
    connection
        .prepare_cached(
            "DELETE FROM replay_counts WHERE replay IN (SELECT id FROM replays WHERE id < ?1 AND open = 0)",
        )?
        .execute([first])?;
    connection.prepare_cached("DELETE FROM replays WHERE id < ?1 AND open = 0")?.execute([first])?;
    connection.prepare_cached("DELETE FROM endpoint_versions WHERE until < ?1")?.execute([cutoff.micros()])?;
    Ok(())
}

/// Those of the time of what goes, which bounds them too.
fn forget_calls(connection: &Connection, end: i64) -> Result<()> {
    let sql = "DELETE FROM replay_calls WHERE project IN (SELECT id FROM catalog WHERE kind = ?1) \
               AND kind IN (0, 1) AND id < ?2";
    let first = Id::from_parts(end.cast_unsigned(), 0).to_bytes();
    connection.prepare_cached(sql)?.execute(params![document::PROJECT, first])?;
    Ok(())
}

/// The order of the oldest event that may have an unsettled delivery. Never too young; found without
/// walking the queue, however long it is.
fn oldest_owed(session: &Session<'_>) -> Result<Option<i64>> {
    let connection = session.connection;
    let first_waiting: Option<i64> = connection.query_row("SELECT min(ord) FROM waiting", [], |row| row.get(0))?;
    let first_fresh = session.oldest_fresh().map(u64::cast_signed);
    // No unsettled delivery is older than this one, so none that its event was born with belongs to
    // an older event than the one before it. Zero when there is no such event: keep everything.
    let born = match first_waiting.into_iter().chain(first_fresh).min() {
        Some(first) => {
            let sql = "SELECT coalesce(max(ord), 0) FROM events WHERE ord < ?1";
            Some(connection.query_row(sql, [first], |row| row.get::<_, i64>(0))?)
        }
        None => None,
    };
    let sql = "SELECT min(event_ord) FROM waiting INDEXED BY waiting_by_event WHERE trigger = 1";
    let replayed: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(born.into_iter().chain(replayed).chain(fan_out::oldest(connection)?).min())
}

/// First attempts that lie in their delivery's row.
fn count_inline(connection: &Connection, end: i64) -> Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM settled WHERE ord < ?1 AND inline = 1) + \
         (SELECT count(*) FROM settled INDEXED BY settled_by_event \
          WHERE trigger = 1 AND event_ord < ?1 AND ord >= ?1 AND inline = 1)";
    let count: i64 = connection.prepare_cached(sql)?.query_row([end], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

//! Deleting from the old end, a bounded piece at a time.

use super::SqliteStore;
use super::fresh::Fresh;
use crate::Result;
use crate::roles::{Dropped, Retention};
use async_trait::async_trait;
use dacapo_model::{Id, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

#[async_trait]
impl Retention for SqliteStore {
    async fn drop_before(&self, cutoff: Timestamp, limit: usize) -> Result<Dropped> {
        self.writer.run(move |session| drop_before(session.connection, session.fresh, cutoff, limit)).await
    }
}

fn drop_before(connection: &Connection, fresh: &Fresh, cutoff: Timestamp, limit: usize) -> Result<Dropped> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let oldest_owed: Option<i64> = connection.query_row("SELECT min(event_ord) FROM waiting", [], |row| row.get(0))?;
    let oldest_fresh = fresh.first().map_or(i64::MAX, |order| order.saturating_sub(1).cast_signed());
    let end = Id::floor_of(cutoff).order().cast_signed().min(oldest_owed.unwrap_or(i64::MAX)).min(oldest_fresh);
    // The event after the last one that goes: everything with a smaller order belongs to what goes.
    let sql = "SELECT ord FROM events WHERE ord < ?1 ORDER BY ord LIMIT 1 OFFSET ?2";
    let beyond: Option<i64> = connection.query_row(sql, params![end, limit], |row| row.get(0)).optional()?;
    let end = beyond.unwrap_or(end);
    let delete = |sql: &str| -> Result<u64> { Ok(connection.prepare_cached(sql)?.execute([end])? as u64) };
    delete(
        "DELETE FROM idempotency WHERE (project, key) IN \
         (SELECT project, idem FROM events WHERE ord < ?1 AND idem IS NOT NULL)",
    )?;
    let events = delete("DELETE FROM events WHERE ord < ?1")?;
    // Deliveries an event was born with lie before the next event; its replays lie anywhere after.
    let attempts = delete("DELETE FROM attempts WHERE delivery < ?1")?
        + delete(
            "DELETE FROM attempts WHERE delivery IN (SELECT ord FROM settled WHERE trigger = 1 AND event_ord < ?1)",
        )?;
    let deliveries = delete("DELETE FROM settled WHERE ord < ?1")?
        + delete("DELETE FROM settled WHERE trigger = 1 AND event_ord < ?1")?;
    Ok(Dropped { events, deliveries, attempts })
}

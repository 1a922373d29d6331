//! Which deliveries an endpoint got: an index of `(endpoint, delivery)` that lags a little.
//!
//! An ordinary index on the endpoint would touch another page for nearly every delivery when many
//! endpoints are busy, and write each of those pages with every transaction. So the pairs of new
//! events gather here in memory and go into the table a few thousand at a time, sorted, when many of
//! them share a page. `meta.endpoint_log_upto` says up to which order the table is complete; lists
//! walk the events after it, which are few. Pairs of replays go into the table at once.
//!
//! A crash loses what was gathered; [`catch_up`] reads it from the events again.

use super::codec;
use super::writer::Session;
use crate::Result;
use dacapo_model::{Event, Id};
use rusqlite::{Connection, params};

/// Pairs that gather before they are written.
const PAIRS_GATHERED_MAX: usize = 4_096;

/// What is not in the table yet.
#[derive(Default)]
pub struct Tail(Vec<(Id, u64)>);

/// The pairs an event gives.
pub fn pairs(event: &Event) -> impl Iterator<Item = (Id, u64)> {
    (0u32..).zip(&event.targets).map(|(index, target)| (target.endpoint_id, event.id.child(index).order()))
}

impl Tail {
    /// After a COMMIT.
    pub fn extend(&mut self, pairs: &[(Id, u64)]) {
        self.0.extend_from_slice(pairs);
    }

    /// After the COMMIT of a transaction in which [`write_if_full`] wrote.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Before a COMMIT: writes what has gathered when it is much. `true` when it did.
pub fn write_if_full(session: &mut Session<'_>) -> Result<bool> {
    if session.endpoint_tail.0.len() < PAIRS_GATHERED_MAX {
        return Ok(false);
    }
    let newest = session.endpoint_tail.0.iter().map(|(_, order)| *order).max().unwrap_or(0);
    // Sorted by page, not by time; the order within the tail means nothing.
    session.endpoint_tail.0.sort_unstable();
    let mut insert = session.connection.prepare_cached(INSERT)?;
    for (endpoint, order) in &session.endpoint_tail.0 {
        insert.execute(params![endpoint.to_bytes(), order.cast_signed()])?;
    }
    session.connection.prepare_cached(RAISE)?.execute([newest.cast_signed()])?;
    Ok(true)
}

const INSERT: &str = "INSERT OR IGNORE INTO endpoint_log (endpoint, ord) VALUES (?1, ?2)";
const RAISE: &str = "UPDATE meta SET value = ?1 WHERE key = 'endpoint_log_upto' AND value < ?1";

/// One pair, at once.
pub fn write(connection: &Connection, endpoint: Id, order: u64) -> Result<()> {
    connection.prepare_cached(INSERT)?.execute(params![endpoint.to_bytes(), order.cast_signed()])?;
    Ok(())
}

/// Up to which order the table holds every delivery that was born with an event.
pub fn complete_upto(connection: &Connection) -> Result<u64> {
    let sql = "SELECT value FROM meta WHERE key = 'endpoint_log_upto'";
    let upto: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(upto.cast_unsigned())
}

/// When the store is opened: writes the pairs of all events after the last one written.
pub fn catch_up(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    {
        let upto = complete_upto(&transaction)?;
        let sql = format!("SELECT {} FROM events e WHERE e.ord > ?1 ORDER BY e.ord", codec::EVENT_COLUMNS);
        let mut events = transaction.prepare(&sql)?;
        let mut rows = events.query([upto.cast_signed()])?;
        let mut newest = upto;
        while let Some(row) = rows.next()? {
            for (endpoint, order) in pairs(&codec::event(row)?) {
                write(&transaction, endpoint, order)?;
                newest = newest.max(order);
            }
        }
        transaction.prepare_cached(RAISE)?.execute([newest.cast_signed()])?;
    }
    transaction.commit()?;
    Ok(())
}

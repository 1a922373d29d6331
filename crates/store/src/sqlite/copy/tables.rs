//! One batch of one table, in the order of its primary key, and how such a key is kept.

mod replays;

use crate::copy::{Batch, Document, IdempotencyKey, Position, ReplayKey, Rows, Table};
use crate::sqlite::codec::{self, id_column, id_of};
use crate::sqlite::meta_events;
use crate::{Result, StoreError};
use dacapo_model::{Attempt, Id, MetaEvent, Timestamp};
use rusqlite::{Connection, Params, Row, params};
use std::time::Duration;

/// In tests few, so that every table takes several batches.
const ROWS_PER_BATCH_MAX: usize = if cfg!(test) { 3 } else { 2_000 };
/// Payloads and answers of a batch; the row that goes beyond it is its last.
const BYTES_PER_BATCH_MAX: usize = 8 * 1024 * 1024;
const DAY: Duration = Duration::from_secs(86_400);

/// How many rows there are to copy.
pub const fn count(table: Table) -> &'static str {
    match table {
        Table::Catalog => "SELECT count(*) FROM catalog",
        Table::Events => "SELECT count(*) FROM events",
        Table::Waiting => "SELECT count(*) FROM waiting",
        Table::Settled => "SELECT count(*) FROM settled",
        // One whose delivery is gone belongs to nothing.
        Table::Attempts => {
            "SELECT count(*) FROM attempts a WHERE EXISTS (SELECT 1 FROM settled WHERE ord = a.delivery) \
             OR EXISTS (SELECT 1 FROM waiting WHERE ord = a.delivery)"
        }
        Table::IdempotencyKeys => "SELECT count(*) FROM idempotency",
        Table::ReplayKeys => "SELECT count(*) FROM replay_keys",
        Table::Replays => "SELECT count(*) FROM replays",
        Table::ReplayCounts => "SELECT count(*) FROM replay_counts",
        Table::EndpointVersions => "SELECT count(*) FROM endpoint_versions",
        Table::ReplayCalls => "SELECT count(*) FROM replay_calls",
        Table::MetaEvents => "SELECT count(*) FROM meta_events",
    }
}

/// `None` for a day after which no id can come.
pub fn first_of_next_day(at: Timestamp) -> Option<i64> {
    let days = u32::try_from(u64::try_from(at.seconds()).ok()? / DAY.as_secs()).ok()?;
    let next = Timestamp::default().plus(DAY.checked_mul(days.checked_add(1)?)?);
    i64::try_from(Id::floor_of(next).order()).ok().filter(|order| *order > Id::floor_of(at).order().cast_signed())
}

/// `None` when nothing of the table lies behind the position.
pub fn batch(connection: &Connection, position: &Position) -> Result<Option<Batch>> {
    let after = &position.after;
    let (rows, last) = match position.table {
        Table::Catalog => catalog(connection, after)?.into(Rows::Catalog),
        Table::Events => events(connection, after)?.into(Rows::Events),
        Table::Waiting => waiting(connection, after)?.into(Rows::Waiting),
        Table::Settled => settled(connection, after)?.into(Rows::Settled),
        Table::Attempts => attempts(connection, after)?.into(Rows::Attempts),
        Table::IdempotencyKeys => idempotency_keys(connection, after)?.into(Rows::IdempotencyKeys),
        Table::ReplayKeys => replay_keys(connection, after)?.into(Rows::ReplayKeys),
        Table::Replays => replays::replays(connection, after)?.into(Rows::Replays),
        Table::ReplayCounts => replays::counts(connection, after)?.into(Rows::ReplayCounts),
        Table::EndpointVersions => replays::endpoint_versions(connection, after)?.into(Rows::EndpointVersions),
        Table::ReplayCalls => replays::calls(connection, after)?.into(Rows::ReplayCalls),
        Table::MetaEvents => told(connection, after)?.into(Rows::MetaEvents),
    };
    Ok(last.map(|after| Batch { rows, then: Position { table: position.table, after } }))
}

struct Gathered<T> {
    rows: Vec<T>,
    /// The key of the last of them.
    last: Option<Vec<u8>>,
}

impl<T> Gathered<T> {
    fn into(self, rows: impl FnOnce(Vec<T>) -> Rows) -> (Rows, Option<Vec<u8>>) {
        (rows(self.rows), self.last)
    }
}

/// `read` gives a row, its key and about how many bytes it is.
fn gather<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<(T, Vec<u8>, usize)>,
) -> Result<Gathered<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(values)?;
    let mut gathered = Gathered { rows: Vec::new(), last: None };
    let mut bytes_so_far = 0usize;
    while gathered.rows.len() < ROWS_PER_BATCH_MAX && bytes_so_far < BYTES_PER_BATCH_MAX {
        let Some(row) = found.next()? else { break };
        let (value, key, bytes) = read(row)?;
        gathered.rows.push(value);
        gathered.last = Some(key);
        bytes_so_far = bytes_so_far.saturating_add(bytes);
    }
    Ok(gathered)
}

fn catalog(connection: &Connection, after: &[u8]) -> Result<Gathered<Document>> {
    let (kind, id) = split::<8>(after, [0; 8])?;
    let sql = "SELECT kind, id, doc FROM catalog WHERE (kind, id) > (?1, ?2) ORDER BY kind, id";
    gather(connection, sql, params![i64::from_be_bytes(kind), id], |row| {
        let document = Document { kind: row.get(0)?, id: id_column(row, 1)?, text: row.get(2)? };
        let key = [&document.kind.to_be_bytes()[..], &document.id.to_bytes()].concat();
        let bytes = document.text.len();
        Ok((document, key, bytes))
    })
}

fn events(connection: &Connection, after: &[u8]) -> Result<Gathered<(dacapo_model::Event, Option<Vec<u8>>)>> {
    let sql = format!("SELECT {}, e.more FROM events e WHERE e.ord > ?1 ORDER BY e.ord", codec::EVENT_COLUMNS);
    gather(connection, &sql, [order(after)?], |row| {
        let (event, more) = (codec::event(row)?, row.get::<_, Option<Vec<u8>>>(codec::EVENT_COLUMN_COUNT)?);
        let (key, bytes) = (order_key(event.id), event.data.len() + more.as_ref().map_or(0, Vec::len));
        Ok(((event, more), key, bytes))
    })
}

fn waiting(connection: &Connection, after: &[u8]) -> Result<Gathered<dacapo_model::Delivery>> {
    let sql = format!("SELECT {} FROM waiting d WHERE d.ord > ?1 ORDER BY d.ord", codec::WAITING_COLUMNS);
    gather(connection, &sql, [order(after)?], |row| {
        let delivery = codec::waiting(row, 0)?;
        let key = order_key(delivery.id);
        Ok((delivery, key, 0))
    })
}

fn settled(connection: &Connection, after: &[u8]) -> Result<Gathered<(dacapo_model::Delivery, Option<Attempt>)>> {
    let sql = format!("SELECT {} FROM settled d WHERE d.ord > ?1 ORDER BY d.ord", codec::SETTLED_COLUMNS);
    gather(connection, &sql, [order(after)?], |row| {
        let (delivery, first) = (codec::settled(row, 0)?, codec::first_attempt(row, 0)?);
        let (key, bytes) = (order_key(delivery.id), first.as_ref().map_or(0, |made| made.response_body.len()));
        Ok(((delivery, first), key, bytes))
    })
}

/// The rest of a delivery's id is in its row, wherever that is.
fn attempts(connection: &Connection, after: &[u8]) -> Result<Gathered<Attempt>> {
    const WAITING_AT: usize = 3;
    const SETTLED_AT: usize = 4;
    let sql = format!(
        "SELECT a.number, a.detail, a.delivery, w.tail, {} FROM attempts a \
         LEFT JOIN waiting w ON w.ord = a.delivery LEFT JOIN settled d ON d.ord = a.delivery \
         WHERE (a.delivery, a.number) > (?1, ?2) AND (w.ord IS NOT NULL OR d.ord IS NOT NULL) \
         ORDER BY a.delivery, a.number",
        codec::SETTLED_COLUMNS
    );
    let (delivery, number) = if after.is_empty() { (-1, 0) } else { attempt_key(after)? };
    gather(connection, &sql, params![delivery, number], |row| {
        let delivery = match row.get::<_, Option<i64>>(WAITING_AT)? {
            Some(tail) => id_of(row.get(2)?, tail),
            None => codec::settled(row, SETTLED_AT)?.id,
        };
        let attempt = codec::attempt(row, delivery)?;
        let key = [&attempt.delivery_id.order().to_be_bytes()[..], &attempt.number.to_be_bytes()].concat();
        let bytes = attempt.response_body.len();
        Ok((attempt, key, bytes))
    })
}

fn idempotency_keys(connection: &Connection, after: &[u8]) -> Result<Gathered<IdempotencyKey>> {
    let (project, key) = key_of_project(after)?;
    let sql = "SELECT project, key, event FROM idempotency WHERE (project, key) > (?1, ?2) ORDER BY project, key";
    gather(connection, sql, params![project, key], |row| {
        let row = IdempotencyKey { project: id_column(row, 0)?, key: row.get(1)?, event: id_column(row, 2)? };
        let last = [&row.project.to_bytes()[..], row.key.as_bytes()].concat();
        let bytes = last.len();
        Ok((row, last, bytes))
    })
}

fn replay_keys(connection: &Connection, after: &[u8]) -> Result<Gathered<ReplayKey>> {
    let (project, key) = key_of_project(after)?;
    let sql = "SELECT project, key, fingerprint, deliveries, at FROM replay_keys WHERE (project, key) > (?1, ?2) \
               ORDER BY project, key";
    gather(connection, sql, params![project, key], |row| {
        let made: Vec<u8> = row.get(3)?;
        let key = ReplayKey {
            project: id_column(row, 0)?,
            key: row.get(1)?,
            fingerprint: row.get(2)?,
            deliveries: codec::ids(&made),
            at: Timestamp::from_micros(row.get(4)?),
        };
        let last = [&key.project.to_bytes()[..], key.key.as_bytes()].concat();
        let bytes = last.len() + made.len();
        Ok((key, last, bytes))
    })
}

fn told(connection: &Connection, after: &[u8]) -> Result<Gathered<MetaEvent>> {
    let sql = format!("SELECT {} FROM meta_events m WHERE m.ord > ?1 ORDER BY m.ord", meta_events::COLUMNS);
    gather(connection, &sql, [order(after)?], |row| {
        let told = meta_events::read(row)?;
        let (key, bytes) = (order_key(told.id), told.body.len());
        Ok((told, key, bytes))
    })
}

fn order_key(id: Id) -> Vec<u8> {
    id.order().to_be_bytes().to_vec()
}

/// Before all orders at the beginning.
fn order(after: &[u8]) -> Result<i64> {
    match after {
        [] => Ok(-1),
        _ => after.try_into().map(i64::from_be_bytes).map_err(|_| unreadable()),
    }
}

fn attempt_key(after: &[u8]) -> Result<(i64, u32)> {
    let (delivery, number) = split::<8>(after, [0; 8])?;
    let number = number.try_into().map_err(|_| unreadable())?;
    Ok((i64::from_be_bytes(delivery), u32::from_be_bytes(number)))
}

/// An empty project comes before all.
fn key_of_project(after: &[u8]) -> Result<(Vec<u8>, String)> {
    if after.is_empty() {
        return Ok((Vec::new(), String::new()));
    }
    let (project, key) = split::<16>(after, [0; 16])?;
    Ok((project.to_vec(), String::from_utf8(key.to_vec()).map_err(|_| unreadable())?))
}

/// The fixed part of a key and the rest; `first` at the beginning.
fn split<const N: usize>(after: &[u8], first: [u8; N]) -> Result<([u8; N], &[u8])> {
    if after.is_empty() {
        return Ok((first, after));
    }
    after.split_first_chunk().map(|(head, rest)| (*head, rest)).ok_or_else(unreadable)
}

fn unreadable() -> StoreError {
    StoreError::Refused("the position of the copy does not read".to_owned())
}

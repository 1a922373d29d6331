//! Large fan-outs: the deliveries of targets that did not fit into their event's transaction. Each has
//! its `waiting` row from here on; only those in the event's `targets` are ever fresh (see fresh.rs).

use super::SqliteStore;
use super::codec::{self, inconsistent, ord};
use super::commit::ParkStatement;
use super::endpoint_log;
use super::record::SettleStatement;
use super::writer::Session;
use crate::Result;
use crate::roles::{FanOuts, Part};
use crate::targets::{self, TARGET_BYTES};
use async_trait::async_trait;
use dacapo_model::Id;
use dacapo_model::event::Target;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// What one transaction writes when the store is read to be copied.
const PART_TARGETS_MAX: usize = 1_000;

/// Remembers that an event just stored has more targets than those in it.
pub const BEGIN: &str = "INSERT INTO fan_outs (event_ord, next) VALUES (?1, 0)";

#[async_trait]
impl FanOuts for SqliteStore {
    async fn unfinished(&self, after: Option<Id>, most: usize) -> Result<Vec<Id>> {
        self.work.read(move |connection| unfinished(connection, after, most)).await
    }

    async fn part(&self, event: Id, targets_max: usize) -> Result<Option<Part>> {
        self.work.read(move |connection| part(connection, ord(event), targets_max)).await
    }

    async fn unfold(&self, part: &Part) -> Result<bool> {
        let part = part.clone();
        self.writer.run(move |session| session.unfold(&part)).await
    }
}

impl Session<'_> {
    fn unfold(&mut self, part: &Part) -> Result<bool> {
        unfold(self.connection, &mut self.commit.park, &mut self.record.settle, part)
    }
}

fn unfinished(connection: &Connection, after: Option<Id>, most: usize) -> Result<Vec<Id>> {
    let sql = "SELECT f.event_ord, e.tail FROM fan_outs f CROSS JOIN events e ON e.ord = f.event_ord \
               WHERE f.event_ord > ?1 ORDER BY f.event_ord LIMIT ?2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map([after.map_or(i64::MIN, ord), most], |row| Ok(codec::id_of(row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn part(connection: &Connection, event: i64, targets_max: usize) -> Result<Option<Part>> {
    let sql = format!(
        "SELECT {}, f.next, substr(e.more, 1 + f.next * {TARGET_BYTES}, ?1 * {TARGET_BYTES}) \
         FROM fan_outs f CROSS JOIN events e ON e.ord = f.event_ord WHERE f.event_ord = ?2",
        codec::EVENT_COLUMNS
    );
    let limit = i64::try_from(targets_max).unwrap_or(i64::from(u32::MAX));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([limit, event])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let event = codec::event(row)?;
    let next: u32 = row.get(codec::EVENT_COLUMN_COUNT)?;
    let piece: Vec<u8> = row.get(codec::EVENT_COLUMN_COUNT + 1)?;
    let targets =
        targets::decode(&piece).ok_or_else(|| inconsistent("events", "more", ord(event.id), "unknown layout"))?;
    let first = u32::try_from(event.targets.len()).unwrap_or(u32::MAX).saturating_add(next);
    Ok(Some(Part { event: Arc::new(event), first, targets }))
}

fn unfold(
    connection: &Connection,
    park: &mut ParkStatement<'_>,
    settle: &mut SettleStatement<'_>,
    part: &Part,
) -> Result<bool> {
    let event = ord(part.event.id);
    let own = u32::try_from(part.event.targets.len()).unwrap_or(u32::MAX);
    let place = connection
        .prepare_cached(
            "SELECT f.next, length(e.more) FROM fan_outs f CROSS JOIN events e ON e.ord = f.event_ord \
             WHERE f.event_ord = ?1",
        )?
        .query_row([event], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((next, bytes)) = place.filter(|(next, _)| own.saturating_add(*next) == part.first) else {
        return Ok(false);
    };
    for delivery in part.deliveries() {
        if delivery.status.is_settled() {
            settle.run(&delivery, None)?;
        } else {
            park.run(&delivery)?;
        }
        // Their orders may lie before what the log is complete up to.
        endpoint_log::write(connection, delivery.endpoint_id, delivery.id.order())?;
    }
    let then = next as usize + part.targets.len();
    // An empty part ends it too: going on from there would be for ever.
    if part.targets.is_empty() || then >= usize::try_from(bytes).unwrap_or(0) / TARGET_BYTES {
        connection.prepare_cached("DELETE FROM fan_outs WHERE event_ord = ?1")?.execute([event])?;
    } else {
        let advance = "UPDATE fan_outs SET next = ?2 WHERE event_ord = ?1";
        connection.prepare_cached(advance)?.execute(params![event, i64::try_from(then).unwrap_or(i64::MAX)])?;
    }
    Ok(true)
}

/// Whether any of an event's targets that lie outside of it is one of these endpoints.
pub fn reaches(connection: &Connection, event: i64, endpoints: &[Id]) -> Result<bool> {
    let sql = "SELECT more FROM events WHERE ord = ?1 AND more IS NOT NULL";
    let more: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    let targets = targets::decode(&more.unwrap_or_default()).unwrap_or_default();
    Ok(targets.iter().any(|target| endpoints.contains(&target.endpoint_id)))
}

/// The targets of an event that lie outside of it.
pub fn later(connection: &Connection, project: Id, event: Id) -> Result<Vec<Target>> {
    let sql = "SELECT more, tail, project FROM events WHERE ord = ?1 AND more IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([ord(event)])?;
    let Some(row) = rows.next()? else { return Ok(Vec::new()) };
    if codec::id_of(ord(event), row.get(1)?) != event || codec::id_column(row, 2)? != project {
        return Ok(Vec::new());
    }
    let more: Vec<u8> = row.get(0)?;
    targets::decode(&more).ok_or_else(|| inconsistent("events", "more", ord(event), "unknown layout"))
}

/// How many targets of an event lie outside of it.
pub fn count(connection: &Connection, event: i64) -> Result<u64> {
    let sql = "SELECT coalesce(length(more), 0) FROM events WHERE ord = ?1";
    let bytes = connection.prepare_cached(sql)?.query_row([event], |row| row.get::<_, i64>(0)).optional()?;
    Ok(bytes.unwrap_or(0).cast_unsigned() / TARGET_BYTES as u64)
}

/// The oldest event whose fan-out is not finished.
pub fn oldest(connection: &Connection) -> Result<Option<i64>> {
    Ok(connection.query_row("SELECT min(event_ord) FROM fan_outs", [], |row| row.get(0))?)
}

/// When the store is opened to be copied: finishes all of them, a part a transaction.
pub fn finish_all(connection: &mut Connection) -> Result<()> {
    while let Some(event) = oldest(connection)? {
        let Some(part) = part(connection, event, PART_TARGETS_MAX)? else {
            return Err(inconsistent("fan_outs", "event_ord", event, "its event is gone"));
        };
        let transaction = connection.transaction()?;
        let mut park = ParkStatement::prepare(&transaction)?;
        let mut settle = SettleStatement::prepare(&transaction)?;
        unfold(&transaction, &mut park, &mut settle, &part)?;
        drop((park, settle));
        transaction.commit()?;
    }
    Ok(())
}

//! The items of replays: written a page at a time, held, released, counted.

use super::json;
use crate::Result;
use crate::StoreError;
use crate::roles::{HELD_UNTIL, ItemPage, OpenItems, Release, Released, Scheduled};
use crate::sqlite::codec::{self, id_column, ord};
use crate::sqlite::endpoint_log;
use crate::sqlite::fan_out;
use crate::sqlite::writer::Session;
use dacapo_model::event::FanOut;
use dacapo_model::replay::State;
use dacapo_model::{Event, Id, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

pub fn schedule(session: &mut Session<'_>, page: &ItemPage) -> Result<Scheduled> {
    let sql = "SELECT 1 FROM replays WHERE id = ?1 AND page = ?2 AND state = ?3";
    let named = params![page.replay.to_bytes(), page.after.cast_signed(), State::Running.code()];
    if session.connection.prepare_cached(sql)?.query_row(named, |_| Ok(())).optional()?.is_none() {
        return Ok(Scheduled::Void);
    }
    let (mut items, mut gone) = (0, 0);
    for delivery in &page.items {
        if !matched_again(session.connection, delivery.event_id)? {
            gone += 1;
            continue;
        }
        if delivery.status.is_settled() {
            if !session.record.settle.run(delivery, None)? {
                return Err(StoreError::Refused(format!("the delivery id {} is taken", delivery.id)));
            }
            session.record.count_item(delivery, 1)?;
        } else {
            session.commit.park.run(delivery)?;
        }
        endpoint_log::write(session.connection, delivery.endpoint_id, delivery.id.order())?;
        items += 1;
    }
    let mut progress = page.progress.clone();
    progress.items += items;
    progress.gone += gone;
    let sql = "UPDATE replays SET progress = ?2, page = page + 1 WHERE id = ?1";
    session.connection.prepare_cached(sql)?.execute(params![page.replay.to_bytes(), json(&progress)?])?;
    Ok(Scheduled::Written { items, gone })
}

/// `false` when the event is not there any more. One whose fan-out had matched nobody has now.
fn matched_again(connection: &Connection, event: Id) -> Result<bool> {
    let sql = "SELECT flags FROM events WHERE ord = ?1 AND tail = ?2";
    let values = params![ord(event), codec::tail(event)];
    let flags: Option<i64> = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    let Some(flags) = flags else { return Ok(false) };
    if codec::fan_out(flags) == Some(FanOut::NoMatch) {
        let matched = codec::with_fan_out(flags, FanOut::Success);
        let sql = "UPDATE events SET flags = ?2 WHERE ord = ?1";
        connection.prepare_cached(sql)?.execute(params![ord(event), matched])?;
    }
    Ok(true)
}

pub fn open(connection: &Connection, replay: Id) -> Result<OpenItems> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE attempts = 0 AND due_at < ?2), count(*) FILTER (WHERE due_at >= ?2) \
               FROM waiting INDEXED BY waiting_by_replay WHERE replay = ?1";
    let count = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let values = params![replay.to_bytes(), HELD_UNTIL.micros()];
    Ok(connection
        .prepare_cached(sql)?
        .query_row(values, |row| Ok(OpenItems { all: count(row, 0)?, fresh: count(row, 1)?, held: count(row, 2)? }))?)
}

pub fn hold(connection: &Connection, replay: Id, now: Timestamp, limit: usize) -> Result<u64> {
    let sql = "UPDATE waiting SET due_at = ?3 WHERE ord IN (SELECT ord FROM waiting INDEXED BY waiting_by_replay \
               WHERE replay = ?1 AND due_at <= ?2 AND manual = 0 LIMIT ?4)";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = params![replay.to_bytes(), now.micros(), HELD_UNTIL.micros(), limit];
    Ok(connection.prepare_cached(sql)?.execute(values)? as u64)
}

pub fn release(connection: &Connection, replay: Id, which: Release, at: Timestamp, limit: usize) -> Result<Released> {
    // The oldest of an endpoint that is not settled, whatever it waits for: what follows it waits too.
    let chosen = match which {
        Release::Heads => {
            "SELECT min(ord) AS ord FROM waiting INDEXED BY waiting_by_replay WHERE replay = ?1 GROUP BY endpoint"
        }
        Release::Held | Release::Everything => {
            "SELECT ord FROM waiting INDEXED BY waiting_by_replay WHERE replay = ?1 AND due_at >= ?2 ORDER BY ord"
        }
    };
    let sql = format!(
        "UPDATE waiting SET due_at = ?3 WHERE ord IN (SELECT w.ord FROM ({chosen}) c CROSS JOIN waiting w ON w.ord = c.ord \
         WHERE w.due_at >= ?2 LIMIT ?4) RETURNING endpoint"
    );
    // What is due later than now, or only what is held.
    let from = if which == Release::Everything { at.micros().saturating_add(1) } else { HELD_UNTIL.micros() };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![replay.to_bytes(), from, at.micros(), limit])?;
    let (mut items, mut endpoints) = (0, BTreeSet::new());
    while let Some(row) = rows.next()? {
        items += 1;
        endpoints.insert(id_column(row, 0)?);
    }
    Ok(Released { items, endpoints: endpoints.into_iter().collect() })
}

/// Those the event was born with have ids that follow from its own, its replays lie anywhere; those of
/// later targets lie behind its own, and are looked for by endpoint.
pub fn has_reached(connection: &Connection, event: &Event, endpoint: Id) -> Result<bool> {
    let mut born = connection.prepare_cached("SELECT 1 FROM settled WHERE ord = ?1 AND status = ?2")?;
    for delivery in event.born_for(endpoint) {
        if born.exists(params![ord(delivery), Status::Success.code()])? {
            return Ok(true);
        }
    }
    let later = fan_out::count(connection, ord(event.id))?;
    if later > 0 {
        // The log has them as soon as they are written.
        let first = event.id.order().saturating_add(1 + event.targets.len() as u64);
        let sql = "SELECT 1 FROM endpoint_log l CROSS JOIN settled s ON s.ord = l.ord \
                   WHERE l.endpoint = ?1 AND l.ord BETWEEN ?2 AND ?3 AND s.status = ?4";
        let last = first.saturating_add(later - 1);
        let values = params![endpoint.to_bytes(), first.cast_signed(), last.cast_signed(), Status::Success.code()];
        if connection.prepare_cached(sql)?.exists(values)? {
            return Ok(true);
        }
    }
    let sql = "SELECT 1 FROM settled INDEXED BY settled_replays_by_target \
               WHERE trigger = 1 AND event_ord = ?1 AND endpoint = ?2 AND status = ?3";
    let values = params![ord(event.id), endpoint.to_bytes(), Status::Success.code()];
    Ok(connection.prepare_cached(sql)?.exists(values)?)
}

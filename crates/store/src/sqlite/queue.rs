//! Reading the queue table.

use super::SqliteStore;
use super::codec::{self, id_column};
use crate::Result;
use crate::roles::{Arrivals, Backlog, CountedUpto, Depth, Due, Look, Queue, Waiting};
use async_trait::async_trait;
use dacapo_model::{Class, Id, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

#[async_trait]
impl Queue for SqliteStore {
    async fn backlog(&self) -> Result<Vec<Backlog>> {
        self.work.read(backlog).await
    }

    async fn count_waiting(&self, after: Option<CountedUpto>, rows_max: usize) -> Result<Depth> {
        self.work.read(move |connection| count_waiting(connection, after, rows_max)).await
    }

    /// Lane by lane: none waits for another one's rows.
    async fn due_in(&self, lanes: &[Look], until: Timestamp) -> Result<Vec<Due>> {
        let mut found = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let lane = lane.clone();
            found.push(self.work.read(move |connection| due(connection, &lane, until)).await?);
        }
        Ok(found)
    }

    fn arrivals(&self) -> Arrivals {
        Arrivals::never()
    }

    async fn next_due(&self, endpoint: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>> {
        self.work.read(move |connection| next_due(connection, endpoint, class, after)).await
    }
}

/// From lane to lane along their index: the first of each, and none of the others.
fn backlog(connection: &Connection) -> Result<Vec<Backlog>> {
    let mut next = connection.prepare_cached(
        "SELECT endpoint, class, due_at, project FROM waiting INDEXED BY waiting_by_lane \
         WHERE (endpoint, class) > (?1, ?2) ORDER BY endpoint, class, due_at LIMIT 1",
    )?;
    let mut backlog = Vec::<Backlog>::new();
    loop {
        let (endpoint, class) =
            backlog.last().map_or((Vec::new(), 0), |lane| (lane.endpoint_id.to_bytes().to_vec(), lane.class.code()));
        let mut rows = next.query(params![endpoint, class])?;
        let Some(row) = rows.next()? else { return Ok(backlog) };
        let endpoint_id = id_column(row, 0)?;
        let lane = Backlog {
            project_id: id_column(row, 3)?,
            endpoint_id,
            class: class_column(row, endpoint_id)?,
            next_due: Timestamp::from_micros(row.get(2)?),
        };
        backlog.push(lane);
    }
}

fn class_column(row: &rusqlite::Row<'_>, endpoint_id: Id) -> Result<Class> {
    let unknown = || codec::inconsistent("waiting", "class", endpoint_id, "unknown class");
    Class::from_code(row.get(1)?).ok_or_else(unknown)
}

/// The lane index alone is read, which holds nothing but keys.
fn count_waiting(connection: &Connection, after: Option<CountedUpto>, rows_max: usize) -> Result<Depth> {
    let mut places = connection.prepare_cached(
        "SELECT endpoint, class, due_at, ord FROM waiting INDEXED BY waiting_by_lane \
         WHERE (endpoint, class, due_at, ord) > (?1, ?2, ?3, ?4) ORDER BY endpoint, class, due_at, ord LIMIT ?5",
    )?;
    let endpoint = after.map_or(Vec::new(), |place| place.endpoint_id.to_bytes().to_vec());
    let (class, due_at, order) = after.map_or((0, i64::MIN, 0), |place| {
        (place.class.code(), place.due_at.micros(), place.delivery_id.order().cast_signed())
    });
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut rows = places.query(params![endpoint, class, due_at, order, limit])?;
    let (mut depth, mut found) = (Depth::default(), 0);
    while let Some(row) = rows.next()? {
        let endpoint_id = id_column(row, 0)?;
        let class = class_column(row, endpoint_id)?;
        found += 1;
        match depth.counts.iter_mut().find(|(of, _)| *of == class) {
            Some((_, count)) => *count += 1,
            None => depth.counts.push((class, 1)),
        }
        if found == rows_max {
            let due_at = Timestamp::from_micros(row.get(2)?);
            let delivery_id = Id::from_parts(row.get::<_, i64>(3)?.cast_unsigned(), 0);
            depth.next = Some(CountedUpto { endpoint_id, class, due_at, delivery_id });
        }
    }
    Ok(depth)
}

fn due(connection: &Connection, lane: &Look, until: Timestamp) -> Result<Due> {
    let sql = format!(
        "SELECT {}, {} FROM waiting d INDEXED BY waiting_by_lane CROSS JOIN events e ON e.ord = d.event_ord \
         WHERE d.endpoint = ?1 AND d.class = ?2 AND d.due_at <= ?3 ORDER BY d.due_at, d.ord LIMIT ?4",
        codec::EVENT_COLUMNS,
        codec::WAITING_COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(lane.limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![lane.endpoint_id.to_bytes(), lane.class.code(), until.micros(), limit])?;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    while bytes < lane.bytes_max
        && let Some(row) = rows.next()?
    {
        let event = codec::event(row)?;
        bytes += event.data.len();
        waiting.push(Waiting { event: Arc::new(event), delivery: codec::waiting(row, codec::EVENT_COLUMN_COUNT)? });
    }
    let is_all = waiting.len() < lane.limit && bytes < lane.bytes_max;
    let next = if is_all { next_due(connection, lane.endpoint_id, lane.class, until)? } else { None };
    Ok(Due { waiting, is_all, next })
}

fn next_due(connection: &Connection, endpoint: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>> {
    let mut statement = connection.prepare_cached(
        "SELECT due_at FROM waiting INDEXED BY waiting_by_lane WHERE endpoint = ?1 AND class = ?2 AND due_at > ?3 \
         ORDER BY due_at LIMIT 1",
    )?;
    let due: Option<i64> =
        statement.query_row(params![endpoint.to_bytes(), class.code(), after.micros()], |row| row.get(0)).optional()?;
    Ok(due.map(Timestamp::from_micros))
}

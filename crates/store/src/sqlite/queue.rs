//! Reading the queue table.

use super::SqliteStore;
use super::codec::{self, id_column};
use crate::Result;
use crate::roles::{Arrivals, Backlog, Due, Look, Queue, Waiting};
use async_trait::async_trait;
use dacapo_model::{Class, Id, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

#[async_trait]
impl Queue for SqliteStore {
    async fn backlog(&self) -> Result<Vec<Backlog>> {
        self.work.read(backlog).await
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

/// One walk over the lane index, which holds nothing but keys.
fn backlog(connection: &Connection) -> Result<Vec<Backlog>> {
    let mut lanes = connection.prepare_cached(
        "SELECT endpoint, class, min(due_at), count(*) FROM waiting INDEXED BY waiting_by_lane GROUP BY endpoint, class",
    )?;
    let mut project_of = connection.prepare_cached("SELECT project FROM waiting WHERE endpoint = ?1 LIMIT 1")?;
    let mut rows = lanes.query([])?;
    let mut backlog = Vec::new();
    while let Some(row) = rows.next()? {
        let endpoint_id = id_column(row, 0)?;
        let code: u8 = row.get(1)?;
        backlog.push(Backlog {
            project_id: project_of.query_row([endpoint_id.to_bytes()], |row| Ok(id_column(row, 0)))??,
            endpoint_id,
            class: Class::from_code(code)
                .ok_or_else(|| codec::inconsistent("waiting", "class", endpoint_id, "unknown class"))?,
            next_due: Timestamp::from_micros(row.get(2)?),
            count: row.get::<_, i64>(3)?.cast_unsigned(),
        });
    }
    Ok(backlog)
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

//! Webhooks about this product itself: kept with what they tell of, read when they are due.

use super::SqliteStore;
use super::codec::{id_column, id_of, inconsistent, ord, tail};
use super::query::direction;
use super::sql::order_bounds;
use super::writer::Session;
use crate::roles::{META_EVENTS_MAX, MetaEvents, Page, Window};
use crate::{Result, packed};
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Id, MetaEvent, Status, Timestamp};
use rusqlite::{Connection, Row, params};
use tokio::sync::watch;

/// A meta event as `m`, in the order [`read`] reads it.
pub const COLUMNS: &str = "m.ord, m.tail, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, \
                       m.attempts, m.due_at, m.created_at, m.updated_at, m.last, m.body";

#[async_trait]
impl MetaEvents for SqliteStore {
    async fn meta_events_owed(&self) -> Result<Vec<(Id, Timestamp)>> {
        self.work.read(owed).await
    }

    async fn meta_events_due(&self, project: Id, until: Timestamp, limit: usize) -> Result<Vec<MetaEvent>> {
        self.work.read(move |connection| due(connection, project, until, limit)).await
    }

    async fn record_meta_event(&self, after: MetaEvent, seen: u32) -> Result<bool> {
        self.writer.run(move |session| record(session.connection, &after, seen)).await
    }

    async fn meta_events(&self, project: Id, window: Window, page: Page) -> Result<Vec<MetaEvent>> {
        self.history.read(move |connection| list(connection, project, window, page)).await
    }

    async fn meta_event(&self, project: Id, id: Id) -> Result<Option<MetaEvent>> {
        self.history.read(move |connection| one(connection, project, id)).await
    }

    async fn resend_meta_event(&self, project: Id, id: Id, at: Timestamp) -> Result<Option<MetaEvent>> {
        let resent = self.writer.run(move |session| resend(session, project, id, at)).await?;
        self.told(usize::from(resent.is_some()));
        Ok(resent)
    }

    fn meta_events_written(&self) -> watch::Receiver<u64> {
        self.meta_events_in.subscribe()
    }
}

impl SqliteStore {
    /// After a transaction that wrote so many.
    pub(super) fn told(&self, count: usize) {
        if count > 0 {
            self.meta_events_in.send_modify(|written| *written += 1);
        }
    }
}

/// Part of the transaction of what it tells of.
pub fn keep(connection: &Connection, told: &MetaEvent) -> Result<()> {
    let sql = "INSERT INTO meta_events (ord, tail, project, type, strategy, interval_s, retry_limit, status, attempts, \
               due_at, created_at, updated_at, body) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    connection.prepare_cached(sql)?.execute(params![
        ord(told.id),
        tail(told.id),
        told.project_id.to_bytes(),
        told.event_type,
        told.policy.kind.code(),
        told.policy.interval_s,
        told.policy.limit,
        told.status.code(),
        told.attempts,
        told.due_at.micros(),
        told.created_at.micros(),
        told.updated_at.micros(),
        &told.body[..],
    ])?;
    Ok(())
}

/// From one project of the index to the next.
fn owed(connection: &Connection) -> Result<Vec<(Id, Timestamp)>> {
    let sql = "SELECT project, due_at FROM meta_events INDEXED BY meta_events_owed \
               WHERE status <= 2 AND project > ?1 ORDER BY project, due_at LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    let mut after = Vec::new();
    loop {
        let mut rows = statement.query([&after])?;
        let Some(row) = rows.next()? else { return Ok(found) };
        let project = id_column(row, 0)?;
        found.push((project, Timestamp::from_micros(row.get(1)?)));
        after = project.to_bytes().to_vec();
    }
}

fn due(connection: &Connection, project: Id, until: Timestamp, limit: usize) -> Result<Vec<MetaEvent>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM meta_events m INDEXED BY meta_events_owed \
         WHERE m.status <= 2 AND m.project = ?1 AND m.due_at <= ?2 ORDER BY m.due_at, m.ord LIMIT ?3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read_all(connection, &sql, params![project.to_bytes(), until.micros(), limit])
}

fn record(connection: &Connection, after: &MetaEvent, seen: u32) -> Result<bool> {
    let mut last = None;
    if let Some(attempt) = &after.last {
        packed::encode(&packed::Made::of(attempt), last.get_or_insert_default())?;
    }
    let sql = "UPDATE meta_events SET status = ?3, attempts = ?4, due_at = ?5, updated_at = ?6, last = ?7 \
               WHERE ord = ?1 AND attempts = ?2";
    let written = connection.prepare_cached(sql)?.execute(params![
        ord(after.id),
        seen,
        after.status.code(),
        after.attempts,
        after.due_at.micros(),
        after.updated_at.micros(),
        last,
    ])?;
    Ok(written == 1)
}

fn list(connection: &Connection, project: Id, window: Window, page: Page) -> Result<Vec<MetaEvent>> {
    let bounds = order_bounds(page, window);
    let sql = format!(
        "SELECT {COLUMNS} FROM meta_events m INDEXED BY meta_events_by_project \
         WHERE m.project = ?1 AND m.ord BETWEEN ?2 AND ?3 ORDER BY m.ord {} LIMIT ?4",
        direction(page)
    );
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let values = params![project.to_bytes(), bounds.start().cast_signed(), bounds.end().cast_signed(), limit];
    let mut found = read_all(connection, &sql, values)?;
    found.retain(|one| page.reaches(one.id));
    Ok(found)
}

fn one(connection: &Connection, project: Id, id: Id) -> Result<Option<MetaEvent>> {
    let sql = format!("SELECT {COLUMNS} FROM meta_events m WHERE m.ord = ?1");
    let found = read_all(connection, &sql, [ord(id)])?.pop();
    Ok(found.filter(|found| found.id == id && found.project_id == project))
}

fn resend(session: &Session<'_>, project: Id, id: Id, at: Timestamp) -> Result<Option<MetaEvent>> {
    let Some(found) = one(session.connection, project, id)? else { return Ok(None) };
    let sql = "UPDATE meta_events SET status = ?2, due_at = ?3, updated_at = ?3 WHERE ord = ?1";
    let status = Status::Scheduled;
    session.connection.prepare_cached(sql)?.execute(params![ord(id), status.code(), at.micros()])?;
    Ok(Some(MetaEvent { status, due_at: at, updated_at: at, ..found }))
}

/// Old ones that are not to be sent any more, oldest first.
pub fn forget(connection: &Connection, cutoff: Timestamp) -> Result<u64> {
    let sql = "DELETE FROM meta_events WHERE ord IN \
               (SELECT ord FROM meta_events WHERE ord < ?1 AND status > 2 ORDER BY ord LIMIT ?2)";
    let (end, limit) = (ord(Id::floor_of(cutoff)), i64::try_from(META_EVENTS_MAX).unwrap_or(i64::MAX));
    Ok(connection.prepare_cached(sql)?.execute([end, limit])? as u64)
}

fn read_all(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<MetaEvent>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Reads [`COLUMNS`].
pub fn read(row: &Row<'_>) -> Result<MetaEvent> {
    let id = id_of(row.get(0)?, row.get(1)?);
    let bad = |column| inconsistent("meta_events", column, id, "unknown code");
    let attempts: u32 = row.get(8)?;
    let last: Option<Vec<u8>> = row.get(12)?;
    Ok(MetaEvent {
        id,
        project_id: id_column(row, 2)?,
        event_type: row.get(3)?,
        policy: Policy {
            kind: Kind::from_code(row.get(4)?).ok_or_else(|| bad("strategy"))?,
            interval_s: row.get(5)?,
            limit: row.get(6)?,
        },
        status: Status::from_code(row.get(7)?).ok_or_else(|| bad("status"))?,
        attempts,
        due_at: Timestamp::from_micros(row.get(9)?),
        created_at: Timestamp::from_micros(row.get(10)?),
        updated_at: Timestamp::from_micros(row.get(11)?),
        last: last.map(|bytes| attempt(&bytes, id, attempts)).transpose()?,
        body: Bytes::from(row.get::<_, Vec<u8>>(13)?),
    })
}

fn attempt(bytes: &[u8], id: Id, number: u32) -> Result<Attempt> {
    let made: packed::Made<'_> =
        packed::decode(bytes).map_err(|cause| inconsistent("meta_events", "last", id, &cause))?;
    Ok(made.attempt(id, number))
}

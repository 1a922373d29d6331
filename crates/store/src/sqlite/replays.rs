//! Replays' rows: made, looked up, steered. Their items are in `replays/items.rs`.

pub mod calls;
mod items;

use super::SqliteStore;
use super::codec::{id_column, inconsistent};
use super::meta_events;
use super::writer::Session;
use crate::roles::{
    Acknowledged, CallView, ItemPage, NewReplayRun, OpenItems, Page, Release, Released, ReplayCreated, Replays,
    Scheduled,
};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::replay::{CallKind, Control, Counts, State};
use dacapo_model::{Endpoint, Event, Id, MetaEvent, Replay, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::watch;

const COLUMNS: &str = "r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress";
/// Changes one look takes up; the next look takes the rest.
const CHANGES_MAX: usize = 256;

#[async_trait]
impl Replays for SqliteStore {
    async fn create_replay(&self, new: NewReplayRun) -> Result<ReplayCreated> {
        self.writer.run(move |session| create(session, &new)).await
    }

    async fn replay_by_id(&self, project: Id, id: Id) -> Result<Option<Replay>> {
        let found = self.work.read(move |connection| among(connection, &[id])).await?;
        Ok(found.into_iter().find(|replay| replay.project_id == project))
    }

    async fn replay_by_key(&self, project: Id, key: String) -> Result<Option<(Id, [u8; 32])>> {
        self.work.read(move |connection| by_key(connection, project, &key)).await
    }

    async fn replays_of(&self, project: Id, states: Vec<State>, page: Page) -> Result<Vec<Replay>> {
        self.history.read(move |connection| list(connection, project, &states, page)).await
    }

    async fn calls_of(&self, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>> {
        self.history.read(move |connection| calls::list(connection, project, kind, page)).await
    }

    async fn call_by_id(&self, project: Id, id: Id) -> Result<Option<CallView>> {
        self.history.read(move |connection| calls::by_id(connection, project, id)).await
    }

    async fn replays_among(&self, ids: Vec<Id>) -> Result<Vec<Replay>> {
        self.work.read(move |connection| among(connection, &ids)).await
    }

    async fn open_replays(&self) -> Result<Vec<Replay>> {
        let sql = format!("SELECT {COLUMNS} FROM replays r INDEXED BY replays_open WHERE r.open = 1 ORDER BY r.id");
        self.work.read(move |connection| with_counts(connection, &sql, [])).await
    }

    async fn steer(
        &self,
        id: Id,
        seen: u64,
        control: Control,
        open: bool,
        told: Option<MetaEvent>,
    ) -> Result<Option<u64>> {
        let count = usize::from(told.is_some());
        let write = move |session: &mut Session<'_>| {
            let revision = steer(session.connection, id, seen, &control, open)?;
            if let Some(told) = told.as_ref().filter(|_| revision.is_some()) {
                meta_events::keep(session.connection, told)?;
            }
            Ok(revision)
        };
        let revision = self.writer.run(write).await?;
        self.told(count);
        Ok(revision)
    }

    async fn schedule(&self, page: ItemPage) -> Result<Scheduled> {
        self.writer.run(move |session| items::schedule(session, &page)).await
    }

    async fn open_items(&self, replay: Id) -> Result<OpenItems> {
        self.work.read(move |connection| items::open(connection, replay)).await
    }

    async fn hold_items(&self, replay: Id, now: Timestamp, limit: usize) -> Result<u64> {
        self.writer.run(move |session| items::hold(session.connection, replay, now, limit)).await
    }

    async fn release_items(&self, replay: Id, which: Release, at: Timestamp, limit: usize) -> Result<Released> {
        self.writer.run(move |session| items::release(session.connection, replay, which, at, limit)).await
    }

    async fn have_reached(&self, asked: Vec<(Arc<Event>, Id)>) -> Result<Vec<bool>> {
        let have_reached = move |connection: &Connection| {
            asked.iter().map(|(event, endpoint)| items::has_reached(connection, event, *endpoint)).collect()
        };
        self.work.read(have_reached).await
    }

    async fn endpoint_as_of(&self, endpoint: Id, at: Timestamp) -> Result<Option<Endpoint>> {
        self.work.read(move |connection| endpoint_as_of(connection, endpoint, at)).await
    }

    fn newer_replays(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    async fn replays_since(&self, revision: u64) -> Result<Vec<Replay>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM replays r INDEXED BY replays_by_revision WHERE r.revision > ?1 \
             ORDER BY r.revision LIMIT {CHANGES_MAX}"
        );
        self.work.read(move |connection| with_counts(connection, &sql, [revision.cast_signed()])).await
    }

    async fn acknowledge_replays(&self, _: u64, _: Vec<(Id, u64)>) -> Result<()> {
        Ok(())
    }

    async fn acknowledged(&self, _: Id, _: u64) -> Result<Acknowledged> {
        Ok(Acknowledged::default())
    }
}

fn create(session: &mut Session<'_>, new: &NewReplayRun) -> Result<ReplayCreated> {
    let connection = session.connection;
    let project = new.project_id.to_bytes();
    if let Some((key, fingerprint)) = &new.key
        && let Some((id, written)) = by_key(connection, new.project_id, key)?
    {
        return Ok(if written == *fingerprint { ReplayCreated::Before(id) } else { ReplayCreated::Conflict });
    }
    // One that is over may have items to settle; they are nobody's to wait for.
    let sql = "SELECT count(*) FROM replays INDEXED BY replays_open WHERE project = ?1 AND open = 1 AND state <= ?2";
    let last = State::Paused.code();
    let open: i64 = connection.prepare_cached(sql)?.query_row(params![project, last], |row| row.get(0))?;
    let open = open.cast_unsigned();
    if open >= new.open_max {
        return Ok(ReplayCreated::TooMany(open));
    }
    let revision = next_revision(connection)?;
    let sql = "INSERT INTO replays (id, project, state, open, revision, page, key, fingerprint, definition, control, progress) \
               VALUES (?1, ?2, ?3, 1, ?4, 0, ?5, ?6, ?7, ?8, '{}')";
    connection.prepare_cached(sql)?.execute(params![
        new.id.to_bytes(),
        project,
        new.control.state.code(),
        revision,
        new.key.as_ref().map(|(key, _)| key),
        new.key.as_ref().map(|(_, fingerprint)| &fingerprint[..]),
        json(&new.definition)?,
        json(&new.control)?,
    ])?;
    Ok(ReplayCreated::New)
}

fn by_key(connection: &Connection, project: Id, key: &str) -> Result<Option<(Id, [u8; 32])>> {
    let sql = "SELECT id, fingerprint FROM replays WHERE project = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![project.to_bytes(), key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let id = id_column(row, 0)?;
    let fingerprint: Vec<u8> = row.get(1)?;
    let fingerprint = fingerprint.try_into().map_err(|_| inconsistent("replays", "fingerprint", id, "not 32 bytes"))?;
    Ok(Some((id, fingerprint)))
}

fn steer(connection: &Connection, id: Id, seen: u64, control: &Control, open: bool) -> Result<Option<u64>> {
    let revision = next_revision(connection)?;
    let sql = "UPDATE replays SET control = ?3, state = ?4, open = ?5, revision = ?6 WHERE id = ?1 AND revision = ?2";
    let moved = connection.prepare_cached(sql)?.execute(params![
        id.to_bytes(),
        seen.cast_signed(),
        json(control)?,
        control.state.code(),
        open,
        revision
    ])?;
    Ok((moved == 1).then_some(revision.cast_unsigned()))
}

fn next_revision(connection: &Connection) -> Result<i64> {
    let sql = "UPDATE meta SET value = value + 1 WHERE key = 'replay_revision' RETURNING value";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn among(connection: &Connection, ids: &[Id]) -> Result<Vec<Replay>> {
    let sql = format!("SELECT {COLUMNS} FROM replays r WHERE r.id = ?1");
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(with_counts(connection, &sql, [id.to_bytes()])?);
    }
    Ok(found)
}

fn list(connection: &Connection, project: Id, states: &[State], page: Page) -> Result<Vec<Replay>> {
    let (sign, order, from) = match page.ascending {
        true => (">=", "ASC", page.from.unwrap_or(Id::MIN)),
        false => ("<=", "DESC", page.from.unwrap_or(Id::MAX)),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM replays r INDEXED BY replays_by_project WHERE r.project = ?1 AND r.id {sign} ?2 \
         AND (?4 = 0 OR ?4 >> r.state & 1) ORDER BY r.id {order} LIMIT ?3"
    );
    // A bit for each.
    let states = states.iter().fold(0_i64, |bits, state| bits | 1 << state.code());
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    with_counts(connection, &sql, params![project.to_bytes(), from.to_bytes(), limit, states])
}

/// `sql` gives [`COLUMNS`].
fn with_counts(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Replay>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut replays = Vec::new();
    while let Some(row) = rows.next()? {
        let mut replay = read(row)?;
        replay.counts = counts(connection, replay.id)?;
        replays.push(replay);
    }
    Ok(replays)
}

fn read(row: &Row<'_>) -> Result<Replay> {
    let id = id_column(row, 0)?;
    Ok(Replay {
        id,
        project_id: id_column(row, 1)?,
        revision: row.get::<_, i64>(2)?.cast_unsigned(),
        page: row.get::<_, i64>(3)?.cast_unsigned(),
        definition: document(row, 4, "definition", id)?,
        control: document(row, 5, "control", id)?,
        progress: document(row, 6, "progress", id)?,
        counts: Counts::default(),
    })
}

fn counts(connection: &Connection, id: Id) -> Result<Counts> {
    let mut statement =
        connection.prepare_cached("SELECT status, reason, count FROM replay_counts WHERE replay = ?1")?;
    let mut rows = statement.query([id.to_bytes()])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        let reason = u8::try_from(row.get::<_, i64>(1)?).ok();
        counts.0.insert((row.get(0)?, reason), row.get::<_, i64>(2)?.cast_unsigned());
    }
    Ok(counts)
}

fn endpoint_as_of(connection: &Connection, endpoint: Id, at: Timestamp) -> Result<Option<Endpoint>> {
    let sql = "SELECT doc FROM endpoint_versions WHERE endpoint = ?1 AND until > ?2 ORDER BY until LIMIT 1";
    let replaced: Option<String> = connection
        .prepare_cached(sql)?
        .query_row(params![endpoint.to_bytes(), at.micros()], |row| row.get(0))
        .optional()?;
    let doc = match replaced {
        Some(doc) => Some(doc),
        None => connection
            .prepare_cached("SELECT doc FROM catalog WHERE kind = ?1 AND id = ?2")?
            .query_row(params![crate::document::ENDPOINT, endpoint.to_bytes()], |row| row.get(0))
            .optional()?,
    };
    crate::document::endpoint_as_of(endpoint, doc.as_deref(), at)
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn document<T: DeserializeOwned>(row: &Row<'_>, index: usize, column: &'static str, id: Id) -> Result<T> {
    let text = row.get_ref(index)?.as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|cause| inconsistent("replays", column, id, &cause.to_string()))
}

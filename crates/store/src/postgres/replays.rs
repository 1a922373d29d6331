//! Replays' rows: made, looked up, steered, and who has heard of it. Their items are in
//! `replays/items.rs`.

mod calls;
mod items;

use super::PostgresStore;
use super::codec::{column, id, id_of, inconsistent, uuid, uuids};
use super::lease::EXPIRY;
use super::meta_events::MetaEventRows;
use super::session::{Purpose, Sql, Step};
use crate::roles::{
    Acknowledged, CallView, ItemPage, NewReplayRun, OpenItems, Page, Release, Released, ReplayCreated, Replays,
    Scheduled,
};
use crate::{Result, StoreError, document};
use async_trait::async_trait;
use dacapo_model::replay::{CallKind, Control, Counts, State};
use dacapo_model::{Endpoint, Event, Id, MetaEvent, Replay, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use calls::Kept;
pub use items::Counted;

static AMONG: Sql = Sql {
    text: "SELECT r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress FROM replays r \
           WHERE r.id = ANY ($1) ORDER BY r.id",
    types: &[Type::UUID_ARRAY],
};
static UPWARD: Sql = Sql {
    text: "SELECT r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress FROM replays r \
           WHERE r.project = $1 AND r.id >= $2 AND (cardinality($4) = 0 OR r.state = ANY ($4)) ORDER BY r.id LIMIT $3",
    types: &[Type::UUID, Type::UUID, Type::INT8, Type::INT2_ARRAY],
};
static DOWNWARD: Sql = Sql {
    text: "SELECT r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress FROM replays r \
           WHERE r.project = $1 AND r.id <= $2 AND (cardinality($4) = 0 OR r.state = ANY ($4)) ORDER BY r.id DESC LIMIT $3",
    types: &[Type::UUID, Type::UUID, Type::INT8, Type::INT2_ARRAY],
};
static OPEN: Sql = Sql {
    text: "SELECT r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress FROM replays r \
           WHERE r.open ORDER BY r.id",
    types: &[],
};
/// As many changes as one look takes up; the next look takes the rest.
static SINCE: Sql = Sql {
    text: "SELECT r.id, r.project, r.revision, r.page, r.definition, r.control, r.progress FROM replays r \
           WHERE r.revision > $1 ORDER BY r.revision LIMIT 256",
    types: &[Type::INT8],
};
static COUNTS: Sql = Sql {
    text: "SELECT replay, status, reason, sum(count)::int8 FROM replay_counts WHERE replay = ANY ($1) \
           GROUP BY replay, status, reason",
    types: &[Type::UUID_ARRAY],
};
static BY_KEY: Sql = Sql {
    text: "SELECT id, fingerprint FROM replays WHERE project = $1 AND key = $2",
    types: &[Type::UUID, Type::BYTEA],
};
/// One that is over may have items to settle; they are nobody's to wait for.
static OPEN_OF: Sql = Sql {
    text: "SELECT count(*) FROM replays WHERE project = $1 AND open AND state <= $2",
    types: &[Type::UUID, Type::INT2],
};
/// Also one caller at a time: the count of open ones and the key are looked at under it.
static RAISE: Sql = Sql { text: "UPDATE replay_revision SET revision = revision + 1 RETURNING revision", types: &[] };
static CREATE: Sql = Sql {
    text: "INSERT INTO replays (id, project, state, open, revision, page, key, fingerprint, definition, control, progress) \
           VALUES ($1, $2, $3, true, $4, 0, $5, $6, $7, $8, '{}')",
    types: &[Type::UUID, Type::UUID, Type::INT2, Type::INT8, Type::BYTEA, Type::BYTEA, Type::TEXT, Type::TEXT],
};
static STEER: Sql = Sql {
    text: "UPDATE replays SET control = $3, state = $4, open = $5, revision = $6 WHERE id = $1 AND revision = $2 \
           RETURNING true",
    types: &[Type::UUID, Type::INT8, Type::TEXT, Type::INT2, Type::BOOL, Type::INT8],
};
static TELL: Sql = Sql { text: "SELECT pg_notify('dacapo_replays', $1)", types: &[Type::TEXT] };
static SEEN: Sql = Sql {
    text: "UPDATE nodes SET replays_seen = $2 WHERE id = $1 AND replays_seen < $2",
    types: &[Type::UUID, Type::INT8],
};
static FLIGHTS: Sql = Sql {
    text: "INSERT INTO replay_flights (replay, node, revision, in_flight) SELECT i.replay, $1, $2, i.in_flight \
           FROM unnest($3, $4) i (replay, in_flight) \
           ON CONFLICT (replay, node) DO UPDATE SET revision = excluded.revision, in_flight = excluded.in_flight",
    types: &[Type::UUID, Type::INT8, Type::UUID_ARRAY, Type::INT8_ARRAY],
};
static ACKNOWLEDGED: Sql = Sql {
    text: "SELECT (SELECT count(*) FROM nodes WHERE heartbeat > now() - $3 * interval '1 millisecond' AND replays_seen < $2), \
           (SELECT coalesce(sum(in_flight), 0)::int8 FROM replay_flights WHERE replay = $1 AND revision >= $2)",
    types: &[Type::UUID, Type::INT8, Type::FLOAT8],
};
static AS_OF: Sql = Sql {
    text: "SELECT doc FROM endpoint_versions WHERE endpoint = $1 AND until > $2 ORDER BY until LIMIT 1",
    types: &[Type::UUID, Type::INT8],
};
static CURRENT: Sql =
    Sql { text: "SELECT doc FROM catalog WHERE kind = $1 AND id = $2", types: &[Type::INT2, Type::UUID] };

#[async_trait]
impl Replays for PostgresStore {
    async fn create_replay(&self, new: NewReplayRun) -> Result<ReplayCreated> {
        let mut transaction = self.inner.work.transaction(Purpose::Work).await?;
        let raised = transaction.run(vec![Step::Known(&RAISE, Vec::new())]).await?;
        let revision: i64 = column(&raised[0][0], 0)?;
        let (run, project) = (uuid(new.id), uuid(new.project_id));
        let key = new.key.as_ref().map(|(key, _)| key.as_bytes());
        let fingerprint = new.key.as_ref().map(|(_, fingerprint)| &fingerprint[..]);
        let last = i16::from(State::Paused.code());
        let looks = vec![Step::Known(&BY_KEY, vec![&project, &key]), Step::Known(&OPEN_OF, vec![&project, &last])];
        let answers = transaction.run(looks).await?;
        if let Some(row) = answers[0].first() {
            let (id, written) = by_key(row)?;
            let same = Some(&written[..]) == fingerprint;
            return Ok(if same { ReplayCreated::Before(id) } else { ReplayCreated::Conflict });
        }
        let open = column::<i64>(&answers[1][0], 0)?.cast_unsigned();
        if open >= new.open_max {
            return Ok(ReplayCreated::TooMany(open));
        }
        let (definition, control) = (json(&new.definition)?, json(&new.control)?);
        let (state, told) = (i16::from(new.control.state.code()), revision.to_string());
        let steps = vec![
            Step::Known(&CREATE, vec![&run, &project, &state, &revision, &key, &fingerprint, &definition, &control]),
            Step::Known(&TELL, vec![&told]),
        ];
        transaction.commit(steps).await?;
        Ok(ReplayCreated::New)
    }

    async fn replay_by_id(&self, project: Id, id: Id) -> Result<Option<Replay>> {
        let found = self.replays_among(vec![id]).await?;
        Ok(found.into_iter().find(|replay| replay.project_id == project))
    }

    async fn replay_by_key(&self, project: Id, key: String) -> Result<Option<(Id, [u8; 32])>> {
        let (project, key) = (uuid(project), Some(key.as_bytes()));
        let rows = self.inner.reads.once(Purpose::Work, Step::Known(&BY_KEY, vec![&project, &key])).await?;
        rows.first().map(by_key).transpose()
    }

    async fn replays_of(&self, project: Id, states: Vec<State>, page: Page) -> Result<Vec<Replay>> {
        let (project, limit) = (uuid(project), i64::try_from(page.limit).unwrap_or(i64::MAX));
        let (sql, from) = match page.ascending {
            true => (&UPWARD, page.from.unwrap_or(Id::MIN)),
            false => (&DOWNWARD, page.from.unwrap_or(Id::MAX)),
        };
        let (from, states) = (uuid(from), states.iter().map(|state| i16::from(state.code())).collect::<Vec<i16>>());
        self.replays_by(Step::Known(sql, vec![&project, &from, &limit, &states])).await
    }

    async fn calls_of(&self, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>> {
        calls::list(&self.inner, project, kind, page).await
    }

    async fn call_by_id(&self, project: Id, id: Id) -> Result<Option<CallView>> {
        calls::by_id(&self.inner, project, id).await
    }

    async fn replays_among(&self, ids: Vec<Id>) -> Result<Vec<Replay>> {
        let ids = uuids(ids);
        self.replays_by(Step::Known(&AMONG, vec![&ids])).await
    }

    async fn open_replays(&self) -> Result<Vec<Replay>> {
        self.replays_by(Step::Known(&OPEN, Vec::new())).await
    }

    async fn steer(
        &self,
        replay: Id,
        seen: u64,
        control: Control,
        open: bool,
        told: Option<MetaEvent>,
    ) -> Result<Option<u64>> {
        let meta_events = MetaEventRows::of(&told)?;
        let mut transaction = self.inner.work.transaction(Purpose::Work).await?;
        let raised = transaction.run(vec![Step::Known(&RAISE, Vec::new())]).await?;
        let revision: i64 = column(&raised[0][0], 0)?;
        let (replay, seen, text) = (uuid(replay), seen.cast_signed(), json(&control)?);
        let (state, word) = (i16::from(control.state.code()), revision.to_string());
        let write = Step::Known(&STEER, vec![&replay, &seen, &text, &state, &open, &revision]);
        if transaction.run(vec![write]).await?[0].is_empty() {
            return Ok(None);
        }
        let tell = Step::Known(&TELL, vec![&word]);
        transaction.commit(meta_events.insert().into_iter().chain([tell]).collect()).await?;
        self.inner.tell_newer_replays(revision.cast_unsigned());
        self.inner.announce_meta_events(told.iter().map(|told| told.project_id).collect());
        Ok(Some(revision.cast_unsigned()))
    }

    async fn schedule(&self, page: ItemPage) -> Result<Scheduled> {
        items::schedule(&self.inner, page).await
    }

    async fn open_items(&self, replay: Id) -> Result<OpenItems> {
        items::open(&self.inner, replay).await
    }

    async fn hold_items(&self, replay: Id, now: Timestamp, limit: usize) -> Result<u64> {
        items::hold(&self.inner, replay, now, limit).await
    }

    async fn release_items(&self, replay: Id, which: Release, at: Timestamp, limit: usize) -> Result<Released> {
        items::release(&self.inner, replay, which, at, limit).await
    }

    async fn have_reached(&self, asked: Vec<(Arc<Event>, Id)>) -> Result<Vec<bool>> {
        items::have_reached(&self.inner, &asked).await
    }

    async fn endpoint_as_of(&self, endpoint: Id, at: Timestamp) -> Result<Option<Endpoint>> {
        let (named, moment) = (uuid(endpoint), at.micros());
        let kind = i16::try_from(document::ENDPOINT).unwrap_or(i16::MAX);
        let steps = vec![Step::Known(&AS_OF, vec![&named, &moment]), Step::Known(&CURRENT, vec![&kind, &named])];
        let answers = self.inner.reads.transaction(Purpose::Work).await?.commit(steps).await?;
        let doc = answers[0].first().or(answers[1].first()).map(|row| column::<&str>(row, 0)).transpose()?;
        document::endpoint_as_of(endpoint, doc, at)
    }

    fn newer_replays(&self) -> watch::Receiver<u64> {
        self.inner.newer_replays.subscribe()
    }

    async fn replays_since(&self, revision: u64) -> Result<Vec<Replay>> {
        let revision = revision.cast_signed();
        self.replays_by(Step::Known(&SINCE, vec![&revision])).await
    }

    async fn acknowledge_replays(&self, revision: u64, in_flight: Vec<(Id, u64)>) -> Result<()> {
        let (node, revision) = (uuid(self.inner.lease.node), revision.cast_signed());
        let replays = uuids(in_flight.iter().map(|(replay, _)| *replay));
        let counts: Vec<i64> = in_flight.iter().map(|(_, count)| count.cast_signed()).collect();
        let mut steps = Vec::new();
        if !replays.is_empty() {
            steps.push(Step::Known(&FLIGHTS, vec![&node, &revision, &replays, &counts]));
        }
        steps.push(Step::Known(&SEEN, vec![&node, &revision]));
        self.inner.upkeep.transaction(Purpose::Work).await?.commit(steps).await.map(drop)
    }

    async fn acknowledged(&self, replay: Id, revision: u64) -> Result<Acknowledged> {
        let (replay, revision) = (uuid(replay), revision.cast_signed());
        let expiry = EXPIRY.as_secs_f64() * 1_000.0;
        let look = Step::Known(&ACKNOWLEDGED, vec![&replay, &revision, &expiry]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        let count = |at| column::<i64>(&rows[0], at).map(i64::cast_unsigned);
        Ok(Acknowledged { missing: count(0)?, in_flight: count(1)? })
    }
}

impl PostgresStore {
    async fn replays_by(&self, step: Step<'_>) -> Result<Vec<Replay>> {
        let mut transaction = self.inner.reads.transaction(Purpose::Work).await?;
        let rows = transaction.run(vec![step]).await?;
        let mut replays = rows[0].iter().map(read).collect::<Result<Vec<Replay>>>()?;
        let ids = uuids(replays.iter().map(|replay| replay.id));
        let counted = transaction.commit(vec![Step::Known(&COUNTS, vec![&ids])]).await?;
        let mut counts: HashMap<Id, Counts> = HashMap::new();
        for row in &counted[0] {
            let (status, reason): (i16, i16) = (column(row, 1)?, column(row, 2)?);
            let of = counts.entry(id(row, 0)?).or_default();
            let key = (u8::try_from(status).unwrap_or(u8::MAX), u8::try_from(reason).ok());
            of.0.insert(key, column::<i64>(row, 3)?.max(0).cast_unsigned());
        }
        for replay in &mut replays {
            replay.counts = counts.remove(&replay.id).unwrap_or_default();
        }
        Ok(replays)
    }
}

fn by_key(row: &Row) -> Result<(Id, [u8; 32])> {
    let id = id(row, 0)?;
    let fingerprint: &[u8] = column(row, 1)?;
    let fingerprint = fingerprint.try_into().map_err(|_| inconsistent("replays", "fingerprint", id, "not 32 bytes"))?;
    Ok((id, fingerprint))
}

fn read(row: &Row) -> Result<Replay> {
    let id = id_of(column(row, 0)?);
    Ok(Replay {
        id,
        project_id: id_of(column(row, 1)?),
        revision: column::<i64>(row, 2)?.cast_unsigned(),
        page: column::<i64>(row, 3)?.cast_unsigned(),
        definition: parsed(row, 4, "definition", id)?,
        control: parsed(row, 5, "control", id)?,
        progress: parsed(row, 6, "progress", id)?,
        counts: Counts::default(),
    })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn parsed<T: DeserializeOwned>(row: &Row, index: usize, name: &'static str, id: Id) -> Result<T> {
    parsed_of(row, index, "replays", name, id)
}

fn parsed_of<T: DeserializeOwned>(
    row: &Row,
    index: usize,
    table: &'static str,
    name: &'static str,
    id: Id,
) -> Result<T> {
    serde_json::from_str(column(row, index)?).map_err(|cause| inconsistent(table, name, id, &cause.to_string()))
}

//! Webhooks about this product itself: kept with what they tell of, read when they are due.

use super::PostgresStore;
use super::codec::{column, id, inconsistent, uuid};
use super::detail;
use super::session::{Purpose, Sql, Step};
use super::sql::id_bounds;
use crate::Result;
use crate::packed::{self, Made};
use crate::roles::{META_EVENTS_MAX, MetaEvents, Page, Window};
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Id, MetaEvent, Status, Timestamp};
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

static INSERT: Sql = Sql {
    text: "INSERT INTO meta_events (id, project, type, strategy, interval_s, retry_limit, status, attempts, due_at, \
           created_at, updated_at, last, body) \
           SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    types: &[
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::INT4_ARRAY,
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};
/// From one project of the index to the next.
pub static OWED: Sql = Sql {
    text: "WITH RECURSIVE o (project, due_at) AS ( \
           (SELECT m.project, m.due_at FROM meta_events m WHERE m.status <= 2 ORDER BY m.project, m.due_at LIMIT 1) \
           UNION ALL SELECT n.project, n.due_at FROM o CROSS JOIN LATERAL \
           (SELECT m.project, m.due_at FROM meta_events m WHERE m.status <= 2 AND m.project > o.project \
            ORDER BY m.project, m.due_at LIMIT 1) n) SELECT project, due_at FROM o",
    types: &[],
};
pub static DUE: Sql = Sql {
    text: "SELECT m.id, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, m.attempts, m.due_at, \
           m.created_at, m.updated_at, m.last, m.body FROM meta_events m \
           WHERE m.status <= 2 AND m.project = $1 AND m.due_at <= $2 ORDER BY m.due_at, m.id LIMIT $3",
    types: &[Type::UUID, Type::INT8, Type::INT8],
};
static RECORD: Sql = Sql {
    text: "UPDATE meta_events SET status = $3, attempts = $4, due_at = $5, updated_at = $6, last = $7 \
           WHERE id = $1 AND attempts = $2 RETURNING true",
    types: &[Type::UUID, Type::INT4, Type::INT2, Type::INT4, Type::INT8, Type::INT8, Type::BYTEA],
};
static ONE: Sql = Sql {
    text: "SELECT m.id, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, m.attempts, m.due_at, \
           m.created_at, m.updated_at, m.last, m.body FROM meta_events m WHERE m.id = $1 AND m.project = $2",
    types: &[Type::UUID, Type::UUID],
};
pub static UPWARD: Sql = Sql {
    text: "SELECT m.id, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, m.attempts, m.due_at, \
           m.created_at, m.updated_at, m.last, m.body FROM meta_events m \
           WHERE m.project = $1 AND m.id >= $2 AND m.id <= $3 ORDER BY m.id LIMIT $4",
    types: &[Type::UUID, Type::UUID, Type::UUID, Type::INT8],
};
pub static DOWNWARD: Sql = Sql {
    text: "SELECT m.id, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, m.attempts, m.due_at, \
           m.created_at, m.updated_at, m.last, m.body FROM meta_events m \
           WHERE m.project = $1 AND m.id >= $2 AND m.id <= $3 ORDER BY m.id DESC LIMIT $4",
    types: &[Type::UUID, Type::UUID, Type::UUID, Type::INT8],
};
static RESEND: Sql = Sql {
    text: "UPDATE meta_events m SET status = $3, due_at = $4, updated_at = $4 WHERE m.id = $1 AND m.project = $2 \
           RETURNING m.id, m.project, m.type, m.strategy, m.interval_s, m.retry_limit, m.status, m.attempts, m.due_at, \
           m.created_at, m.updated_at, m.last, m.body",
    types: &[Type::UUID, Type::UUID, Type::INT2, Type::INT8],
};
/// Old ones that are not to be sent any more, oldest first.
pub static FORGET: Sql = Sql {
    text: "WITH gone AS (DELETE FROM meta_events WHERE id = ANY (ARRAY ( \
           SELECT m.id FROM meta_events m WHERE m.id < $1 AND m.status > 2 ORDER BY m.id LIMIT $2)) RETURNING 1) \
           SELECT count(*) FROM gone",
    types: &[Type::UUID, Type::INT8],
};
/// [`META_EVENTS_MAX`] as a value.
static FORGOTTEN_MAX: i64 = META_EVENTS_MAX as i64;

#[async_trait]
impl MetaEvents for PostgresStore {
    async fn meta_events_owed(&self) -> Result<Vec<(Id, Timestamp)>> {
        let rows = self.inner.reads.once(Purpose::Work, Step::Known(&OWED, Vec::new())).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, Timestamp::from_micros(column(row, 1)?)))).collect()
    }

    async fn meta_events_due(&self, project: Id, until: Timestamp, limit: usize) -> Result<Vec<MetaEvent>> {
        let (project, until, limit) = (uuid(project), until.micros(), i64::try_from(limit).unwrap_or(i64::MAX));
        let due = Step::Known(&DUE, vec![&project, &until, &limit]);
        self.inner.reads.once(Purpose::Work, due).await?.iter().map(read).collect()
    }

    async fn record_meta_event(&self, after: MetaEvent, seen: u32) -> Result<bool> {
        let (id, seen, attempts) = (uuid(after.id), seen.cast_signed(), after.attempts.cast_signed());
        let (status, due_at) = (i16::from(after.status.code()), after.due_at.micros());
        let (updated_at, last) = (after.updated_at.micros(), packed_last(&after)?);
        let record = Step::Known(&RECORD, vec![&id, &seen, &status, &attempts, &due_at, &updated_at, &last]);
        Ok(!self.inner.work.once(Purpose::Work, record).await?.is_empty())
    }

    async fn meta_events(&self, project: Id, window: Window, page: Page) -> Result<Vec<MetaEvent>> {
        let bounds = id_bounds(page, window);
        let (project, limit) = (uuid(project), i64::try_from(page.limit).unwrap_or(i64::MAX));
        let (low, high) = (Uuid::from_u128(*bounds.start()), Uuid::from_u128(*bounds.end()));
        let sql = if page.ascending { &UPWARD } else { &DOWNWARD };
        let list = Step::Known(sql, vec![&project, &low, &high, &limit]);
        self.inner.reads.once(Purpose::Work, list).await?.iter().map(read).collect()
    }

    async fn meta_event(&self, project: Id, id: Id) -> Result<Option<MetaEvent>> {
        let (id, project) = (uuid(id), uuid(project));
        let rows = self.inner.reads.once(Purpose::Work, Step::Known(&ONE, vec![&id, &project])).await?;
        rows.first().map(read).transpose()
    }

    async fn resend_meta_event(&self, project: Id, id: Id, at: Timestamp) -> Result<Option<MetaEvent>> {
        let (row, of) = (uuid(id), uuid(project));
        let (status, due_at) = (i16::from(Status::Scheduled.code()), at.micros());
        let resend = Step::Known(&RESEND, vec![&row, &of, &status, &due_at]);
        let rows = self.inner.work.once(Purpose::Work, resend).await?;
        let resent = rows.first().map(read).transpose()?;
        self.inner.announce_meta_events(resent.iter().map(|told| told.project_id).collect());
        Ok(resent)
    }

    fn meta_events_written(&self) -> watch::Receiver<u64> {
        self.inner.meta_events_in.subscribe()
    }
}

/// On their way into the table.
#[derive(Default)]
pub struct MetaEventRows {
    ids: Vec<Uuid>,
    projects: Vec<Uuid>,
    types: Vec<String>,
    strategies: Vec<i16>,
    intervals: Vec<i32>,
    limits: Vec<i32>,
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    due: Vec<i64>,
    created: Vec<i64>,
    updated: Vec<i64>,
    last: Vec<Option<Vec<u8>>>,
    bodies: Vec<Vec<u8>>,
}

impl MetaEventRows {
    pub fn of<'a>(told: impl IntoIterator<Item = &'a MetaEvent>) -> Result<Self> {
        let mut rows = Self::default();
        told.into_iter().try_for_each(|told| rows.push(told))?;
        Ok(rows)
    }

    pub fn push(&mut self, told: &MetaEvent) -> Result<()> {
        self.ids.push(uuid(told.id));
        self.projects.push(uuid(told.project_id));
        self.types.push(told.event_type.clone());
        self.strategies.push(i16::from(told.policy.kind.code()));
        self.intervals.push(told.policy.interval_s.cast_signed());
        self.limits.push(told.policy.limit.cast_signed());
        self.statuses.push(i16::from(told.status.code()));
        self.attempts.push(told.attempts.cast_signed());
        self.due.push(told.due_at.micros());
        self.created.push(told.created_at.micros());
        self.updated.push(told.updated_at.micros());
        self.last.push(packed_last(told)?);
        self.bodies.push(told.body.to_vec());
        Ok(())
    }

    /// Nothing when there are none.
    pub fn insert(&self) -> Option<Step<'_>> {
        (!self.ids.is_empty()).then(|| {
            Step::Known(
                &INSERT,
                vec![
                    &self.ids,
                    &self.projects,
                    &self.types,
                    &self.strategies,
                    &self.intervals,
                    &self.limits,
                    &self.statuses,
                    &self.attempts,
                    &self.due,
                    &self.created,
                    &self.updated,
                    &self.last,
                    &self.bodies,
                ],
            )
        })
    }
}

impl super::Inner {
    /// After a transaction that wrote some of these projects: word to who sends them, here or on another node.
    pub fn announce_meta_events(&self, projects: BTreeSet<Id>) {
        if projects.is_empty() {
            return;
        }
        self.tell_of_meta_events();
        self.herald.tell_of_meta_events(&self.lease, projects);
    }

    /// Some may be due.
    pub fn tell_of_meta_events(&self) {
        self.meta_events_in.send_modify(|written| *written += 1);
    }
}

pub fn forget(before: &Uuid) -> Step<'_> {
    Step::Known(&FORGET, vec![before, &FORGOTTEN_MAX])
}

fn packed_last(told: &MetaEvent) -> Result<Option<Vec<u8>>> {
    let mut last = None;
    if let Some(attempt) = &told.last {
        packed::encode(&Made::of(attempt), last.get_or_insert_default())?;
    }
    Ok(last)
}

fn read(row: &Row) -> Result<MetaEvent> {
    let id = id(row, 0)?;
    let bad = |column| inconsistent("meta_events", column, id, "unknown code");
    let code = |at| -> Result<u8> { Ok(u8::try_from(column::<i16>(row, at)?).unwrap_or(u8::MAX)) };
    let attempts = column::<i32>(row, 7)?.cast_unsigned();
    let last: Option<&[u8]> = column(row, 11)?;
    Ok(MetaEvent {
        id,
        project_id: self::id(row, 1)?,
        event_type: column(row, 2)?,
        policy: Policy {
            kind: Kind::from_code(code(3)?).ok_or_else(|| bad("strategy"))?,
            interval_s: column::<i32>(row, 4)?.cast_unsigned(),
            limit: column::<i32>(row, 5)?.cast_unsigned(),
        },
        status: Status::from_code(code(6)?).ok_or_else(|| bad("status"))?,
        attempts,
        due_at: Timestamp::from_micros(column(row, 8)?),
        created_at: Timestamp::from_micros(column(row, 9)?),
        updated_at: Timestamp::from_micros(column(row, 10)?),
        last: last.map(|bytes| attempt(bytes, id, attempts)).transpose()?,
        body: Bytes::copy_from_slice(column(row, 12)?),
    })
}

fn attempt(bytes: &[u8], id: Id, number: u32) -> Result<Attempt> {
    let made: Made<'_> = detail::decode(bytes, "meta_events", id)?;
    Ok(made.attempt(id, number))
}

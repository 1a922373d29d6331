//! Large fan-outs: the deliveries of targets that did not fit into their event's transaction. Which of
//! them are written is one number, which moves in the transaction that writes more: however many nodes
//! try (a shard changed hands in between, say), each delivery is written once.

use super::PostgresStore;
use super::births::Births;
use super::codec::{self, column, inconsistent, uuid};
use super::lease::number;
use super::listen;
use super::retention;
use super::session::{Purpose, Sql, Step, Value};
use crate::Result;
use crate::roles::{FanOuts, NewEvent, Part};
use crate::targets::{self, TARGET_BYTES};
use async_trait::async_trait;
use dacapo_model::{Event, Id, Shard};
use std::sync::Arc;
use tokio_postgres::types::Type;
use uuid::Uuid;

static BEGIN: Sql = Sql {
    text: "INSERT INTO fan_outs (event, project, shard, count, next) SELECT * FROM unnest($1, $2, $3, $4, $5)",
    types: &[Type::UUID_ARRAY, Type::UUID_ARRAY, Type::INT2_ARRAY, Type::INT4_ARRAY, Type::INT4_ARRAY],
};
pub static UNFINISHED: Sql = Sql {
    text: "SELECT event FROM fan_outs WHERE shard IS NOT NULL AND shard = ANY ($1) AND event > $2 \
           ORDER BY event LIMIT $3",
    types: &[Type::INT2_ARRAY, Type::UUID, Type::INT8],
};
static PART: Sql = Sql {
    text: "SELECT e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data, \
           f.next, substring(e.more FROM 1 + f.next * $3 FOR $4 * $3) FROM fan_outs f \
           JOIN events e ON e.id = f.event WHERE f.event = $2 AND f.shard IS NOT NULL AND f.shard = ANY ($1)",
    types: &[Type::INT2_ARRAY, Type::UUID, Type::INT4, Type::INT4],
};
/// Waits for who is writing this part, and gives no row when somebody did.
static ADVANCE: Sql = Sql {
    text: "UPDATE fan_outs SET next = $3, shard = CASE WHEN $3 < count THEN shard END \
           WHERE event = $1 AND next = $2 AND shard IS NOT NULL RETURNING true",
    types: &[Type::UUID, Type::INT4, Type::INT4],
};

const BYTES: i32 = TARGET_BYTES as i32;

/// The fan-outs that a transaction writes down.
#[derive(Default)]
pub struct Beginnings {
    events: Vec<Uuid>,
    projects: Vec<Uuid>,
    shards: Vec<Option<i16>>,
    counts: Vec<i32>,
    next: Vec<i32>,
    /// Not this node's to continue.
    is_others: bool,
}

impl Beginnings {
    pub fn of<'a>(items: impl Iterator<Item = &'a NewEvent>, owns: impl Fn(Shard) -> bool) -> Self {
        let mut begun = Self::default();
        for item in items.filter(|item| !item.later.is_empty()) {
            let shard = Shard::of(item.event.id);
            begun.push(&item.event, Some(number(shard)), item.later.len(), 0);
            begun.is_others |= !owns(shard);
        }
        begun
    }

    /// One whose deliveries are all there.
    pub fn finished(&mut self, event: &Event, bytes: usize) {
        let count = bytes / TARGET_BYTES;
        self.push(event, None, count, count);
    }

    fn push(&mut self, event: &Event, shard: Option<i16>, count: usize, next: usize) {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        self.events.push(uuid(event.id));
        self.projects.push(uuid(event.project_id));
        self.shards.push(shard);
        self.counts.push(number(count));
        self.next.push(number(next));
    }

    /// With word to who owns them.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let values: Vec<Value<'_>> = vec![&self.events, &self.projects, &self.shards, &self.counts, &self.next];
        let begin = (!self.events.is_empty()).then_some(Step::Known(&BEGIN, values));
        begin.into_iter().chain(self.is_others.then(listen::notify_fan_outs))
    }
}

#[async_trait]
impl FanOuts for PostgresStore {
    async fn unfinished(&self, after: Option<Id>, most: usize) -> Result<Vec<Id>> {
        let held = self.held();
        let (after, most) = (after.map_or(Uuid::nil(), uuid), i64::try_from(most).unwrap_or(i64::MAX));
        let look = Step::Known(&UNFINISHED, vec![&held, &after, &most]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        rows.iter().map(|row| codec::id(row, 0)).collect()
    }

    async fn part(&self, event: Id, targets_max: usize) -> Result<Option<Part>> {
        let (held, event) = (self.held(), uuid(event));
        let limit = i32::try_from(targets_max).unwrap_or(i32::MAX).min(i32::MAX / BYTES);
        let look = Step::Known(&PART, vec![&held, &event, &BYTES, &limit]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let event = codec::event(row)?;
        let next: i32 = column(row, codec::EVENT_COLUMN_COUNT)?;
        let targets = targets::decode(column(row, codec::EVENT_COLUMN_COUNT + 1)?)
            .ok_or_else(|| inconsistent("events", "more", event.id, "unknown layout"))?;
        let first = own(&event).saturating_add(next.cast_unsigned());
        Ok(Some(Part { event: Arc::new(event), first, targets }))
    }

    async fn unfold(&self, part: &Part) -> Result<bool> {
        let inner = &self.inner;
        // As in a commit: who owns what stays as it is meanwhile, so that the right ones are told.
        let _under_way = inner.lease.commits.read().await;
        let place = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
        let event = uuid(part.event.id);
        let at = part.first.saturating_sub(own(&part.event)) as usize;
        // An empty part ends it: going on from there would be for ever.
        let to = if part.targets.is_empty() { i32::MAX } else { place(at + part.targets.len()) };
        let from = place(at);
        let mut transaction = inner.work.transaction(Purpose::Work).await?;
        let advance = Step::Known(&ADVANCE, vec![&event, &from, &to]);
        if transaction.run(vec![retention::stay(), advance]).await?[1].is_empty() {
            return Ok(false);
        }
        let mut births = Births::of_deliveries(part.deliveries())?;
        let told = listen::notice(&inner.lease, births.endpoints());
        let mut steps: Vec<Step<'_>> = births.insert().collect();
        steps.extend(told.as_ref().map(listen::notify_arrivals));
        transaction.commit(steps).await?;
        Ok(true)
    }
}

impl PostgresStore {
    /// The shards this node has, as SQL wants them.
    pub(super) fn held(&self) -> Vec<i16> {
        self.inner.lease.held().into_keys().map(number).collect()
    }
}

/// How many targets lie in the event itself.
fn own(event: &Event) -> u32 {
    u32::try_from(event.targets.len()).unwrap_or(u32::MAX)
}

//! What attempts came to.
//!
//! One round trip for what was delivered at the first attempt (see [`Moved`]). For anything else two: the
//! first takes the node's fence, looks whether the shards are still its own, and takes the rows out of the
//! queue; the second writes what they became, and commits.

use super::codec::{id, id_of, uuid};
use super::lease::Fence;
use super::meta_events::MetaEventRows;
use super::replays::Counted;
use super::rows::{AttemptRows, SettledRows, WaitingRows};
use super::session::{Purpose, Sql, Step, Transaction};
use super::{Inner, PostgresStore};
use crate::roles::{Record, Report};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::id::IdSet;
use dacapo_model::{Delivery, Id, MetaEvent, Shard};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// As many as a node at full speed has after the shortest wait: fewer cost more than a longer wait.
const REPORTS_WORTH_A_TRANSACTION: usize = 64;

/// Gives the ids of the rows that were there and knew of fewer attempts.
static LEAVE_QUEUE: Sql = Sql {
    text: "DELETE FROM waiting w USING unnest($1, $2) i (id, before) \
           WHERE w.id = i.id AND w.attempts < i.before RETURNING w.id",
    types: &[Type::UUID_ARRAY, Type::INT4_ARRAY],
};
/// Where late attempts belong, and whether the first one is there already.
static WHEREABOUTS: Sql = Sql {
    text: "SELECT id, inline FROM settled WHERE id = ANY ($1) \
           UNION ALL SELECT id, false FROM waiting WHERE id = ANY ($1)",
    types: &[Type::UUID_ARRAY],
};

#[async_trait]
impl Record for PostgresStore {
    async fn record(&self, batch: Arc<[Report]>) -> Result<()> {
        let inner = &self.inner;
        inner.check_open()?;
        let mut refused = BTreeSet::new();
        // Each round leaves out at least one shard more, and a refused shard does not come back.
        while refused.len() < Shard::COUNT {
            let held: Vec<&Report> = batch.iter().filter(|report| !refused.contains(&shard(report))).collect();
            let lost = write(inner, &held).await?;
            if lost.is_empty() {
                break;
            }
            refused.extend(lost);
        }
        if refused.is_empty() { Ok(()) } else { Err(StoreError::Fenced { shards: refused.into_iter().collect() }) }
    }

    fn batch_worth_sending(&self) -> usize {
        REPORTS_WORTH_A_TRANSACTION
    }
}

fn shard(report: &Report) -> Shard {
    Shard::of(report.delivery.endpoint_id)
}

/// Gives the shards that are another's; then nothing is written.
async fn write(inner: &Inner, reports: &[&Report]) -> Result<Vec<Shard>> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let fence = match inner.lease.fence(reports.iter().map(|report| shard(report)).collect()) {
        Ok(fence) => fence,
        Err(lost) => return Ok(lost),
    };
    if let Some(moved) = Moved::of(reports)?
        && moved.write(inner, &fence).await?
    {
        return Ok(Vec::new());
    }
    let mut transaction = inner.work.transaction(Purpose::Work).await?;
    let mut layers = layers(reports).into_iter().peekable();
    let mut check = Some(&fence);
    let mut counted = Counted::default();
    let mut told = BTreeSet::new();
    while let Some(layer) = layers.next() {
        let moves = Moves::of(&layer)?;
        let left = match moves.send(&mut transaction, check.take()).await? {
            Ok(left) => left,
            Err(lost) => return Ok(lost),
        };
        inner.left_behind.add(left.len());
        let became = moves.became(&left)?;
        let mut late = AttemptRows::default();
        if !became.late.is_empty() {
            keep_late(&mut transaction, &became.late, &mut late).await?;
        }
        let meta_events = MetaEventRows::of(became.told.iter().copied())?;
        told.extend(became.told.iter().map(|told| told.project_id));
        let mut steps: Vec<Step<'_>> =
            became.settled.insert().into_iter().chain(became.attempts.insert()).chain(late.insert()).collect();
        steps.extend(meta_events.insert());
        became.counted.iter().for_each(|delivery| counted.add(delivery, 1));
        if layers.peek().is_none() {
            // Last of all: whoever else counts waits until the commit.
            let counts = counted.columns(reports[0].delivery.id.tail());
            steps.extend(counts.step());
            transaction.commit(steps).await?;
            inner.announce_meta_events(told);
            break;
        }
        transaction.run(steps).await?;
    }
    Ok(Vec::new())
}

/// What nearly all reports are: delivered at the first attempt, an event's own. They move in one call.
struct Moved {
    rows: SettledRows,
    before: Vec<i32>,
}

impl Moved {
    fn of(reports: &[&Report]) -> Result<Option<Self>> {
        let mut seen = IdSet::default();
        let is_plain = |report: &&Report| {
            let (delivery, number) = (&report.delivery, report.attempt.as_ref().map(|made| made.number));
            let is_first = delivery.attempts == 1 && number == Some(1);
            let is_usual = delivery.replay_id.is_none() && report.meta_event.is_none();
            delivery.status.is_settled() && is_first && is_usual && seen.insert(delivery.id)
        };
        if !reports.iter().all(is_plain) {
            return Ok(None);
        }
        let mut moved = Self { rows: SettledRows::default(), before: vec![1; reports.len()] };
        for report in reports {
            moved.rows.push(&report.delivery, report.attempt.as_ref())?;
        }
        Ok(Some(moved))
    }

    /// `false`: some had no row that waits for them, or a shard is another's. What moved stays so, and all of
    /// them may be recorded again.
    async fn write(&self, inner: &Inner, fence: &Fence) -> Result<bool> {
        let call = inner.work.call(self.rows.settle_first_attempts(&self.before, fence)).await;
        let rows = call.map_err(|failure| failure.cause)?;
        let count: i64 = rows[0].try_get(0)?;
        inner.left_behind.add(usize::try_from(count).unwrap_or_default());
        Ok(usize::try_from(count).is_ok_and(|count| count == self.before.len()))
    }
}

/// The reports in order, in groups that name a delivery once: a statement changes a row once.
fn layers<'a>(reports: &[&'a Report]) -> Vec<Vec<&'a Report>> {
    let mut depth: HashMap<Id, usize> = HashMap::with_capacity(reports.len());
    let mut layers: Vec<Vec<&Report>> = Vec::new();
    for report in reports {
        let at = depth.entry(report.delivery.id).and_modify(|at| *at += 1).or_insert(0);
        if layers.len() == *at {
            layers.push(Vec::new());
        }
        layers[*at].push(report);
    }
    layers
}

/// How a group of reports moves rows.
struct Moves<'a> {
    reports: &'a [&'a Report],
    leave: Vec<Uuid>,
    /// See [`Report::late_from`].
    leave_before: Vec<i32>,
    postpone: WaitingRows,
    postpone_before: Vec<i32>,
}

/// What is to be written for them.
#[derive(Default)]
struct Became<'a> {
    settled: SettledRows,
    attempts: AttemptRows,
    late: Vec<&'a Report>,
    counted: Vec<&'a Delivery>,
    told: Vec<&'a MetaEvent>,
}

impl<'a> Moves<'a> {
    fn of(reports: &'a [&'a Report]) -> Result<Self> {
        let mut moves = Self {
            reports,
            leave: Vec::new(),
            leave_before: Vec::new(),
            postpone: WaitingRows::default(),
            postpone_before: Vec::new(),
        };
        for report in reports {
            let delivery = &report.delivery;
            if delivery.status.is_settled() {
                moves.leave.push(uuid(delivery.id));
                moves.leave_before.push(report.late_from().cast_signed());
            } else {
                moves.postpone.push(delivery)?;
                moves.postpone_before.push(report.late_from().cast_signed());
            }
        }
        Ok(moves)
    }

    /// The rows that moved, or the shards that are another's.
    async fn send(
        &self,
        transaction: &mut Transaction,
        check: Option<&Fence>,
    ) -> Result<std::result::Result<HashSet<Id>, Vec<Shard>>> {
        let mut steps = check.map_or_else(Vec::new, Fence::steps);
        let checks = steps.len();
        if !self.leave.is_empty() {
            steps.push(Step::Known(&LEAVE_QUEUE, vec![&self.leave, &self.leave_before]));
        }
        if !self.postpone_before.is_empty() {
            steps.push(self.postpone.postpone(&self.postpone_before));
        }
        let answers = transaction.run(steps).await?;
        if let Some(fence) = check {
            let lost = fence.lost(&answers[checks - 1])?;
            if !lost.is_empty() {
                return Ok(Err(lost));
            }
        }
        answers[checks..].iter().flatten().map(|row| id(row, 0)).collect::<Result<HashSet<Id>>>().map(Ok)
    }

    fn became(&self, moved: &HashSet<Id>) -> Result<Became<'a>> {
        let mut became = Became::default();
        for report in self.reports {
            let (delivery, attempt) = (&report.delivery, report.attempt.as_ref());
            if !moved.contains(&delivery.id) {
                became.late.push(report);
                continue;
            }
            // An attempt that is the delivery's only one lives in its row.
            let inline =
                attempt.filter(|made| delivery.status.is_settled() && made.number == 1 && delivery.attempts == 1);
            if delivery.status.is_settled() {
                became.settled.push(delivery, inline)?;
                became.counted.push(delivery);
                became.told.extend(report.meta_event.as_deref());
            }
            if let Some(attempt) = attempt.filter(|_| inline.is_none()) {
                became.attempts.push(attempt)?;
            }
        }
        Ok(became)
    }
}

/// The attempts of reports that change nothing else, unless they are known, or of nothing.
async fn keep_late(transaction: &mut Transaction, late: &[&Report], rows: &mut AttemptRows) -> Result<()> {
    let ids: Vec<Uuid> = late.iter().map(|report| uuid(report.delivery.id)).collect();
    let found = transaction.run(vec![Step::Known(&WHEREABOUTS, vec![&ids])]).await?;
    let mut has_first = HashMap::new();
    for row in &found[0] {
        has_first.insert(id_of(row.try_get(0)?), row.try_get::<_, bool>(1)?);
    }
    for attempt in late.iter().filter_map(|report| report.attempt.as_ref()) {
        match has_first.get(&attempt.delivery_id) {
            None => {}
            Some(true) if attempt.number == 1 => {}
            Some(_) => rows.push(attempt)?,
        }
    }
    Ok(())
}

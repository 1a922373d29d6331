//! Events and the deliveries they are born with.
//!
//! One call for most batches (`whole.sql`). Each batch is a transaction of its own; several run side by side, and the
//! server flushes them together.

mod keys;

use super::births::Births;
use super::codec::{id_of, uuids};
use super::error::STALE_CATALOG;
use super::fan_out::Beginnings;
use super::session::{Failure, Purpose, Sql, Step};
use super::{Inner, PostgresStore};
use crate::roles::{Commit, Committed, NewEvent};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::Id;
use keys::Keys;
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Beside a transaction under way the next waits for so many: its flush above all costs as much as several events
/// (docs/benchmarks.md).
const EVENTS_WORTH_A_TRANSACTION: usize = 40;
/// With others about, a node has a part of the callers: more than it can gather at a time would only be waited for.
const EVENTS_WORTH_BESIDE_OTHERS: usize = 16;
/// Whether a transaction of another node is under way nobody knows: with others about, a busy node's batch waits so
/// long for that many.
const GATHERS_BESIDE_OTHERS: Duration = Duration::from_millis(3);
/// Tries of a batch in which ids turn out to be taken: an id is never given twice in earnest, so the
/// second try finds none.
const TRIES_MAX: u32 = 3;

static REFUSE_STALE: Sql = Sql { text: "SELECT refuse_stale_catalog($1)", types: &[Type::INT8] };
static CATALOG_VERSION: Sql = Sql { text: "SELECT version FROM catalog_version", types: &[] };
static TAKEN: Sql = Sql { text: "SELECT id FROM events WHERE id = ANY ($1)", types: &[Type::UUID_ARRAY] };
static PROBE: Sql = Sql { text: "UPDATE probe SET at = now()", types: &[] };

#[async_trait]
impl Commit for PostgresStore {
    async fn commit(&self, batch: Vec<NewEvent>, routed_at: u64) -> Result<Vec<Committed>> {
        let inner = &self.inner;
        // Shards that leave do so between commits, never during one: see lease.rs.
        let _under_way = inner.lease.commits.read().await;
        let mut taken: Vec<bool> = repeated(&batch);
        for _ in 0..TRIES_MAX {
            let keyed = batch.iter().zip(&taken).any(|(item, taken)| !taken && !item.event.idempotency_key.is_empty());
            match write(inner, &batch, &taken, keyed, routed_at).await {
                Ok(duplicates) => return Ok(answers(&taken, duplicates)),
                Err(Failure { code: Some(code), .. }) if code.code() == STALE_CATALOG => {
                    return Err(stale(inner).await?);
                }
                Err(Failure { code: Some(SqlState::UNIQUE_VIOLATION), cause }) => {
                    let known = inner
                        .work
                        .once(Purpose::Work, taken_among(&uuids(batch.iter().map(|item| item.event.id))))
                        .await?;
                    let known = known.iter().map(|row| Ok(id_of(row.try_get(0)?))).collect::<Result<HashSet<Id>>>()?;
                    let before = taken.clone();
                    for (item, taken) in batch.iter().zip(&mut taken) {
                        *taken |= known.contains(&item.event.id);
                    }
                    if taken == before {
                        return Err(cause);
                    }
                }
                Err(failure) => return Err(failure.cause),
            }
        }
        Err(StoreError::Unavailable("ids were taken again and again".to_owned()))
    }

    fn batch_worth_sending(&self) -> usize {
        if self.inner.lease.has_company() { EVENTS_WORTH_BESIDE_OTHERS } else { EVENTS_WORTH_A_TRANSACTION }
    }

    fn batch_gathers_for(&self) -> Duration {
        if self.inner.lease.has_company() { GATHERS_BESIDE_OTHERS } else { Duration::ZERO }
    }

    async fn probe(&self) -> Result<()> {
        self.inner.work.once(Purpose::Work, Step::Known(&PROBE, Vec::new())).await.map(drop)
    }
}

fn taken_among(ids: &Vec<uuid::Uuid>) -> Step<'_> {
    Step::Known(&TAKEN, vec![ids])
}

/// Which items have the id of one before them.
fn repeated(batch: &[NewEvent]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(batch.len());
    batch.iter().map(|item| !seen.insert(item.event.id)).collect()
}

async fn stale(inner: &Inner) -> Result<StoreError> {
    let rows = inner.work.once(Purpose::Work, Step::Known(&CATALOG_VERSION, Vec::new())).await?;
    let current: i64 = rows[0].try_get(0)?;
    Ok(StoreError::StaleCatalog { current: current.cast_unsigned() })
}

fn answers(taken: &[bool], duplicates: Vec<Option<Id>>) -> Vec<Committed> {
    taken
        .iter()
        .zip(duplicates)
        .map(|(taken, first)| match (taken, first) {
            (true, _) => Committed::IdTaken,
            (false, Some(first)) => Committed::Duplicate { first },
            (false, None) => Committed::Stored,
        })
        .collect()
}

/// Gives, for each item, the event that had its key first.
async fn write(
    inner: &Inner,
    batch: &[NewEvent],
    taken: &[bool],
    keyed: bool,
    routed_at: u64,
) -> std::result::Result<Vec<Option<Id>>, Failure> {
    let routed_at = i64::try_from(routed_at).unwrap_or(i64::MAX);
    let stored = || batch.iter().zip(taken).map(|(item, taken)| (!taken).then_some(item));
    let refuse_stale = || Step::Known(&REFUSE_STALE, vec![&routed_at]);
    let (mut begun, mut duplicates) = (None, vec![None; batch.len()]);
    if keyed {
        let mut transaction = inner.work.transaction(Purpose::Work).await?;
        let keys = Keys::of(stored().map(|item| item.map(|item| &*item.event)));
        duplicates = keys.take(&mut transaction, vec![refuse_stale()]).await?;
        begun = Some(transaction);
    }
    let born = || stored().zip(&duplicates).filter_map(|(item, first)| Some((item?, first.is_some())));
    let mut births = Births::of(born())?;
    let (endpoints, count) = (births.endpoints(), births.deliveries());
    if begun.is_none()
        && let Some(call) = births.commit_if_current(&routed_at)
    {
        let current: i64 = inner.work.call(call).await?[0].try_get(0)?;
        if current > routed_at {
            let cause = StoreError::StaleCatalog { current: current.cast_unsigned() };
            return Err(Failure { cause, code: None });
        }
    } else {
        let originals = born().filter(|(_, is_duplicate)| !is_duplicate).map(|(item, _)| item);
        let fan_outs = Beginnings::of(originals, |shard| inner.lease.owns(shard));
        let (transaction, mut steps) = match begun {
            Some(transaction) => (transaction, Vec::new()),
            None => (inner.work.transaction(Purpose::Work).await?, vec![refuse_stale()]),
        };
        steps.extend(births.insert());
        steps.extend(fan_outs.steps());
        transaction.try_commit(steps).await?;
    }
    inner.announce(endpoints, count);
    Ok(duplicates)
}

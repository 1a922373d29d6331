//! The writing side of a copy (see [`crate::copy`]): batches into an empty database, and how far it is.
//!
//! ```text
//!  (empty) ── begin ──► copying: no node may join ── finish, counts agree ──► finished: an ordinary database
//!                        │  ▲ batch + position, one transaction
//!                        └──┘ killed: begin again with the same mark gives the position
//! ```

mod keys;
mod replays;

use super::codec::uuid;
use super::fan_out::Beginnings;
use super::lease::EXPIRY;
use super::meta_events::MetaEventRows;
use super::rows::{AttemptRows, EventRows, SettledRows, WaitingRows};
use super::schema::{self, LOCK_MIGRATION, LOCK_SPACE};
use super::session::{Purpose, Sessions, Sql, Step, Transaction};
use super::{address::Address, catalog, look_at_server, partitions};
use crate::Result;
use crate::copy::{Batch, CopyError, Counts, Document, Position, Rows, Table};
use dacapo_model::clock::SystemClock;
use dacapo_model::{Clock, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// One for the batches, one to look beside it.
const CONNECTIONS: usize = 2;
/// One batch, its flush included.
const BATCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Counting all rows; and looking through some of each table for the planner's sake.
const WALK_TIME_MAX: Duration = Duration::from_secs(1_800);

static LOCK: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
const HAS_BEGUN: &str = "SELECT to_regclass('copy_progress') IS NOT NULL";
const WHERE_IT_IS: &str = "SELECT mark, stage, after, finished_at IS NOT NULL FROM copy_progress";
const IS_EMPTY: &str = "SELECT NOT (EXISTS (SELECT FROM catalog) OR EXISTS (SELECT FROM events) \
     OR EXISTS (SELECT FROM waiting WHERE shard >= 0) OR EXISTS (SELECT FROM settled) OR EXISTS (SELECT FROM attempts) \
     OR EXISTS (SELECT FROM idempotency) OR EXISTS (SELECT FROM replay_keys) \
     OR EXISTS (SELECT FROM replays) OR EXISTS (SELECT FROM endpoint_versions) OR EXISTS (SELECT FROM replay_calls) \
     OR EXISTS (SELECT FROM meta_events))";
static HAS_NODES: Sql = Sql {
    text: "SELECT EXISTS (SELECT FROM nodes WHERE heartbeat > now() - make_interval(secs => $1))",
    types: &[Type::FLOAT8],
};
static NOTE_BEGIN: Sql = Sql {
    text: "INSERT INTO copy_progress (mark, stage, after) VALUES ($1, $2, $3)",
    types: &[Type::INT8, Type::INT2, Type::BYTEA],
};
/// Gives no row when it is somewhere else.
static MOVE_ON: Sql = Sql {
    text: "UPDATE copy_progress SET stage = $3, after = $4 WHERE stage = $1 AND after = $2 AND finished_at IS NULL \
           RETURNING true",
    types: &[Type::INT2, Type::BYTEA, Type::INT2, Type::BYTEA],
};
/// In the order of [`Table::ALL`].
const COUNTS: &str = "SELECT (SELECT count(*) FROM catalog), (SELECT count(*) FROM events), \
     (SELECT count(*) FROM waiting WHERE shard >= 0), (SELECT count(*) FROM settled), (SELECT count(*) FROM attempts), \
     (SELECT count(*) FROM idempotency), (SELECT count(*) FROM replay_keys), \
     (SELECT count(*) FROM replays), (SELECT count(*) FROM replay_counts), (SELECT count(*) FROM endpoint_versions), \
     (SELECT count(*) FROM replay_calls), (SELECT count(*) FROM meta_events)";

/// A database that a store is copied into.
pub struct Target(Sessions);

/// What the target knows of this copy.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// It goes on from here.
    At(Position),
    /// It is whole.
    Finished,
}

impl Target {
    /// Connects and migrates. Statements are sent whole: any pooler may stand in between.
    pub async fn open(url: &str) -> Result<Self> {
        let sessions = Sessions::new(&Address::parse(url)?, CONNECTIONS, false)?;
        let durability = look_at_server(&sessions).await?;
        sessions.set_durability(&durability);
        schema::migrate(&sessions, false).await?;
        Ok(Self(sessions))
    }

    /// Begins, or finds what was begun with the same mark.
    pub async fn begin(&self, mark: i64) -> std::result::Result<Begun, CopyError> {
        let mut transaction = self.transaction(BATCH_TIME_MAX).await.map_err(CopyError::Target)?;
        let looks = vec![Step::Known(&LOCK, vec![&LOCK_SPACE, &LOCK_MIGRATION]), Step::Once(HAS_BEGUN, Vec::new())];
        let answers = transaction.run(looks).await.map_err(CopyError::Target)?;
        let has_begun = answers[1][0].try_get(0).map_err(|cause| CopyError::Target(cause.into()))?;
        if has_begun {
            return go_on(&mut transaction, mark).await;
        }
        transaction.script(include_str!("copy/begin.sql")).await.map_err(CopyError::Target)?;
        let expiry = EXPIRY.as_secs_f64();
        let looks = vec![Step::Known(&HAS_NODES, vec![&expiry]), Step::Once(IS_EMPTY, Vec::new())];
        let answers = transaction.run(looks).await.map_err(CopyError::Target)?;
        let said = |at: usize| answers[at][0].try_get::<_, bool>(0).map_err(|cause| CopyError::Target(cause.into()));
        if said(0)? {
            return Err(CopyError::TargetInUse);
        }
        if !said(1)? {
            return Err(CopyError::TargetNotEmpty);
        }
        let start = Position::start();
        let stage = start.table.code();
        let note = vec![Step::Known(&NOTE_BEGIN, vec![&mark, &stage, &start.after])];
        transaction.commit(note).await.map_err(CopyError::Target)?;
        Ok(Begun::At(start))
    }

    /// Pieces of history for what comes from these days.
    pub async fn make_days(&self, moments: &BTreeSet<Timestamp>) -> Result<()> {
        let now = SystemClock.now();
        partitions::make_ahead(&self.0, now).await?;
        partitions::make_for(&self.0, now, moments.iter().map(|at| partitions::day_of(*at)).collect()).await
    }

    pub async fn counts(&self) -> Result<Counts> {
        let rows = self.0.once(Purpose::Walk(WALK_TIME_MAX), Step::Once(COUNTS, Vec::new())).await?;
        let mut counts = Counts::default();
        for (at, table) in Table::ALL.into_iter().enumerate() {
            counts[table] = rows[0].try_get::<_, i64>(at)?.cast_unsigned();
        }
        Ok(counts)
    }

    /// The rows and the position behind them, or neither.
    pub async fn write(&self, from: &Position, batch: &Batch) -> std::result::Result<(), CopyError> {
        let mut transaction = self.transaction(BATCH_TIME_MAX).await.map_err(CopyError::Target)?;
        let (stage, next) = (from.table.code(), batch.then.table.code());
        let step = Step::Known(&MOVE_ON, vec![&stage, &from.after, &next, &batch.then.after]);
        let moved = transaction.run(vec![step]).await.map_err(CopyError::Target)?;
        if moved[0].is_empty() {
            return Err(CopyError::Overtaken);
        }
        write_rows(transaction, &batch.rows).await.map_err(CopyError::Target)
    }

    /// From here on nodes may join.
    pub async fn finish(&self) -> Result<()> {
        let mut transaction = self.transaction(WALK_TIME_MAX).await?;
        transaction.script(include_str!("copy/finish.sql")).await?;
        transaction.commit(Vec::new()).await.map(drop)
    }

    async fn transaction(&self, time_max: Duration) -> Result<Transaction> {
        self.0.transaction(Purpose::Upkeep(time_max)).await
    }
}

async fn go_on(transaction: &mut Transaction, mark: i64) -> std::result::Result<Begun, CopyError> {
    let rows = transaction.run(vec![Step::Once(WHERE_IT_IS, Vec::new())]).await.map_err(CopyError::Target)?;
    let bad = |cause: tokio_postgres::Error| CopyError::Target(cause.into());
    let Some(row) = rows[0].first() else { return Err(CopyError::OtherCopy) };
    let (of, is_finished): (i64, bool) = (row.try_get(0).map_err(bad)?, row.try_get(3).map_err(bad)?);
    match (of == mark, is_finished) {
        (true, true) => Ok(Begun::Finished),
        (false, true) => Err(CopyError::TargetNotEmpty),
        (false, false) => Err(CopyError::OtherCopy),
        (true, false) => {
            let table = Table::from_code(row.try_get(1).map_err(bad)?).ok_or(CopyError::OtherCopy)?;
            Ok(Begun::At(Position { table, after: row.try_get(2).map_err(bad)? }))
        }
    }
}

/// The last statements of the transaction.
async fn write_rows(transaction: Transaction, rows: &Rows) -> Result<()> {
    match rows {
        Rows::Catalog(documents) => return write_catalog(transaction, documents).await,
        Rows::Events(events) => {
            let (mut rows, mut fan_outs) = (EventRows::default(), Beginnings::default());
            for (event, more) in events {
                rows.push(event, event.is_duplicate, more.clone())?;
                if let Some(more) = more {
                    fan_outs.finished(event, more.len());
                }
            }
            transaction.commit([rows.insert()].into_iter().chain(fan_outs.steps()).collect()).await?;
        }
        Rows::Waiting(deliveries) => {
            let mut rows = WaitingRows::default();
            for delivery in deliveries {
                rows.push(delivery)?;
            }
            transaction.commit(rows.insert().into_iter().collect()).await?;
        }
        Rows::Settled(deliveries) => {
            let mut rows = SettledRows::default();
            for (delivery, first) in deliveries {
                rows.push(delivery, first.as_ref())?;
            }
            transaction.commit(rows.insert().into_iter().collect()).await?;
        }
        Rows::Attempts(attempts) => {
            let mut rows = AttemptRows::default();
            for attempt in attempts {
                rows.push(attempt)?;
            }
            transaction.commit(rows.insert().into_iter().collect()).await?;
        }
        Rows::IdempotencyKeys(keys) => keys::write_idempotency(transaction, keys).await?,
        Rows::ReplayKeys(keys) => keys::write_replay(transaction, keys).await?,
        Rows::Replays(rows) => replays::write(transaction, rows).await?,
        Rows::ReplayCounts(rows) => replays::write_counts(transaction, rows).await?,
        Rows::EndpointVersions(rows) => replays::write_versions(transaction, rows).await?,
        Rows::ReplayCalls(rows) => replays::write_calls(transaction, rows).await?,
        Rows::MetaEvents(rows) => {
            transaction.commit(MetaEventRows::of(rows)?.insert().into_iter().collect()).await?;
        }
    }
    Ok(())
}

async fn write_catalog(mut transaction: Transaction, documents: &[Document]) -> Result<()> {
    let (mut kinds, mut ids, mut texts): (Vec<i16>, Vec<Uuid>, Vec<&str>) = Default::default();
    for document in documents {
        kinds.push(i16::try_from(document.kind).unwrap_or(i16::MAX));
        ids.push(uuid(document.id));
        texts.push(&document.text);
    }
    let raised = transaction.run(vec![Step::Known(&catalog::RAISE, Vec::new())]).await?;
    let version: i64 = raised[0][0].try_get(0)?;
    transaction.commit(vec![Step::Known(&catalog::WRITE, vec![&kinds, &ids, &texts, &version])]).await.map(drop)
}

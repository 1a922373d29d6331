//! Moving an embedded store into PostgreSQL: everything, with its ids, so that keys, cursors and
//! receivers notice nothing.
//!
//! ```text
//!  sqlite/copy.rs ──► batches, a table after the other, in order ──► postgres/copy.rs
//!   (stopped: holds the directory's lock)      each in one transaction with the position behind it
//! ```
//!
//! The position lies in the target and moves in the transaction that writes the batch before it, so a
//! copy that is killed goes on where it was and does nothing twice. Until it is whole, the target
//! takes no node. What must not be mixed up (another store, or this one after it ran again) is told
//! apart by a mark, which the source forgets as soon as it is opened for anything else.

#[cfg(test)]
mod tests;

use crate::StoreError;
use crate::postgres::copy::{Begun, Target};
use crate::sqlite::copy::Source;
use dacapo_model::{Attempt, Delivery, Event, Id, MetaEvent, Timestamp};
use std::fmt;
use std::ops::{ControlFlow, Index, IndexMut};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Batches that are read while one is written.
const BATCHES_AHEAD_MAX: usize = 2;

/// What is copied, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Catalog,
    Events,
    Waiting,
    Settled,
    Attempts,
    IdempotencyKeys,
    ReplayKeys,
    Replays,
    ReplayCounts,
    EndpointVersions,
    ReplayCalls,
    MetaEvents,
}

impl Table {
    pub const ALL: [Self; 12] = [
        Self::Catalog,
        Self::Events,
        Self::Waiting,
        Self::Settled,
        Self::Attempts,
        Self::IdempotencyKeys,
        Self::ReplayKeys,
        Self::Replays,
        Self::ReplayCounts,
        Self::EndpointVersions,
        Self::ReplayCalls,
        Self::MetaEvents,
    ];

    pub(crate) const fn code(self) -> i16 {
        self as i16
    }

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.code() == code)
    }

    pub(crate) fn next(self) -> Option<Self> {
        Self::from_code(self.code() + 1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Catalog => "configuration",
            Self::Events => "events",
            Self::Waiting => "waiting deliveries",
            Self::Settled => "settled deliveries",
            Self::Attempts => "attempts",
            Self::IdempotencyKeys => "idempotency keys",
            Self::ReplayKeys => "replay keys",
            Self::Replays => "replays",
            Self::ReplayCounts => "counts of replays",
            Self::EndpointVersions => "former states of endpoints",
            Self::ReplayCalls => "calls that sent again",
            Self::MetaEvents => "meta events",
        })
    }
}

/// Rows of each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Table::ALL.len()]);

impl Index<Table> for Counts {
    type Output = u64;

    fn index(&self, table: Table) -> &u64 {
        &self.0[table as usize]
    }
}

impl IndexMut<Table> for Counts {
    fn index_mut(&mut self, table: Table) -> &mut u64 {
        &mut self.0[table as usize]
    }
}

impl Counts {
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Where a copy is: the rows of this table up to this key, and all tables before it, are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub table: Table,
    /// As the source encodes keys; empty before the first row.
    pub after: Vec<u8>,
}

impl Position {
    pub const fn start() -> Self {
        Self { table: Table::Catalog, after: Vec::new() }
    }
}

/// A bounded piece of one table, and the position behind it.
pub(crate) struct Batch {
    pub rows: Rows,
    pub then: Position,
}

pub(crate) enum Rows {
    Catalog(Vec<Document>),
    /// With the targets that lie outside of the event, in the layout of `targets.rs`.
    Events(Vec<(Event, Option<Vec<u8>>)>),
    Waiting(Vec<Delivery>),
    /// With the attempt that lies in the delivery's row.
    Settled(Vec<(Delivery, Option<Attempt>)>),
    Attempts(Vec<Attempt>),
    IdempotencyKeys(Vec<IdempotencyKey>),
    ReplayKeys(Vec<ReplayKey>),
    Replays(Vec<ReplayRow>),
    ReplayCounts(Vec<ReplayCount>),
    EndpointVersions(Vec<EndpointVersion>),
    ReplayCalls(Vec<ReplayCall>),
    MetaEvents(Vec<MetaEvent>),
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Self::Catalog(rows) => rows.len(),
            Self::Events(rows) => rows.len(),
            Self::Waiting(rows) => rows.len(),
            Self::Settled(rows) => rows.len(),
            Self::Attempts(rows) => rows.len(),
            Self::IdempotencyKeys(rows) => rows.len(),
            Self::ReplayKeys(rows) => rows.len(),
            Self::Replays(rows) => rows.len(),
            Self::ReplayCounts(rows) => rows.len(),
            Self::EndpointVersions(rows) => rows.len(),
            Self::ReplayCalls(rows) => rows.len(),
            Self::MetaEvents(rows) => rows.len(),
        }
    }
}

/// A row of the configuration, as both engines keep it (see [`crate::document`]).
pub(crate) struct Document {
    pub kind: i64,
    pub id: Id,
    pub text: String,
}

pub(crate) struct IdempotencyKey {
    pub project: Id,
    pub key: String,
    pub event: Id,
}

pub(crate) struct ReplayKey {
    pub project: Id,
    pub key: String,
    pub fingerprint: Vec<u8>,
    pub deliveries: Vec<Id>,
    pub at: Timestamp,
}

/// As both engines keep it, documents unread.
pub(crate) struct ReplayRow {
    pub id: Id,
    pub project: Id,
    pub state: i16,
    pub open: bool,
    pub revision: i64,
    pub page: i64,
    pub key: Option<String>,
    pub fingerprint: Option<Vec<u8>>,
    pub definition: String,
    pub control: String,
    pub progress: String,
}

pub(crate) struct ReplayCount {
    pub replay: Id,
    pub status: i16,
    pub reason: i16,
    pub count: i64,
}

pub(crate) struct EndpointVersion {
    pub endpoint: Id,
    pub until: i64,
    pub doc: String,
}

pub(crate) struct ReplayCall {
    pub project: Id,
    pub kind: i16,
    pub id: Id,
    pub said: String,
}

/// After each batch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What the batch was of.
    pub table: Table,
    /// In the target, from earlier runs too.
    pub done: Counts,
    pub total: Counts,
}

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The target holds as many rows of each table as the source.
    Whole(Counts),
    /// It did already, and may have gone on since.
    Before,
    /// The caller wanted it to end here; the next call goes on.
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("there is no embedded store in {}: name the data directory of the one to copy", .0.display())]
    NoSource(PathBuf),
    #[error("the store in {} is in use by a running process: stop it, then copy", .0.display())]
    SourceInUse(PathBuf),
    #[error("the embedded store: {0}")]
    Source(StoreError),
    #[error("the target database: {0}")]
    Target(StoreError),
    #[error("nodes run on the target database: stop them, and make an empty database for the copy")]
    TargetInUse,
    #[error("the target database holds data already: make an empty one (CREATE DATABASE) and copy into that")]
    TargetNotEmpty,
    #[error(
        "the target database holds a part of another copy: of another store, or of this one before it ran again; \
         make an empty database (CREATE DATABASE) and copy into that"
    )]
    OtherCopy,
    #[error("another copy into the target database is running")]
    Overtaken,
    #[error(
        "{table}: {source_rows} in the embedded store, {target_rows} in the target database, which is not to be used; \
         make an empty one (CREATE DATABASE) and copy again"
    )]
    Differs { table: Table, source_rows: u64, target_rows: u64 },
}

type Result<T> = std::result::Result<T, CopyError>;

/// Copies the store in `data_dir`, which nobody has open, into the database at `url`, which is empty or
/// holds the beginning of this very copy. `watch` is told of each batch and may end the copy there.
pub async fn copy(
    data_dir: &Path,
    url: &str,
    mut watch: impl FnMut(&Progress) -> ControlFlow<()> + Send,
) -> Result<Copied> {
    let directory = data_dir.to_owned();
    let (source, total, days) = blocking(move || {
        let source = Source::open(&directory)?;
        let (total, days) = source.counts().and_then(|total| Ok((total, source.days()?))).map_err(CopyError::Source)?;
        Ok((source, total, days))
    })
    .await?;
    let target = Target::open(url).await.map_err(CopyError::Target)?;
    let mut position = match target.begin(source.mark()).await? {
        Begun::Finished => return Ok(Copied::Before),
        Begun::At(position) => position,
    };
    target.make_days(&days).await.map_err(CopyError::Target)?;
    let mut done = target.counts().await.map_err(CopyError::Target)?;

    let (batches, mut queue) = mpsc::channel(BATCHES_AHEAD_MAX);
    let from = position.clone();
    // Gives the source back: its lock is kept until the target is whole.
    let reading = tokio::spawn(blocking(move || {
        source.read(from, &batches).map_err(CopyError::Source)?;
        Ok(source)
    }));
    let mut written = Ok(ControlFlow::Continue(()));
    while let Ok(ControlFlow::Continue(())) = written
        && let Some(batch) = queue.recv().await
    {
        let (table, rows) = (batch.table(), batch.rows.len() as u64);
        written = target.write(&position, &batch).await.map(|()| {
            position = batch.then;
            done[table] += rows;
            watch(&Progress { table, done, total })
        });
    }
    // Nobody takes more: the reader ends, and the source is free when this returns.
    drop(queue);
    let source = reading.await.map_err(|cause| cut_off(&cause))?;
    if written?.is_break() {
        return Ok(Copied::Stopped);
    }
    let _source = source?;
    let there = target.counts().await.map_err(CopyError::Target)?;
    compare(&total, &there)?;
    target.finish().await.map_err(CopyError::Target)?;
    Ok(Copied::Whole(there))
}

impl Batch {
    pub fn table(&self) -> Table {
        match &self.rows {
            Rows::Catalog(_) => Table::Catalog,
            Rows::Events(_) => Table::Events,
            Rows::Waiting(_) => Table::Waiting,
            Rows::Settled(_) => Table::Settled,
            Rows::Attempts(_) => Table::Attempts,
            Rows::IdempotencyKeys(_) => Table::IdempotencyKeys,
            Rows::ReplayKeys(_) => Table::ReplayKeys,
            Rows::Replays(_) => Table::Replays,
            Rows::ReplayCounts(_) => Table::ReplayCounts,
            Rows::EndpointVersions(_) => Table::EndpointVersions,
            Rows::ReplayCalls(_) => Table::ReplayCalls,
            Rows::MetaEvents(_) => Table::MetaEvents,
        }
    }
}

fn compare(source: &Counts, target: &Counts) -> Result<()> {
    match Table::ALL.into_iter().find(|table| source[*table] != target[*table]) {
        None => Ok(()),
        Some(table) => Err(CopyError::Differs { table, source_rows: source[table], target_rows: target[table] }),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| cut_off(&cause))?
}

fn cut_off(cause: &tokio::task::JoinError) -> CopyError {
    CopyError::Source(StoreError::Unavailable(format!("a read was cut off: {cause}")))
}

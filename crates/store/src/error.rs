//! Why a store could not do what was asked. "It is not there" is no error: that is `None`.

use dacapo_model::Shard;

/// Which of these it is decides what a caller does: wait and try again, or give up and say so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written and trying again later may work: disk full, locked, read-only, closing.
    #[error("the store cannot be written or read now: {0}")]
    Unavailable(String),
    /// A row does not read as what was written: a bug, or a damaged file.
    #[error("inconsistent data in {table}.{column} (row {row}): {detail}")]
    Inconsistent { table: &'static str, column: &'static str, row: String, detail: String },
    /// The file was made by a newer version.
    #[error("the store has schema version {found}, this program knows up to {known}: start a newer version")]
    NewerSchema { found: i64, known: i64 },
    /// Another process holds the data directory.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// Another node owns these shards now. What else was asked for in the same call is done (see the
    /// verb); what concerns these shards is the other node's to do.
    #[error("{} shard(s) belong to another node now, the first of them {}", .shards.len(), .shards.first().map_or(0, |shard| shard.number()))]
    Fenced { shards: Vec<Shard> },
    /// The events were routed under an older catalog than the store's. Nothing was written: refresh,
    /// route again, commit again.
    #[error("the catalog has moved on to version {current}")]
    StaleCatalog { current: u64 },
    /// Reading took longer than anybody waits for a list: narrow the filter.
    #[error("reading took too long")]
    TooSlow,
    /// A statement was refused for a reason that will not pass.
    #[error("the store refused a statement: {0}")]
    Refused(String),
}

impl StoreError {
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

//! What is configured: few rows, read whole at start, changed rarely.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::catalog::Change;
use dacapo_model::{Id, MetaEvent};
use tokio::sync::watch;

/// Rows, in an order in which they can be applied, and the version they bring a reader to.
#[derive(Debug, Default)]
pub struct Contents {
    pub version: u64,
    pub rows: Vec<Change>,
    /// At or after the newest id of an event, a delivery or a row: later ids must be later than this.
    pub newest_id: Option<Id>,
}

#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    async fn load(&self) -> Result<Contents>;

    /// Writes all changes, and what is told of them, or nothing; gives the new version.
    async fn write(&self, changes: Vec<Change>, told: Vec<MetaEvent>) -> Result<u64>;

    /// The rows written after `version`, without `newest_id`. Where this process alone writes, whole.
    async fn load_since(&self, version: u64) -> Result<Contents> {
        let _ = version;
        self.load().await
    }

    /// Holds off writers in other processes until the lock is written through or dropped. `None`
    /// where there are none.
    async fn lock(&self) -> Result<Option<Box<dyn EditLock>>> {
        Ok(None)
    }

    /// Whether other processes may write it too.
    fn is_shared(&self) -> bool {
        false
    }

    /// The newest version another process is known to have written. Closed where there are none.
    fn newer(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// The right of one process to change the catalog. Dropped without a write, it changes nothing.
#[async_trait]
pub trait EditLock: Send {
    /// As [`Catalog::write`], and gives the lock back.
    async fn write(self: Box<Self>, changes: Vec<Change>, told: Vec<MetaEvent>) -> Result<u64>;
}

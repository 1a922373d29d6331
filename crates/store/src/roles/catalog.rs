//! What is configured: few rows, read whole at start, changed rarely.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::Id;
use dacapo_model::catalog::Change;

/// All rows, in an order in which they can be applied, and the version they stand at.
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

    /// Writes all changes or none and gives the new version.
    async fn write(&self, changes: Vec<Change>) -> Result<u64>;
}

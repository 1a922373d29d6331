//! Forgetting what is older than the operator keeps.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::Timestamp;

/// How much one call removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub events: u64,
    pub deliveries: u64,
    pub attempts: u64,
}

#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Removes at most `limit` of the oldest events made before `cutoff`, with their settled
    /// deliveries and attempts. An event with a waiting delivery stays, and so does what is younger
    /// than it, until that delivery settles. Zero events means there is nothing left to do.
    async fn drop_before(&self, cutoff: Timestamp, limit: usize) -> Result<Dropped>;
}

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
    pub meta_events: u64,
}

impl Dropped {
    /// Whether there may be more to drop.
    pub fn is_something(&self) -> bool {
        self.events > 0 || self.meta_events > 0
    }
}

/// A call removes no more of them.
pub const META_EVENTS_MAX: usize = 2_000;

#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Removes at most `limit` of the oldest events made before `cutoff`, with their settled
    /// deliveries and attempts. An event with a waiting delivery stays, and so does what is younger
    /// than it, until that delivery settles. Meta events made before `cutoff` go too, at most
    /// [`META_EVENTS_MAX`] a call, those that are still to be sent apart. [`Dropped::is_something`] says
    /// whether to call again.
    async fn drop_before(&self, cutoff: Timestamp, limit: usize) -> Result<Dropped>;
}

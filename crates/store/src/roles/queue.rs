//! Reading work that waits: at start, when a lane's window was exceeded, and for far retries.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Class, Delivery, Event, Id, Timestamp};
use std::sync::Arc;

/// What waits for one endpoint in one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub project_id: Id,
    pub endpoint_id: Id,
    pub class: Class,
    /// The earliest moment something is due.
    pub next_due: Timestamp,
    /// How many wait.
    pub count: u64,
}

/// A delivery with what is needed to send it.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub delivery: Delivery,
    pub event: Arc<Event>,
}

#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Every (endpoint, class) with waiting deliveries. Cheap enough for each start-up and for
    /// the metrics, also with millions waiting.
    async fn backlog(&self) -> Result<Vec<Backlog>>;

    /// Waiting deliveries of an endpoint and class due up to `until`, earliest first (ties: oldest
    /// first), at most `limit`. Reading claims nothing: a delivery stays here until it is recorded
    /// as settled, so the caller leaves out what it already holds.
    async fn due(&self, endpoint: Id, class: Class, until: Timestamp, limit: usize) -> Result<Vec<Waiting>>;

    /// The earliest due time after `after` of an endpoint and class; `None` when nothing waits.
    async fn next_due(&self, endpoint: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>>;
}

//! Making events durable.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Event, Id};
use std::sync::Arc;

/// An event to be stored with the deliveries it is born with.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    /// Targets (by index) that the caller does *not* keep in memory: [`super::Queue::due`] must give
    /// them soon. The others the caller dispatches by itself; after a crash, `due` gives them too.
    pub parked: Vec<u32>,
}

/// What became of one item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Stored, and its deliveries are owed from now on.
    Stored,
    /// Stored with `is_duplicate`: `first` has the same idempotency key. No deliveries.
    Duplicate { first: Id },
    /// Not stored: the id is taken. Its neighbours are not touched by this.
    IdTaken,
}

#[async_trait]
pub trait Commit: Send + Sync + 'static {
    /// After `Ok` every `Stored` event and its deliveries survive power loss. One answer an item, in
    /// order. Idempotency keys are compared within the project and within the batch, first one wins.
    async fn commit(&self, batch: Vec<NewEvent>) -> Result<Vec<Committed>>;

    /// Whether a commit would work now: writes and flushes a few bytes.
    async fn probe(&self) -> Result<()>;
}

//! Making events durable.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::{Event, Id};
use std::sync::Arc;
use std::time::Duration;

/// An event to be stored with the deliveries it is born with.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    /// Targets (by index) that the caller does *not* keep in memory: [`super::Queue::due`] must give
    /// them soon. The others the caller dispatches by itself; after a crash `due` gives them too, and an
    /// engine may give them before (the caller leaves out what it holds).
    pub parked: Vec<u32>,
    /// Targets behind those of the event, which share its ids' range ([`Id::child`]) and are stored with
    /// it. Their deliveries are not written yet: [`super::FanOuts`] gives them. Empty but for the largest
    /// fan-outs.
    pub later: Vec<Target>,
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
    ///
    /// `routed_at` is the catalog version all of the batch was routed under, or an older one. Where
    /// others write the catalog too, a newer version in the store is `StaleCatalog`, with nothing
    /// written: what was configured before a commit was asked for is what the commit is routed by.
    /// Owners of targets whose shards are another node's are told ([`super::Queue::arrivals`]).
    async fn commit(&self, batch: Vec<NewEvent>, routed_at: u64) -> Result<Vec<Committed>>;

    /// While a batch is under way, how many events the next one had better hold: what a transaction costs
    /// besides them is shared by so many.
    fn batch_worth_sending(&self) -> usize {
        1
    }

    /// Under load, how long a batch smaller than that waits for more. None where this process knows of every
    /// transaction that is under way.
    fn batch_gathers_for(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether a commit would work now: writes and flushes a few bytes.
    async fn probe(&self) -> Result<()>;
}

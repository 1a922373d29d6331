//! Convoy's `batchreplay`: every event a selector means, through routing again, within one call.
//!
//! - In: a frozen selector; its filters choose events, and each is replayed whole, as by its own call.
//! - Out: how many were scheduled, and how many could not be.
//! - Promise: what counts as successful is on disk. Memory does not grow with the number of events, and
//!   events that come in meanwhile are not among them.
//! - Failure: an event that cannot be replayed is counted, and the others go on; when the events cannot
//!   be read on, the call fails, and what was scheduled by then stays.

use crate::engine::Engine;
use crate::replay::ReplayRequest;
use dacapo_model::{Frozen, Id};
use dacapo_store::StoreError;
use dacapo_store::roles::{Load, ScanRequest};
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Events looked at in one read.
const PAGE_ROWS: usize = 2_000;
/// Events in memory at once.
const PAGE_EVENTS: usize = 256;
/// Replays on their way to the store at the same time: they share its transactions.
const IN_FLIGHT_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub successful: u64,
    pub failed: u64,
}

impl Engine {
    pub async fn replay_each(&self, project_id: Id, selector: Arc<Frozen>) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        let mut after = None;
        loop {
            let request = ScanRequest {
                project: project_id,
                selector: Arc::clone(&selector),
                ascending: true,
                after,
                rows_max: PAGE_ROWS,
                items_max: PAGE_EVENTS,
                load: Load::default(),
            };
            let page = self.scan(request).await?;
            let replays = page.items.into_iter().map(|item| {
                let event_id = item.event.id;
                self.replay(ReplayRequest {
                    project_id,
                    event_id,
                    endpoint: None,
                    idempotency: None,
                    keep_discarded: true,
                })
            });
            let mut outcomes = stream::iter(replays).buffered(IN_FLIGHT_MAX);
            while let Some(outcome) = outcomes.next().await {
                match outcome {
                    Ok(_) => tally.successful += 1,
                    Err(_) => tally.failed += 1,
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(tally);
            }
        }
    }
}

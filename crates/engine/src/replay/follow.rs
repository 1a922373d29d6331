//! What other nodes did to replays, taken up here.
//!
//! - In: word from the store that a replay was changed, and a slow look in any case.
//! - Out: dispatch acts by it; the store is told that it does, and what was in exchange.
//! - Promise: what was acknowledged is acted by.
//! - Failure: tried again; a stop says how many nodes have not acknowledged it.

use crate::dispatch::Dispatcher;
use dacapo_model::Replay;
use dacapo_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The look in any case: word may be lost, and a node that was counted out comes back with nothing said.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub struct Follower {
    pub store: Arc<dyn Store>,
    pub dispatcher: Arc<Dispatcher>,
}

impl Follower {
    /// Before anything is dispatched: what is open, and how it is. Gives the newest change known.
    pub async fn adopt(&self) -> Result<u64, StoreError> {
        let open = self.store.open_replays().await?;
        let revision = open.iter().map(|replay| replay.revision).max().unwrap_or(0);
        self.dispatcher.adopt_replays(&open);
        self.store.acknowledge_replays(revision, Vec::new()).await?;
        Ok(revision)
    }

    /// Until `stop`. `seen`: what [`Self::adopt`] gave.
    pub async fn follow(self, mut seen: u64, stop: CancellationToken) {
        let mut newer = self.store.newer_replays();
        newer.mark_changed();
        while !stop.is_cancelled() {
            let pause = match self.take_up(&mut seen).await {
                Ok(()) => LOOK_EVERY,
                Err(cause) => {
                    tracing::warn!(%cause, "changes of replays could not be taken up; trying again");
                    TRY_AGAIN_AFTER
                }
            };
            tokio::select! {
                Ok(()) = newer.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn take_up(&self, seen: &mut u64) -> Result<(), StoreError> {
        loop {
            let changed: Vec<Replay> = self.store.replays_since(*seen).await?;
            let in_flight = self.dispatcher.adopt_replays(&changed);
            let newest = changed.last().map_or(*seen, |replay| replay.revision);
            self.store.acknowledge_replays(newest, in_flight).await?;
            *seen = newest;
            if changed.is_empty() {
                return Ok(());
            }
            self.dispatcher.say_steered(changed.iter().map(|replay| replay.id));
        }
    }
}

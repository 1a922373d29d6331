//! Beside the pipeline: acts when an endpoint heals that is to recover by itself.
//!
//! - In: the catalog, where a breaker that closed and an endpoint that was activated leave their mark
//!   ([`Heal::due`]).
//! - Out: one call of [`OnHeal`] per heal, by the node that owns the endpoint; then a mark that it was
//!   acted upon, all those of a round in one write of the catalog.
//! - Promise: every heal is acted upon, and in the end once: a crash, or a hand-over, between the call
//!   and its mark leads to a second call with the same [`Heal::key`].
//! - Failure: what could not be done is tried again every few seconds.

#[cfg(test)]
mod tests;

use crate::dispatch::Dispatcher;
use async_trait::async_trait;
use dacapo_model::Health;
use dacapo_model::catalog::{Change, Snapshot};
use dacapo_model::health::Heal;
use dacapo_store::{LiveCatalog, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Looked at this often without word: a shard may have come to this node with a heal nobody acted upon.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rest between two looks: each goes through every endpoint, and changes can come by the hundred a second.
const LOOKS_APART: Duration = Duration::from_millis(100);
/// Heals acted upon in one round; the rest follows with the next.
const HEALS_MAX: usize = 64;

/// What is done about an endpoint that healed.
#[async_trait]
pub trait OnHeal: Send + Sync + 'static {
    /// Called again with the same [`Heal::key`] until it was `Ok` and the mark is written; the second call
    /// must do nothing new.
    async fn healed(&self, heal: &Heal) -> Result<(), StoreError>;
}

pub struct Healing {
    pub catalog: Arc<LiveCatalog>,
    pub dispatcher: Arc<Dispatcher>,
    pub on_heal: Arc<dyn OnHeal>,
}

impl Healing {
    /// Runs until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut changes = self.catalog.changes();
        for round in 0_usize.. {
            self.act_upon_all(round).await;
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(LOOKS_APART) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn act_upon_all(&self, round: usize) {
        let mut acted = Vec::new();
        for heal in self.due(&self.catalog.snapshot(), round) {
            match self.on_heal.healed(&heal).await {
                Ok(()) => acted.push(heal),
                Err(cause) => {
                    tracing::warn!(%cause, endpoint = %heal.endpoint_id, "recovery of a healed endpoint could not be started; trying again");
                }
            }
        }
        if acted.is_empty() {
            return;
        }
        if let Err(cause) = self.mark(&acted).await {
            tracing::warn!(%cause, heals = acted.len(), "recovery of healed endpoints could not be noted; trying again");
        }
    }

    /// Of endpoints this node owns.
    fn due(&self, snapshot: &Snapshot, round: usize) -> Vec<Heal> {
        let endpoints = snapshot.projects().filter(|view| view.project.deleted_at.is_none());
        let heals = endpoints
            .flat_map(|view| view.endpoints.values())
            .filter_map(|endpoint| Heal::due(endpoint, snapshot.health(endpoint.id).map(Arc::as_ref)));
        let mut ours: Vec<Heal> = heals.filter(|heal| self.dispatcher.owns(heal.endpoint_id)).collect();
        // Those that could not be started stay due; the others' turn comes all the same.
        let first = round.wrapping_mul(HEALS_MAX) % ours.len().max(1);
        ours.rotate_left(first);
        ours.truncate(HEALS_MAX);
        ours
    }

    async fn mark(&self, acted: &[Heal]) -> Result<(), StoreError> {
        let edit = self.catalog.edit().await?;
        let changes: Vec<Change> = acted.iter().filter_map(|heal| marked(edit.snapshot(), heal)).collect();
        if changes.is_empty() { Ok(()) } else { edit.write(changes).await }
    }
}

/// `None` when the endpoint is gone.
fn marked(snapshot: &Snapshot, heal: &Heal) -> Option<Change> {
    let endpoint = snapshot.project(heal.project_id)?.live_endpoint(heal.endpoint_id)?;
    let told = snapshot.health(heal.endpoint_id);
    let mut health = told.map_or_else(|| Health::new(endpoint), |told| Health::clone(told));
    health.recovered = heal.done;
    Some(Change::Health(Arc::new(health)))
}

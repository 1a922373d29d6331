//! Beside the pipeline: passes on how endpoints fare.
//!
//! - In: word from dispatch that a breaker opened or closed, or that a failure rate moved.
//! - Out: a row of health per endpoint with the configuration, which every node shows and a new owner
//!   starts from; word to the warden of endpoints that tripped too often; counts for operations.
//! - Promise: what others show of an endpoint is what its owner last knew, about a second late. At most
//!   one write a second, however many endpoints turn.
//! - Failure: what cannot be written is told again later, as it is then.

use crate::dispatch::{Dispatcher, Turned};
use crate::metrics::Metrics;
use crate::warden::Warden;
use dacapo_model::breaker::Policy;
use dacapo_model::catalog::{Change, Snapshot};
use dacapo_model::{Health, Id};
use dacapo_store::{LiveCatalog, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two writes. Each makes all nodes read what changed and route batches under way again.
const PASS_ON_EVERY: Duration = Duration::from_secs(1);
/// After this long without word it looks by itself: the lease may have been late when it last did.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Endpoints in one write; the rest follows with the next.
const ENDPOINTS_MAX: usize = 512;

pub struct Breakers {
    pub catalog: Arc<LiveCatalog>,
    pub dispatcher: Arc<Dispatcher>,
    pub warden: Warden,
    pub metrics: Arc<Metrics>,
}

impl Breakers {
    /// Runs until `stop`; what is to be told then is told first.
    pub async fn pass_on(self, stop: CancellationToken) {
        let mut changes = self.catalog.changes();
        let mut counted = Turned::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.tell(&mut counted).await;
                    return;
                }
                () = self.dispatcher.breaker_turned() => {}
                Ok(()) = changes.changed() => {
                    if !self.dispatcher.check_told(&self.catalog.snapshot()) {
                        continue;
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if self.tell(&mut counted).await {
                let _ = tokio::time::timeout(PASS_ON_EVERY, stop.cancelled()).await;
            }
        }
    }

    /// `false` when there was nothing to tell.
    async fn tell(&self, counted: &mut Turned) -> bool {
        let told = self.dispatcher.tell(ENDPOINTS_MAX);
        let endpoints: Vec<Id> = told.iter().map(|health| health.endpoint_id).collect();
        if !told.is_empty()
            && let Err(cause) = self.write(told).await
        {
            tracing::warn!(%cause, endpoints = endpoints.len(), "the health of endpoints could not be written; trying again");
            self.dispatcher.not_told(endpoints.into_iter());
            return true;
        }
        // After the write: what is counted is remembered.
        self.count(counted);
        !endpoints.is_empty()
    }

    async fn write(&self, told: Vec<Health>) -> Result<(), StoreError> {
        let edit = self.catalog.edit().await?;
        let snapshot = Arc::clone(edit.snapshot());
        let mut changes = Vec::new();
        for mut health in told {
            // It may have gone to another node while the lock was waited for.
            if !self.dispatcher.owns(health.endpoint_id) {
                continue;
            }
            if let Some(before) = snapshot.health(health.endpoint_id) {
                health.recovered = before.recovered;
            }
            self.look_at(&snapshot, &health);
            changes.push(Change::Health(Arc::new(health)));
        }
        if changes.is_empty() { Ok(()) } else { edit.write(changes).await }
    }

    fn look_at(&self, snapshot: &Snapshot, health: &Health) {
        let Some(view) = snapshot.project(health.project_id) else { return };
        if view.live_endpoint(health.endpoint_id).is_none_or(|endpoint| !health.is_of(endpoint)) {
            return;
        }
        let policy = Policy::from(&view.project.config.circuit_breaker);
        if health.open_until.is_some() {
            tracing::info!(
                endpoint = %health.endpoint_id, trips = health.trips, failures = health.failures,
                successes = health.successes, "circuit breaker open"
            );
        }
        if health.open_until.is_some() && health.trips >= policy.trips_to_disable {
            self.warden.tripped_too_often(health.project_id, health.endpoint_id);
        }
    }

    fn count(&self, counted: &mut Turned) {
        let (turned, open) = self.dispatcher.breakers();
        self.metrics.breakers_opened.inc_by(turned.opened - counted.opened);
        self.metrics.breakers_closed.inc_by(turned.closed - counted.closed);
        self.metrics.breakers_open.set(i64::try_from(open).unwrap_or(i64::MAX));
        *counted = turned;
    }
}

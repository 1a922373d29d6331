//! Stage 6, record: attempts and next states, in batches.
//!
//! - In: reports from couriers.
//! - Out: history in the store; word to dispatch of what is settled and what waits again; word to
//!   the warden of endpoints to switch off.
//! - Promise: everything reported is recorded in the end. What a crash cuts
//!   off before its record is sent again.
//! - Failure: while the store cannot be written the batch is kept and tried again, and the bounded
//!   queue behind it holds the couriers back.

#[cfg(test)]
mod tests;

use crate::dispatch::Dispatcher;
use crate::health::{Health, Readiness};
use crate::metrics::Metrics;
use crate::warden::Warden;
use dacapo_model::Shard;
use dacapo_store::StoreError;
use dacapo_store::roles::{Record, Report};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Reports that may wait to be recorded; couriers wait beyond that.
pub const REPORTS_QUEUED_MAX: usize = 2_048;
const BATCH_REPORTS_MAX: usize = 512;
/// Batches handed to the store and not yet answered; it puts all of them into its next transaction.
/// A delivery is in one of them at most: dispatch holds it until it is recorded.
const BATCHES_IN_FLIGHT_MAX: usize = 8;
/// After a batch of this size more reports are about to come, and are worth waiting for: rows that
/// are written together share pages of the log.
const BATCH_REPORTS_BUSY: usize = 8;
/// How long the first report of a batch then waits for others.
const GATHER_TIME: Duration = Duration::from_millis(5);
/// How often it waits so long, until there are as many as the store finds worth a transaction.
const GATHER_TIMES_MAX: usize = 3;
/// Between two tries while the store cannot be written.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub struct Recorder {
    pub store: Arc<dyn Record>,
    pub dispatcher: Arc<Dispatcher>,
    pub warden: Warden,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
}

impl Recorder {
    /// Runs until every sender of reports is gone.
    pub fn start(self, mut reports: mpsc::Receiver<Report>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut arrived = Vec::with_capacity(BATCH_REPORTS_MAX);
            let mut in_flight = FuturesUnordered::new();
            let (worth_sending, mut is_busy) = (self.store.batch_worth_sending(), false);
            loop {
                // What is under way goes on while nothing new comes: the last report of all included.
                tokio::select! {
                    biased;
                    Some(()) = in_flight.next(), if !in_flight.is_empty() => continue,
                    count = reports.recv_many(&mut arrived, BATCH_REPORTS_MAX) => if count == 0 {
                        break;
                    }
                }
                if is_busy {
                    for _ in 0..GATHER_TIMES_MAX {
                        let gathered = tokio::time::sleep(GATHER_TIME);
                        tokio::pin!(gathered);
                        loop {
                            tokio::select! {
                                biased;
                                Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
                                () = &mut gathered => break,
                            }
                        }
                        if arrived.len() + reports.len() >= worth_sending {
                            break;
                        }
                    }
                }
                while in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
                    in_flight.next().await;
                }
                while arrived.len() < BATCH_REPORTS_MAX
                    && let Ok(report) = reports.try_recv()
                {
                    arrived.push(report);
                }
                is_busy = arrived.len() >= BATCH_REPORTS_BUSY;
                // In the order of their rows, which then go to the ends of their tables; stable, as a delivery may
                // have two.
                arrived.sort_by_key(|report| report.delivery.id.order());
                in_flight.push(self.record(Arc::from_iter(arrived.drain(..))));
            }
            while in_flight.next().await.is_some() {}
        })
    }

    async fn record(&self, batch: Arc<[Report]>) {
        self.metrics.record_batch_size.observe(batch.len() as f64);
        loop {
            match self.store.record(Arc::clone(&batch)).await {
                Ok(()) => break,
                Err(cause @ StoreError::Unavailable(_)) => {
                    self.readiness.set(Health::Unready { reason: cause.to_string() });
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
                Err(StoreError::Fenced { shards }) => {
                    return self.partly_recorded(&batch, &shards);
                }
                Err(cause) => break self.record_one_by_one(&batch, &cause).await,
            }
        }
        self.dispatcher.recorded(&batch);
        batch.iter().for_each(|report| self.warden.look_at(report));
    }

    /// What is refused is the new owner's to send again; the rest of the batch is recorded.
    fn partly_recorded(&self, batch: &[Report], lost: &[Shard]) {
        let is_lost = |report: &Report| lost.contains(&Shard::of(report.delivery.endpoint_id));
        let (lost, kept): (Vec<Report>, Vec<Report>) = batch.iter().cloned().partition(is_lost);
        tracing::warn!(reports = lost.len(), "late reports were refused: another node owns their endpoints");
        self.metrics.fenced.inc_by(lost.len() as u64);
        self.dispatcher.fenced(&lost);
        self.dispatcher.recorded(&kept);
        kept.iter().for_each(|report| self.warden.look_at(report));
    }

    /// Something in the batch is refused for good: the rest must not suffer for it.
    async fn record_one_by_one(&self, batch: &[Report], cause: &StoreError) {
        tracing::error!(%cause, reports = batch.len(), "a batch of reports was refused; recording them one by one");
        for report in batch {
            if let Err(cause) = self.store.record(Arc::from([report.clone()])).await {
                tracing::error!(%cause, delivery = %report.delivery.id, "a report could not be recorded; the delivery will be sent again");
            }
        }
    }
}

//! Work beside the pipeline, each a task with a name: looks whether the store can be written again,
//! drops what is older than is kept, reads the gauges.

use crate::dispatch::Dispatcher;
use crate::health::{Health, Readiness};
use crate::metrics::{ClassLabel, Metrics};
use crate::settings::Settings;
use dacapo_model::{Class, Clock, Replay, Timestamp};
use dacapo_store::Store;
use dacapo_store::roles::Dropped;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PROBE_EVERY: Duration = Duration::from_secs(1);
/// What `/readyz` says then.
const LAPSED: &str = "the database has not been reached for longer than this node's lease lasts";
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// What waits is counted so many at a time, with rests this many times as long as each took: millions of them are
/// no reason for anybody to wait.
const COUNTED_AT_ONCE: usize = 5_000;
const COUNT_RESTS: u32 = 20;
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Events one retention call removes: short enough not to hold the writer up.
const RETENTION_EVENTS_MAX: usize = 1_000;

pub struct Upkeep {
    pub store: Arc<dyn Store>,
    pub dispatcher: Arc<Dispatcher>,
    pub readiness: Arc<Readiness>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
}

impl Upkeep {
    /// Starts all tasks; they end with `stop`.
    pub fn start(self, stop: &CancellationToken) {
        let upkeep = Arc::new(self);
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&upkeep).probe()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&upkeep).read_gauges()));
        if let Some(keep) = upkeep.settings.retention {
            tokio::spawn(stop.clone().run_until_cancelled_owned(upkeep.retain(keep)));
        }
    }

    /// A node to which nobody sends finds out by its lease that the store is out of reach.
    async fn probe(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            let lapsed = self.store.holding().borrow().has_lapsed();
            if lapsed && self.readiness.get() == Health::Ready {
                self.readiness.set(Health::Unready { reason: LAPSED.to_owned() });
            }
            let unready = matches!(self.readiness.get(), Health::Unready { .. });
            self.metrics.ready.set(i64::from(!unready));
            if unready && !lapsed && self.store.probe().await.is_ok() {
                self.readiness.set(Health::Ready);
                self.metrics.ready.set(1);
            }
        }
    }

    async fn read_gauges(self: Arc<Self>) {
        loop {
            self.metrics.in_exchange.set(i64::try_from(self.dispatcher.in_exchange()).unwrap_or(i64::MAX));
            if let Ok(backlog) = self.store.backlog().await {
                let now = self.clock.now();
                for class in Class::ALL {
                    let of_class = backlog.iter().filter(|waiting| waiting.class == class);
                    let oldest = of_class.map(|waiting| now.since(waiting.next_due)).max().unwrap_or_default();
                    let label = ClassLabel::from(class);
                    self.metrics.queue_age_seconds.get_or_create(&label).set(oldest.as_secs_f64());
                }
            }
            if let Ok(counts) = self.count_waiting().await {
                for (class, count) in counts {
                    let label = ClassLabel::from(class);
                    self.metrics.queue_depth.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
            tokio::time::sleep(GAUGES_EVERY).await;
        }
    }

    async fn count_waiting(&self) -> dacapo_store::Result<Vec<(Class, u64)>> {
        let mut sums = Class::ALL.map(|class| (class, 0)).to_vec();
        let mut after = None;
        loop {
            let began = tokio::time::Instant::now();
            let depth = self.store.count_waiting(after, COUNTED_AT_ONCE).await?;
            for (class, sum) in &mut sums {
                *sum += depth.counts.iter().filter(|(of, _)| of == class).map(|(_, count)| count).sum::<u64>();
            }
            after = depth.next;
            if after.is_none() {
                return Ok(sums);
            }
            tokio::time::sleep(began.elapsed() * COUNT_RESTS).await;
        }
    }

    /// Drops history older than `keep`, for ever.
    async fn retain(self: Arc<Self>, keep: Duration) {
        loop {
            let cutoff = self.clock.now().minus(keep);
            match drop_old(self.store.as_ref(), cutoff).await {
                // More may follow at once; in between the writer serves others.
                Ok(dropped) if dropped.is_something() => continue,
                Ok(_) => {}
                Err(cause) => tracing::warn!(%cause, "retention put off"),
            }
            tokio::time::sleep(RETENTION_EVERY).await;
        }
    }
}

/// A piece of what is older than `cutoff`, except what a replay under way or paused has still to walk.
pub(crate) async fn drop_old(store: &dyn Store, cutoff: Timestamp) -> dacapo_store::Result<Dropped> {
    let walked_from = store.open_replays().await?.iter().filter_map(Replay::walks_on_from).min();
    let cutoff = walked_from.map_or(cutoff, |event| cutoff.min(event.time()));
    store.drop_before(cutoff, RETENTION_EVENTS_MAX).await
}

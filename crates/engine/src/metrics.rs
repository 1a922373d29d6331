//! What operations looks at: counters, gauges and histograms, in Prometheus' text form.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
pub enum ClassValue {
    live,
    retry,
    replay,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ClassLabel {
    pub class: ClassValue,
}

impl From<dacapo_model::Class> for ClassLabel {
    fn from(class: dacapo_model::Class) -> Self {
        let class = match class {
            dacapo_model::Class::Live => ClassValue::live,
            dacapo_model::Class::Retry => ClassValue::retry,
            dacapo_model::Class::Replay => ClassValue::replay,
        };
        Self { class }
    }
}

pub struct Metrics {
    registry: Registry,
    /// Submissions that passed all checks.
    pub accepted: Counter,
    /// Events on disk.
    pub committed: Counter,
    /// Deliveries that succeeded.
    pub delivered: Counter,
    /// Attempts without success.
    pub failed: Counter,
    /// Deliveries that wait for another attempt.
    pub retried: Counter,
    /// Deliveries that ended without success.
    pub given_up: Counter,
    /// Reports refused because another node owns their shards by now.
    pub fenced: Counter,
    /// Circuit breakers that opened, from half-open too.
    pub breakers_opened: Counter,
    pub breakers_closed: Counter,
    /// Endpoints of this node whose breaker is open or half-open.
    pub breakers_open: Gauge,
    pub commit_batch_size: Histogram,
    pub commit_seconds: Histogram,
    pub record_batch_size: Histogram,
    pub exchange_seconds: Histogram,
    /// Accepted to delivered, first attempts only.
    pub delivery_seconds: Histogram,
    pub in_exchange: Gauge,
    pub queue_depth: Family<ClassLabel, Gauge>,
    pub queue_age_seconds: Family<ClassLabel, Gauge<f64, AtomicU64>>,
    pub ready: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 18));
        let sizes = || Histogram::new(exponential_buckets(1.0, 2.0, 10));
        let mut metrics = Self {
            registry: Registry::with_prefix("dacapo"),
            accepted: Counter::default(),
            committed: Counter::default(),
            delivered: Counter::default(),
            failed: Counter::default(),
            retried: Counter::default(),
            given_up: Counter::default(),
            fenced: Counter::default(),
            breakers_opened: Counter::default(),
            breakers_closed: Counter::default(),
            breakers_open: Gauge::default(),
            commit_batch_size: sizes(),
            commit_seconds: seconds(),
            record_batch_size: sizes(),
            exchange_seconds: seconds(),
            delivery_seconds: seconds(),
            in_exchange: Gauge::default(),
            queue_depth: Family::default(),
            queue_age_seconds: Family::default(),
            ready: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("events_accepted", "Events that passed all checks", self.accepted.clone());
        registry.register("events_committed", "Events on disk", self.committed.clone());
        registry.register("deliveries_delivered", "Deliveries that succeeded", self.delivered.clone());
        registry.register(
            "reports_fenced",
            "Reports that came after their shard went to another node",
            self.fenced.clone(),
        );
        registry.register("attempts_failed", "Attempts without success", self.failed.clone());
        registry.register("deliveries_retried", "Attempts that will be followed by another", self.retried.clone());
        registry.register("deliveries_given_up", "Deliveries that ended without success", self.given_up.clone());
        let trips = "Circuit breakers that opened, or opened again after a probe";
        registry.register("breakers_opened", trips, self.breakers_opened.clone());
        registry.register("breakers_closed", "Circuit breakers that closed", self.breakers_closed.clone());
        let open = "Endpoints whose circuit breaker is open or half-open";
        registry.register("breakers_open", open, self.breakers_open.clone());
        registry.register("commit_batch_size", "Events per transaction", self.commit_batch_size.clone());
        registry.register("commit_duration_seconds", "A batch's way to disk", self.commit_seconds.clone());
        registry.register("record_batch_size", "Attempts per transaction", self.record_batch_size.clone());
        registry.register("exchange_duration_seconds", "Request to answer", self.exchange_seconds.clone());
        registry.register(
            "delivery_duration_seconds",
            "Accepted to delivered on the first attempt",
            self.delivery_seconds.clone(),
        );
        registry.register("exchanges_in_flight", "Requests waiting for their answer", self.in_exchange.clone());
        registry.register("queue_depth", "Deliveries waiting in the store", self.queue_depth.clone());
        registry.register("queue_age_seconds", "How long the oldest has been due", self.queue_age_seconds.clone());
        registry.register("ready", "1 while events can be taken", self.ready.clone());
    }

    /// The whole exposition, as `/metrics` serves it.
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

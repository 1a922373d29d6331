//! Reading history. All lists are pages by id: bounded, without gaps or repeats while events arrive.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::{Attempt, Delivery, Event, Id, Status, Timestamp, Trigger};
use std::sync::Arc;

/// Which slice of an id-ordered list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most; a caller that wants to know whether more follow asks for one more.
    pub limit: usize,
    /// Inclusive: the first row is at this id or beyond it in the reading direction.
    pub from: Option<Id>,
    /// `true` reads upward (oldest first from `from`), `false` downward (newest first).
    pub ascending: bool,
}

impl Page {
    /// Whether a row of this id lies at `from` or beyond it.
    pub fn reaches(&self, id: Id) -> bool {
        self.from.is_none_or(|from| if self.ascending { id >= from } else { id <= from })
    }
}

/// Inclusive bounds on the time of creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// All conditions hold together; an empty list or `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Events addressed to, or delivered to, any of these.
    pub endpoints: Vec<Id>,
    pub sources: Vec<Id>,
    pub event_types: Vec<String>,
    pub idempotency_key: Option<String>,
    pub livemode: Option<bool>,
    pub related_to: Option<Id>,
    pub window: Window,
}

#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub endpoints: Vec<Id>,
    pub event: Option<Id>,
    pub subscription: Option<Id>,
    pub event_type: Option<String>,
    pub statuses: Vec<Status>,
    pub trigger: Option<Trigger>,
    pub replay: Option<Id>,
    pub window: Window,
}

/// A delivery with its event (deliveries are never shown without it).
#[derive(Clone, Debug)]
pub struct DeliveryView {
    pub delivery: Delivery,
    pub event: Arc<Event>,
}

#[async_trait]
pub trait Query: Send + Sync + 'static {
    /// `None` also when the event is another project's.
    async fn event(&self, project: Id, id: Id) -> Result<Option<Arc<Event>>>;

    /// Those of these events that the project has, in any order. Their payloads are in memory together: the caller
    /// knows how large they are.
    async fn events_among(&self, project: Id, ids: Vec<Id>) -> Result<Vec<Arc<Event>>>;

    /// Targets of an event that lie outside of it ([`super::FanOuts`]), in order; empty when it has none, or is
    /// another project's.
    async fn later_targets(&self, project: Id, event: Id) -> Result<Vec<Target>>;

    async fn events(&self, project: Id, filter: EventFilter, page: Page) -> Result<Vec<Arc<Event>>>;

    /// The first (not duplicate) event with this key.
    async fn event_by_idempotency_key(&self, project: Id, key: &str) -> Result<Option<Id>>;

    async fn delivery(&self, project: Id, id: Id) -> Result<Option<DeliveryView>>;

    async fn deliveries(&self, project: Id, filter: DeliveryFilter, page: Page) -> Result<Vec<DeliveryView>>;

    /// All attempts of a delivery, oldest first, at most `limit` of the newest. Empty for an unknown delivery.
    async fn attempts(&self, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>>;
}

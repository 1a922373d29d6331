//! The one selector: which events, and which deliveries of them, a list, a count, a plan or a run means.
//!
//! ```text
//!  JSON ──parse──► Selector ──freeze(now, high water, catalog)──► Frozen ──► admits(event)
//!                  as written: "-2h", owners                      ids only       pairs(event, deliveries)
//! ```
//!
//! All conditions hold together; within a list any member does. A [`Selector`] may say "the last two
//! hours" or "the endpoints of this owner"; a [`Frozen`] one says ids, so it means the same events for
//! ever and can be stored with what was started from it.
//!
//! Time is the event's: `from` and `to` are about when it was accepted. The conditions on deliveries
//! look at the newest delivery to each subscription, so what was sent again since counts as it is now.

mod check;
mod decide;
mod error;
mod event_types;
mod frozen;
mod http_status;
mod moment;
mod parse;
#[cfg(test)]
mod tests;

pub use decide::Pair;
pub use error::{Problem, SelectorError};
pub use event_types::{EventTypes, Pattern};
pub use frozen::{Frozen, Parts};
pub use http_status::HttpStatus;
pub use moment::Moment;

use crate::delivery;
use crate::event::FanOut;
use crate::filter::scopes::Conditions;
use crate::id::Id;
use serde::{Deserialize, Serialize};

/// Ids one selector names, each list by itself.
pub const IDS_MAX: usize = 1_000;
/// Event types one selector names.
pub const EVENT_TYPES_MAX: usize = 256;
/// Bytes of one text in a selector (an event type, an owner).
pub const TEXT_BYTES_MAX: usize = 512;

/// Which deliveries of a selected event are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetMode {
    /// Recover: endpoints whose newest delivery failed.
    Failed,
    /// Backfill: endpoints that match today and that the event never reached.
    Missing,
    /// Replay: with conditions on deliveries, the endpoints they hold for; without, whoever matches today.
    #[default]
    All,
    /// Endpoints whose newest delivery was given up.
    Discarded,
}

impl SetMode {
    pub const ALL: [Self; 4] = [Self::Failed, Self::Missing, Self::All, Self::Discarded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::All => "all",
            Self::Discarded => "discarded",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// As written, checked by itself; [`Selector::freeze`] checks it against the time and the catalog.
/// Serialises to what [`Selector::parse`] reads. An empty list or `None` is no condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Selector {
    pub mode: SetMode,
    /// Inclusive, to the millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// Inclusive, to the millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Moment>,
    #[serde(skip_serializing_if = "EventTypes::is_empty")]
    pub event_types: EventTypes,
    /// Events addressed to, or delivered to, any of these; and of their deliveries those to these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint_ids: Vec<Id>,
    /// As `endpoint_ids`, with the endpoints these owners have when it is frozen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ids: Vec<Id>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_status: Vec<EventStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delivery_status: Vec<DeliveryStatus>,
    /// Of the last attempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_status: Vec<HttpStatus>,
    /// Attempts made, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_min: Option<u32>,
    /// Deliveries this replay made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_id: Option<Id>,
    /// Deliveries for these subscriptions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscription_ids: Vec<Id>,
    /// What headers, body, query and path look like (contracts/convoy.md §4.4). An event it cannot be
    /// evaluated on is not selected.
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub filter: Conditions,
}

impl Selector {
    /// Neither a start nor a list of events: it means everything back to the oldest event kept.
    /// Whoever starts something from it asks for a confirmation.
    pub const fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.event_ids.is_empty()
    }

    /// Whether something is asked of deliveries, beside the mode.
    pub const fn asks_of_deliveries(&self) -> bool {
        !self.delivery_status.is_empty()
            || !self.http_status.is_empty()
            || self.attempts_min.is_some()
            || self.replay_id.is_some()
            || !self.subscription_ids.is_empty()
    }
}

/// An event's fan-out in Convoy's word (contracts/convoy.md §2.3.2), of those that events keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventStatus {
    Success,
    Failure,
    /// Duplicates, which are never routed.
    Processing,
}

impl EventStatus {
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Processing];

    pub const fn fan_out(self) -> FanOut {
        match self {
            Self::Success => FanOut::Success,
            Self::Failure => FanOut::NoMatch,
            Self::Processing => FanOut::Skipped,
        }
    }

    /// In any letter case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.fan_out().convoy_status().eq_ignore_ascii_case(text))
    }
}

/// A delivery's status, written in Convoy's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct DeliveryStatus(pub delivery::Status);

impl DeliveryStatus {
    /// In any letter case.
    pub fn parse(text: &str) -> Option<Self> {
        let found = delivery::Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
        found.map(Self)
    }
}

impl From<DeliveryStatus> for &'static str {
    fn from(status: DeliveryStatus) -> Self {
        status.0.as_str()
    }
}

impl TryFrom<String> for DeliveryStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text} is no status of a delivery"))
    }
}

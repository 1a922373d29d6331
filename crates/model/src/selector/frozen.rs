//! A selector that means the same events for ever.

use super::error::{Problem, SelectorError};
use super::{DeliveryStatus, EventStatus, EventTypes, HttpStatus, Selector, SetMode};
use crate::catalog::ProjectView;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, Status};
use crate::event::{Audience, Event};
use crate::filter::scopes::{self, Conditions, Matcher, Scopes};
use crate::id::Id;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::time::Duration;

/// Times resolved to ids, owners to endpoints, everything born after the high-water mark left out.
/// Serialises to JSON, filter included, and reads back the same.
#[derive(Clone, Debug)]
pub struct Frozen {
    parts: Parts,
    /// `parts.filter`, compiled.
    matcher: Matcher,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    pub mode: SetMode,
    /// The first event meant, and the last. `first > last`: there is none.
    pub first: Id,
    pub last: Id,
    /// Deliveries born after this are not looked at.
    pub high_water: Id,
    #[serde(default)]
    pub event_types: EventTypes,
    /// `None`: of any. Some may be deleted: history still shows what they got.
    #[serde(default)]
    pub endpoints: Option<BTreeSet<Id>>,
    #[serde(default)]
    pub sources: Vec<Id>,
    /// Sorted; empty for any.
    #[serde(default)]
    pub event_ids: Vec<Id>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    #[serde(default)]
    pub event_status: Vec<EventStatus>,
    #[serde(default)]
    pub delivery_status: Vec<DeliveryStatus>,
    #[serde(default)]
    pub http_status: Vec<HttpStatus>,
    #[serde(default)]
    pub attempts_min: Option<u32>,
    #[serde(default)]
    pub replay_id: Option<Id>,
    #[serde(default)]
    pub subscriptions: Vec<Id>,
    #[serde(default)]
    pub filter: Conditions,
}

impl Selector {
    /// `high_water`: an id that nothing still to be committed lies before; what is born later is left
    /// out. `view` says which endpoints there are, and which an owner has.
    ///
    /// Errors: a window that lies in the future or is none, endpoints and owners the project does not
    /// have, and what [`Selector::check_mode`] says.
    pub fn freeze(&self, now: Timestamp, high_water: Id, view: &ProjectView) -> Result<Frozen, SelectorError> {
        self.check_mode()?;
        let from = self.from.map(|moment| moment.resolve(now));
        let to = self.to.map(|moment| moment.resolve(now));
        if from.is_some_and(|from| from > now) {
            return Err(SelectorError::new("from", Problem::InTheFuture));
        }
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(SelectorError::new("from", Problem::AfterTo));
        }
        let parts = Parts {
            mode: self.mode,
            first: from.map_or(Id::MIN, Id::floor_of),
            last: to.map_or(Id::MAX, last_of).min(high_water),
            high_water,
            event_types: self.event_types.clone(),
            endpoints: self.endpoints_in(view)?,
            sources: self.source_ids.clone(),
            event_ids: self.event_ids.clone(),
            idempotency_key: self.idempotency_key.clone(),
            event_status: self.event_status.clone(),
            delivery_status: self.delivery_status.clone(),
            http_status: self.http_status.clone(),
            attempts_min: self.attempts_min,
            replay_id: self.replay_id,
            subscriptions: self.subscription_ids.clone(),
            filter: self.filter.clone(),
        };
        Frozen::of(parts).map_err(|error| SelectorError::new("filter", Problem::Filter(error)))
    }

    /// Both lists hold: those of the endpoints that are of one of the owners.
    fn endpoints_in(&self, view: &ProjectView) -> Result<Option<BTreeSet<Id>>, SelectorError> {
        if self.endpoint_ids.is_empty() && self.owner_ids.is_empty() {
            return Ok(None);
        }
        let unknown = |id: &&Id| !view.endpoints.contains_key(*id);
        if let Some(id) = self.endpoint_ids.iter().find(unknown) {
            return Err(SelectorError::new("endpoint_ids", Problem::UnknownEndpoint(id.to_string())));
        }
        let named: BTreeSet<Id> = self.endpoint_ids.iter().copied().collect();
        if self.owner_ids.is_empty() {
            return Ok(Some(named));
        }
        let mut endpoints = BTreeSet::new();
        for owner in &self.owner_ids {
            let mut owned = view.endpoints.values().filter(|endpoint| endpoint.owner_id == *owner).peekable();
            if owned.peek().is_none() {
                return Err(SelectorError::new("owner_ids", Problem::UnknownOwner(owner.clone())));
            }
            endpoints.extend(owned.map(|endpoint| endpoint.id));
        }
        if !named.is_empty() {
            endpoints = &endpoints & &named;
            if endpoints.is_empty() {
                return Err(SelectorError::new("endpoint_ids", Problem::OfOtherOwners));
            }
        }
        Ok(Some(endpoints))
    }
}

/// The last id of the millisecond `at` falls into.
fn last_of(at: Timestamp) -> Id {
    if at.millis() < 0 {
        return Id::MIN;
    }
    let next = Id::floor_of(at.plus(Duration::from_millis(1)));
    Id::from_u128(next.as_u128().saturating_sub(1))
}

impl Frozen {
    /// Whether the two are alike but for their window of time, and the windows meet.
    pub fn meets(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.parts, &other.parts);
        let moved = Parts { first: mine.first, last: mine.last, high_water: mine.high_water, ..theirs.clone() };
        *mine == moved && mine.first <= theirs.last && theirs.first <= mine.last
    }

    fn of(parts: Parts) -> Result<Self, scopes::ScopeError> {
        let matcher = parts.filter.compile()?;
        Ok(Self { parts, matcher })
    }

    /// What it consists of, for whoever turns conditions into a walk.
    pub const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Whether [`Frozen::pairs`] asks which endpoints match the event today.
    pub fn needs_routing(&self) -> bool {
        match self.parts.mode {
            SetMode::Missing => true,
            SetMode::All => !self.asks_of_deliveries(),
            SetMode::Failed | SetMode::Discarded => false,
        }
    }

    /// Whether the payload is looked at.
    pub fn reads_data(&self) -> bool {
        !self.parts.filter.body.is_empty()
    }

    /// Whether anything else is that came with the event: headers, query, path, idempotency key.
    pub fn reads_content(&self) -> bool {
        !self.parts.filter.is_empty() || self.parts.idempotency_key.is_some()
    }

    pub(super) fn asks_of_deliveries(&self) -> bool {
        let parts = &self.parts;
        !parts.delivery_status.is_empty()
            || !parts.http_status.is_empty()
            || parts.attempts_min.is_some()
            || parts.replay_id.is_some()
            || !parts.subscriptions.is_empty()
    }

    pub fn wants_endpoint(&self, endpoint: Id) -> bool {
        self.parts.endpoints.as_ref().is_none_or(|endpoints| endpoints.contains(&endpoint))
    }

    /// Everything that is asked of the event itself, the filter last. Which of its endpoints are meant,
    /// and whether any is, says [`Frozen::pairs`].
    pub fn admits(&self, event: &Event) -> bool {
        let parts = &self.parts;
        self.in_range(event.id)
            && parts.event_types.admit(&event.event_type)
            && (parts.sources.is_empty() || event.source_id.is_some_and(|source| parts.sources.contains(&source)))
            && parts.idempotency_key.as_ref().is_none_or(|key| *key == event.idempotency_key)
            && (parts.event_status.is_empty()
                || parts.event_status.iter().any(|status| status.fan_out() == event.fan_out))
            && self.filter_holds(event)
    }

    pub fn in_range(&self, event: Id) -> bool {
        let parts = &self.parts;
        (parts.first..=parts.last).contains(&event)
            && (parts.event_ids.is_empty() || parts.event_ids.binary_search(&event).is_ok())
    }

    /// What `endpoint_ids` and `owner_ids` say of the event: it was addressed to one of them by name, or
    /// got a delivery to one, up to the high-water mark. In a backfill they only say which endpoints may
    /// lack it.
    pub fn reaches(&self, event: &Event, deliveries: &[Delivery]) -> bool {
        if self.parts.endpoints.is_none() || self.parts.mode == SetMode::Missing {
            return true;
        }
        let addressed =
            matches!(&event.audience, Audience::Endpoints(ids) if ids.iter().any(|id| self.wants_endpoint(*id)));
        addressed
            || deliveries.iter().any(|one| one.id <= self.parts.high_water && self.wants_endpoint(one.endpoint_id))
    }

    /// Whether `deliveries` decide anything: otherwise they need not be read.
    pub fn reads_deliveries(&self) -> bool {
        !self.needs_routing() || self.parts.mode == SetMode::Missing || self.parts.endpoints.is_some()
    }

    /// The states a delivery may be in for its endpoint to be meant; all of them where routing decides.
    pub fn delivery_states(&self) -> Vec<Status> {
        let parts = &self.parts;
        let fits = |status: &Status| match parts.mode {
            SetMode::Failed => *status == Status::Failure,
            SetMode::Discarded => *status == Status::Discarded,
            SetMode::All | SetMode::Missing => {
                parts.delivery_status.is_empty() || parts.delivery_status.iter().any(|asked| asked.0 == *status)
            }
        };
        Status::ALL.into_iter().filter(fits).collect()
    }

    fn filter_holds(&self, event: &Event) -> bool {
        if self.parts.filter.is_empty() {
            return true;
        }
        let content = scopes::Event {
            data: &event.data,
            headers: &event.headers,
            url_query: &event.url_query,
            url_path: &event.url_path,
        };
        self.matcher.matches(&Scopes::new(content)).unwrap_or(false)
    }
}

impl PartialEq for Frozen {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Serialize for Frozen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Frozen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Parts::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

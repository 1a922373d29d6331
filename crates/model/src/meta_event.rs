//! Webhooks about Dacapo itself (contracts/convoy.md §7.3): what is told, to whom, and what becomes of it.
//!
//! A meta event is made where what it tells of is decided, and written in the same transaction. Its body
//! is made then too: later changes of what it tells of do not change it, and each attempt sends the same.

use crate::attempt::Attempt;
use crate::catalog::{Change, ProjectView, Snapshot};
use crate::clock::{Clock, Timestamp};
use crate::delivery::{Delivery, Mode, Next, Reason, Status, Verdict, after};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::id::{Id, IdSource};
use crate::project::Config;
use crate::replay::{Replay, State};
use crate::retry::Policy;
use aws_lc_rs::digest;
use bytes::Bytes;
use std::sync::Arc;

/// What can be told. Projects name those they want, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    EndpointCreated,
    EndpointUpdated,
    EndpointDeleted,
    DeliverySuccess,
    DeliveryFailed,
    /// Ours, as the two after it.
    ReplayCompleted,
    ReplayFailed,
    ReplayCancelled,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::EndpointCreated,
        Self::EndpointUpdated,
        Self::EndpointDeleted,
        Self::DeliverySuccess,
        Self::DeliveryFailed,
        Self::ReplayCompleted,
        Self::ReplayFailed,
        Self::ReplayCancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointCreated => "endpoint.created",
            Self::EndpointUpdated => "endpoint.updated",
            Self::EndpointDeleted => "endpoint.deleted",
            Self::DeliverySuccess => "eventdelivery.success",
            Self::DeliveryFailed => "eventdelivery.failed",
            Self::ReplayCompleted => "replay.completed",
            Self::ReplayFailed => "replay.failed",
            Self::ReplayCancelled => "replay.cancelled",
        }
    }

    fn is_wanted_by(self, config: &Config) -> bool {
        config.meta_event.is_enabled && config.meta_event.event_type.iter().any(|name| name == self.as_str())
    }

    /// An endpoint's change, from the state before it (`None`: there was none).
    fn of_change(before: Option<&Endpoint>, after: &Endpoint) -> Self {
        match before {
            None => Self::EndpointCreated,
            Some(_) if !after.is_live() => Self::EndpointDeleted,
            Some(_) => Self::EndpointUpdated,
        }
    }

    /// How a delivery ended. Nothing is told of one that was given up without asking the endpoint.
    const fn of_outcome(delivery: &Delivery) -> Option<Self> {
        match (delivery.status, delivery.reason) {
            (Status::Success, _) => Some(Self::DeliverySuccess),
            (Status::Failure, Some(Reason::Unsendable)) => None,
            (Status::Failure, _) => Some(Self::DeliveryFailed),
            _ => None,
        }
    }

    const fn of_state(state: State) -> Option<Self> {
        match state {
            State::Completed => Some(Self::ReplayCompleted),
            State::Failed => Some(Self::ReplayFailed),
            State::Cancelled => Some(Self::ReplayCancelled),
            State::Planned | State::Running | State::Paused => None,
        }
    }
}

/// One, as it is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaEvent {
    pub id: Id,
    pub project_id: Id,
    /// One of [`Kind`]'s names when it was made.
    pub event_type: String,
    /// What is signed and sent: compact JSON.
    pub body: Bytes,
    /// The project's when it was made.
    pub policy: Policy,
    pub status: Status,
    /// Made so far.
    pub attempts: u32,
    /// When it is next to be sent; once it is settled, when it last was.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The last of them; `delivery_id` is the meta event's.
    pub last: Option<Attempt>,
}

impl MetaEvent {
    /// Hex SHA-256 of its id: what receivers deduplicate on.
    pub fn idempotency_key(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.id.to_string().as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// It after an attempt. `jitter` in 0..1.
    pub fn after(&self, attempt: Attempt, verdict: Verdict, now: Timestamp, jitter: f64) -> Self {
        let next = after(self.policy, Mode::AtLeastOnce, attempt.number, verdict, now, jitter);
        let (status, due_at) = match next {
            Next::Settled { status, .. } => (status, attempt.requested_at),
            Next::Retry { due_at } => (Status::Retry, due_at),
        };
        Self { status, attempts: attempt.number, due_at, updated_at: now, last: Some(attempt), ..self.clone() }
    }

    /// It when nobody wants it any more.
    pub fn discarded(&self, now: Timestamp) -> Self {
        Self { status: Status::Discarded, updated_at: now, ..self.clone() }
    }
}

/// The JSON of `data`, as the surface shows such things.
pub trait Bodies: Send + Sync + 'static {
    /// Without secrets.
    fn endpoint(&self, endpoint: &Endpoint, now: Timestamp) -> String;
    fn delivery(&self, outcome: &Outcome<'_>, now: Timestamp) -> String;
    fn replay(&self, replay: &Replay, now: Timestamp) -> String;
}

/// A delivery that ended, and how.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    pub delivery: &'a Delivery,
    pub event: &'a Event,
    pub attempt: &'a Attempt,
    pub view: &'a ProjectView,
}

/// Makes meta events for those who want them.
pub struct Teller {
    pub bodies: Box<dyn Bodies>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
}

impl Teller {
    /// Of changes of the configuration, made to `before`.
    pub fn of_changes(&self, before: &Snapshot, changes: &[Change]) -> Vec<MetaEvent> {
        let mut told = Vec::new();
        for change in changes {
            let Change::Endpoint(endpoint) = change else { continue };
            let Some(view) = before.project(endpoint.project_id) else { continue };
            let kind = Kind::of_change(view.endpoints.get(&endpoint.id).map(Arc::as_ref), endpoint);
            if kind.is_wanted_by(&view.project.config) {
                told.push(self.tell(view, kind, |now| self.bodies.endpoint(endpoint, now)));
            }
        }
        told
    }

    /// Costs a look at one setting where nobody wants any.
    pub fn of_delivery(&self, outcome: &Outcome<'_>) -> Option<Box<MetaEvent>> {
        let view = outcome.view;
        if !view.project.config.meta_event.is_enabled {
            return None;
        }
        let kind = Kind::of_outcome(outcome.delivery).filter(|kind| kind.is_wanted_by(&view.project.config))?;
        Some(Box::new(self.tell(view, kind, |now| self.bodies.delivery(outcome, now))))
    }

    /// Of a replay as it becomes, where that is an end.
    pub fn of_replay(&self, snapshot: &Snapshot, replay: &Replay) -> Option<MetaEvent> {
        let view = snapshot.project(replay.project_id)?;
        let kind = Kind::of_state(replay.control.state).filter(|kind| kind.is_wanted_by(&view.project.config))?;
        Some(self.tell(view, kind, |now| self.bodies.replay(replay, now)))
    }

    fn tell(&self, view: &ProjectView, kind: Kind, data: impl FnOnce(Timestamp) -> String) -> MetaEvent {
        let (id, at) = self.ids.mint(self.clock.now());
        let body = format!(r#"{{"event_type":"{}","data":{}}}"#, kind.as_str(), data(at));
        MetaEvent {
            id,
            project_id: view.project.id,
            event_type: kind.as_str().to_owned(),
            body: body.into(),
            policy: Policy::from(view.project.config.strategy),
            status: Status::Scheduled,
            attempts: 0,
            due_at: at,
            created_at: at,
            updated_at: at,
            last: None,
        }
    }
}

#[cfg(test)]
mod tests;

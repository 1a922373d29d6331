//! An accepted event, with the deliveries it was born with.

use crate::attempt::HeaderLines;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, Mode, Reason, Status as DeliveryStatus, Trigger};
use crate::id::Id;
use crate::retry::Policy;
use bytes::Bytes;

/// Immutable once committed, but for `status` and `failure_reason`, which a replay that finds
/// subscribers advances (contracts/convoy.md §2.3.9).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Id,
    pub project_id: Id,
    pub event_type: String,
    /// The payload exactly as accepted: compacted JSON, key order, numbers and escapes untouched.
    pub data: Bytes,
    /// Custom or ingested headers that go out with every delivery.
    pub headers: HeaderLines,
    pub source_id: Option<Id>,
    pub url_query: String,
    pub url_path: String,
    /// Empty when none.
    pub idempotency_key: String,
    /// Another event had the same idempotency key first: stored, never delivered by itself.
    pub is_duplicate: bool,
    /// Whom a replay may match again.
    pub audience: Audience,
    pub fan_out: FanOut,
    /// What routing found, in order: target `n` became the delivery `id.child(n)`.
    pub targets: Vec<Target>,
    pub created_at: Timestamp,
    pub connect: ConnectFace,
}

impl Event {
    /// One that has nothing but a type and a payload, and reached nobody yet: no headers, no keys, no targets.
    pub fn plain(
        id: Id,
        project_id: Id,
        event_type: impl Into<String>,
        data: impl Into<Bytes>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            project_id,
            event_type: event_type.into(),
            data: data.into(),
            headers: HeaderLines::new(),
            source_id: None,
            url_query: String::new(),
            url_path: String::new(),
            idempotency_key: String::new(),
            is_duplicate: false,
            audience: Audience::Project,
            fan_out: FanOut::Success,
            targets: Vec::new(),
            created_at,
            connect: ConnectFace::default(),
        }
    }
}

/// Who was addressed when the event came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The subscriptions of these endpoints.
    Endpoints(Vec<Id>),
    /// Every subscription of the project.
    Project,
    /// Every subscription of the event's source.
    Source,
}

/// The Convoy event status: about fan-out only (contracts/convoy.md §2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanOut {
    /// Deliveries were written.
    Success,
    /// Nobody matched.
    NoMatch,
    /// A duplicate: not routed at all. Convoy leaves these in `Processing`.
    Skipped,
}

impl FanOut {
    pub const fn convoy_status(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::NoMatch => "Failure",
            Self::Skipped => "Processing",
        }
    }

    pub const fn failure_reason(self) -> Option<&'static str> {
        match self {
            Self::NoMatch => Some("no subscription matched this event"),
            Self::Success | Self::Skipped => None,
        }
    }

    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::NoMatch => 1,
            Self::Skipped => 2,
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::NoMatch),
            2 => Some(Self::Skipped),
            _ => None,
        }
    }
}

/// What only the Connect surface shows (contracts/connect.md, Objects).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFace {
    pub livemode: bool,
    /// The principal object: id and kind are both there or both absent.
    pub related: Option<Related>,
}

impl Default for ConnectFace {
    /// Every surface that is not Connect creates live events.
    fn default() -> Self {
        Self { livemode: true, related: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// A UUID's 128 bits.
    pub to: Id,
    pub kind: String,
}

/// One delivery to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub endpoint_id: Id,
    pub subscription_id: Id,
    pub mode: Mode,
    pub policy: Policy,
    /// Set when the delivery is born `Discarded`, because its endpoint takes none.
    pub discarded: Option<Reason>,
}

impl Event {
    /// The `index`-th delivery as it was born.
    pub fn delivery(&self, index: u32) -> Option<Delivery> {
        let target = self.targets.get(index as usize)?;
        Some(target.delivery(self, self.id.child(index), Trigger::Event, None, self.created_at))
    }
}

impl Event {
    /// Ids of the deliveries to this endpoint that it was born with.
    pub fn born_for(&self, endpoint: Id) -> impl Iterator<Item = Id> {
        let to_it = (0u32..).zip(&self.targets).filter(move |(_, target)| target.endpoint_id == endpoint);
        to_it.map(|(index, _)| self.id.child(index))
    }
}

impl Target {
    /// The delivery this target becomes.
    pub fn delivery(&self, event: &Event, id: Id, trigger: Trigger, replay_id: Option<Id>, at: Timestamp) -> Delivery {
        Delivery {
            id,
            project_id: event.project_id,
            event_id: event.id,
            endpoint_id: self.endpoint_id,
            subscription_id: self.subscription_id,
            trigger,
            replay_id,
            mode: self.mode,
            policy: self.policy,
            attempts: 0,
            manual: false,
            status: match self.discarded {
                Some(_) => DeliveryStatus::Discarded,
                None => DeliveryStatus::Scheduled,
            },
            reason: self.discarded,
            last_status: None,
            due_at: at,
            created_at: at,
            updated_at: at,
            latency_us: 0,
        }
    }
}

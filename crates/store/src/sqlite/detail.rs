//! The columns named `detail`: everything no index and no join looks at, as one value. A statement
//! pays for each column it binds or reads, far more than for the bytes in it.
//!
//! How they are written: [`crate::packed`].

use crate::packed::{IdBytes, Made};
use dacapo_model::delivery::Reason;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Delivery, Id, Mode, Status, Timestamp, Trigger};
use serde::{Deserialize, Serialize};

/// Where conditions find the subscription of a settled delivery `d`: the first field, behind the
/// layout's byte.
pub const SUBSCRIPTION: &str = "substr(d.detail, 2, 16)";
/// The same of its replay; when there is none, other fields' bytes stand there.
pub const REPLAY: &str = "substr(d.detail, 19, 16)";

#[derive(Serialize, Deserialize)]
pub struct Settled<'a> {
    pub state: SettledState,
    /// The attempt it settled on, when that was its first; otherwise all are in `attempts`.
    #[serde(borrow)]
    first: Option<Made<'a>>,
}

/// The front of it, which reads by itself: the attempt behind is most of the bytes.
#[derive(Serialize, Deserialize)]
pub struct SettledState {
    /// See [`SUBSCRIPTION`].
    subscription: IdBytes,
    /// See [`REPLAY`].
    replay: Option<IdBytes>,
    #[serde(with = "postcard::fixint::be")]
    tail: u64,
    #[serde(with = "postcard::fixint::be")]
    event_tail: u64,
    mode: u8,
    strategy: u8,
    interval_s: u32,
    limit: u32,
    attempts: u32,
    manual: bool,
    last_status: Option<u16>,
    reason: Option<u8>,
    due_at: i64,
    created_at: i64,
    updated_at: i64,
    latency_us: u64,
}

/// What a settled row says outside its `detail`.
pub struct SettledColumns {
    pub ord: i64,
    pub project_id: Id,
    pub event_ord: i64,
    pub endpoint_id: Id,
    pub trigger: Trigger,
    pub status: Status,
}

impl<'a> Settled<'a> {
    pub fn of(delivery: &Delivery, first: Option<&'a Attempt>) -> Self {
        let state = SettledState {
            subscription: delivery.subscription_id.to_bytes(),
            replay: delivery.replay_id.map(Id::to_bytes),
            tail: delivery.id.tail(),
            event_tail: delivery.event_id.tail(),
            mode: delivery.mode.code(),
            strategy: delivery.policy.kind.code(),
            interval_s: delivery.policy.interval_s,
            limit: delivery.policy.limit,
            attempts: delivery.attempts,
            manual: delivery.manual,
            last_status: delivery.last_status,
            reason: delivery.reason.map(Reason::code),
            due_at: delivery.due_at.micros(),
            created_at: delivery.created_at.micros(),
            updated_at: delivery.updated_at.micros(),
            latency_us: delivery.latency_us,
        };
        Self { state, first: first.map(Made::of) }
    }

    pub fn first_attempt(&self, ord: i64) -> Option<Attempt> {
        self.first.as_ref().map(|made| made.attempt(self.state.id(ord), 1))
    }
}

impl SettledState {
    /// `None` for a code that means nothing.
    pub fn delivery(&self, columns: &SettledColumns) -> Option<Delivery> {
        Some(Delivery {
            id: self.id(columns.ord),
            project_id: columns.project_id,
            event_id: Id::from_parts(columns.event_ord.cast_unsigned(), self.event_tail),
            endpoint_id: columns.endpoint_id,
            subscription_id: Id::from_bytes(self.subscription),
            trigger: columns.trigger,
            replay_id: self.replay.map(Id::from_bytes),
            mode: Mode::from_code(self.mode)?,
            policy: Policy { kind: Kind::from_code(self.strategy)?, interval_s: self.interval_s, limit: self.limit },
            attempts: self.attempts,
            manual: self.manual,
            status: columns.status,
            reason: match self.reason {
                Some(code) => Some(Reason::from_code(code)?),
                None => None,
            },
            last_status: self.last_status,
            due_at: Timestamp::from_micros(self.due_at),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            latency_us: self.latency_us,
        })
    }

    fn id(&self, ord: i64) -> Id {
        Id::from_parts(ord.cast_unsigned(), self.tail)
    }
}

//! The columns named `detail`: everything no index and no join looks at, as one value. An array of
//! values costs per column, far more than for the bytes in it.
//!
//! How they are written: [`crate::packed`]. Ids lie in it as they are, so a condition may look for an
//! id's bytes anywhere in it and leave the rest to who decodes.

use super::codec::inconsistent;
use crate::Result;
use crate::packed::{self, IdBytes, Made};
use dacapo_model::delivery::Reason;
use dacapo_model::event::Target;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Delivery, Id, Mode, Status, Timestamp, Trigger};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Event<'a> {
    pub headers: &'a str,
    pub url_query: &'a str,
    pub url_path: &'a str,
    pub related_kind: &'a str,
    pub created_at: i64,
    pub audience: Vec<IdBytes>,
    pub targets: Vec<TargetPart>,
}

#[derive(Serialize, Deserialize)]
pub struct TargetPart {
    endpoint: IdBytes,
    subscription: IdBytes,
    mode: u8,
    strategy: u8,
    interval_s: u32,
    limit: u32,
    discarded: Option<u8>,
}

impl TargetPart {
    pub fn of(target: &Target) -> Self {
        Self {
            endpoint: target.endpoint_id.to_bytes(),
            subscription: target.subscription_id.to_bytes(),
            mode: target.mode.code(),
            strategy: target.policy.kind.code(),
            interval_s: target.policy.interval_s,
            limit: target.policy.limit,
            discarded: target.discarded.map(Reason::code),
        }
    }

    /// `None` for a code that means nothing.
    pub fn target(&self) -> Option<Target> {
        Some(Target {
            endpoint_id: Id::from_bytes(self.endpoint),
            subscription_id: Id::from_bytes(self.subscription),
            mode: Mode::from_code(self.mode)?,
            policy: Policy { kind: Kind::from_code(self.strategy)?, interval_s: self.interval_s, limit: self.limit },
            discarded: reason(self.discarded)?,
        })
    }
}

/// What a delivery's row says outside its `detail`.
pub struct DeliveryColumns {
    pub id: Id,
    pub project_id: Id,
    pub endpoint_id: Id,
    pub event_id: Id,
}

/// Of a delivery in either table; what only one of them needs costs a byte in the other.
///
/// Conditions look into it, and count on the order of the fields: the layout's byte, `subscription`, from byte 18
/// on (counted from 0) `replay`, from byte 37 on, where there is one, three numbers up to `attempts`, each of which
/// ends with its first byte below 128; the byte behind the third is `manual`.
#[derive(Serialize, Deserialize)]
pub struct Facts<'a> {
    subscription: IdBytes,
    replay: Option<IdBytes>,
    trigger: u8,
    mode: u8,
    strategy: u8,
    interval_s: u32,
    limit: u32,
    attempts: u32,
    manual: bool,
    status: u8,
    last_status: Option<u16>,
    reason: Option<u8>,
    due_at: i64,
    created_at: i64,
    updated_at: i64,
    latency_us: u64,
    /// The attempt it settled on, when that was its first; otherwise all are in `attempts`.
    #[serde(borrow)]
    first: Option<Made<'a>>,
}

impl<'a> Facts<'a> {
    pub fn of(delivery: &Delivery, first: Option<&'a Attempt>) -> Self {
        Self {
            subscription: delivery.subscription_id.to_bytes(),
            replay: delivery.replay_id.map(Id::to_bytes),
            trigger: delivery.trigger.code(),
            mode: delivery.mode.code(),
            strategy: delivery.policy.kind.code(),
            interval_s: delivery.policy.interval_s,
            limit: delivery.policy.limit,
            attempts: delivery.attempts,
            manual: delivery.manual,
            status: delivery.status.code(),
            last_status: delivery.last_status,
            reason: delivery.reason.map(Reason::code),
            due_at: delivery.due_at.micros(),
            created_at: delivery.created_at.micros(),
            updated_at: delivery.updated_at.micros(),
            latency_us: delivery.latency_us,
            first: first.map(Made::of),
        }
    }

    /// `None` for a code that means nothing.
    pub fn delivery(&self, columns: &DeliveryColumns) -> Option<Delivery> {
        Some(Delivery {
            id: columns.id,
            project_id: columns.project_id,
            event_id: columns.event_id,
            endpoint_id: columns.endpoint_id,
            subscription_id: Id::from_bytes(self.subscription),
            trigger: Trigger::from_code(self.trigger)?,
            replay_id: self.replay.map(Id::from_bytes),
            mode: Mode::from_code(self.mode)?,
            policy: Policy { kind: Kind::from_code(self.strategy)?, interval_s: self.interval_s, limit: self.limit },
            attempts: self.attempts,
            manual: self.manual,
            status: Status::from_code(self.status)?,
            reason: reason(self.reason)?,
            last_status: self.last_status,
            due_at: Timestamp::from_micros(self.due_at),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            latency_us: self.latency_us,
        })
    }

    pub fn first_attempt(&self, delivery: Id) -> Option<Attempt> {
        self.first.as_ref().map(|made| made.attempt(delivery, 1))
    }
}

/// Outer `None`: an unknown code.
fn reason(code: Option<u8>) -> Option<Option<Reason>> {
    code.map_or(Some(None), |code| Reason::from_code(code).map(Some))
}

pub fn encode(detail: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    packed::encode(detail, &mut bytes)?;
    Ok(bytes)
}

/// `table` and `row` are for the error.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], table: &'static str, row: Id) -> Result<T> {
    packed::decode(bytes).map_err(|why| inconsistent(table, "detail", row, &why))
}

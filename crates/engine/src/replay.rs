//! The two doors back in: events → route (match again), deliveries → dispatch (send again).
//!
//! - In: an event's id and who may receive it, or ids of settled deliveries.
//! - Out: new deliveries, or the same ones waiting again, handed to dispatch after the commit.
//! - Promise: `Ok` means they are on disk; one idempotency key schedules once (design §1.3).
//! - Failure: a typed refusal; nothing was scheduled.

use dacapo_model::{Delivery, Id};
use std::time::Duration;

/// A stored event through routing again.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    pub project_id: Id,
    pub event_id: Id,
    /// Only to this endpoint.
    pub endpoint: Option<Id>,
    /// `(key, fingerprint)`: see `dacapo_store::roles::Idempotency`.
    pub idempotency: Option<(String, [u8; 32])>,
    /// `true`: endpoints that take no deliveries now get one born `Discarded` (Convoy's way);
    /// `false`: they are left out (Connect's way).
    pub keep_discarded: bool,
}

/// What a replay scheduled, or had scheduled before under the same key.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// In the order of routing; as they are now.
    pub deliveries: Vec<Delivery>,
    /// The key was used before: these are the original deliveries, nothing new was scheduled.
    pub repeated: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayRefusal {
    #[error("unknown event")]
    UnknownEvent,
    /// No live endpoint is subscribed to it (only when `keep_discarded` is false).
    #[error("no enabled endpoint is subscribed to this event")]
    NobodyListens,
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    #[error("the replay could not be stored now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
}

/// How long an idempotency key is remembered (contracts/connect.md).
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 3_600);

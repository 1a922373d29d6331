//! Stage 1, accept: an authenticated, well-formed submission becomes an event with an id.
//!
//! - In: a [`Submission`] from a surface or a source.
//! - Out: the event, routed, handed to the committer; the caller waits for its commit.
//! - Promise: `Ok` means the event and its deliveries are on disk.
//! - Failure: a [`Refusal`]; nothing was stored, the caller may send again.

use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::event::{Audience, ConnectFace};
use dacapo_model::{Event, Id};
use std::sync::Arc;
use std::time::Duration;

/// What a producer sent, already authenticated and checked by its surface.
#[derive(Clone, Debug)]
pub struct Submission {
    pub project_id: Id,
    pub event_type: String,
    /// Compacted JSON ([`dacapo_model::json::compact`]).
    pub data: Bytes,
    pub headers: HeaderLines,
    pub source_id: Option<Id>,
    pub url_query: String,
    pub url_path: String,
    /// Empty when none.
    pub idempotency_key: String,
    pub audience: Audience,
    pub connect: ConnectFace,
}

/// A durable event.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub event: Arc<Event>,
    /// Stored, but another event had its idempotency key first: nothing is delivered.
    pub duplicate: bool,
}

/// Why an event was not taken. In each case nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The store cannot commit now, or too much is waiting for it to.
    #[error("the event could not be stored now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    #[error("unknown project")]
    UnknownProject,
    /// The process is shutting down.
    #[error("the server is shutting down")]
    Draining,
}

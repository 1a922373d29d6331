//! Stage 1, accept: an authenticated, well-formed submission becomes an event.
//!
//! - In: a [`Submission`] from a surface or a source.
//! - Out: the event, routed, to the committer; the caller waits for its commit.
//! - Promise: `Ok` means the event and its deliveries are on disk.
//! - Failure: a [`Refusal`]; the caller may send again. [`Refusal::Overtaken`] is for the surface alone, which looks and
//!   asks again.

use crate::address::Address;
use crate::commit::Intake;
use crate::health::{Health, Readiness};
use crate::metrics::Metrics;
use crate::route;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::catalog::ProjectView;
use dacapo_model::event::{Audience, ConnectFace, FanOut};
use dacapo_model::{Event, Id, Timestamp};
use dacapo_store::LiveCatalog;
use std::sync::Arc;
use std::time::Duration;

/// What a producer sent, already authenticated and checked by its surface.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The project as it was then.
    pub seen: Arc<ProjectView>,
    pub event_type: String,
    /// Compacted JSON ([`dacapo_model::json::compact`]).
    pub data: Bytes,
    pub headers: HeaderLines,
    pub source_id: Option<Id>,
    pub url_query: String,
    pub url_path: String,
    /// Empty when none.
    pub idempotency_key: String,
    pub address: Address,
    /// Whom that was found to be.
    pub audience: Audience,
    pub connect: ConnectFace,
}

/// A durable event.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub event: Arc<Event>,
    /// The event that had the same idempotency key first: this one is stored, nothing is delivered.
    pub duplicate_of: Option<Id>,
}

/// Why an event was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The store cannot commit now, or too much is waiting for it to. Nothing was stored.
    #[error("the event could not be stored now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    #[error("unknown project")]
    UnknownProject,
    /// Whom it is addressed to, or what it must bring, has changed since its surface looked. Nothing was stored: look
    /// again.
    #[error("the configuration changes faster than events can be addressed")]
    Overtaken,
    /// The process is shutting down.
    #[error("the server is shutting down")]
    Draining,
}

/// What a refused producer is told to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

pub struct Acceptor {
    pub catalog: Arc<LiveCatalog>,
    pub intake: Intake,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
}

impl Acceptor {
    pub async fn accept(&self, submission: Submission) -> Result<Accepted, Refusal> {
        match self.readiness.get() {
            Health::Ready => {}
            Health::Draining => return Err(Refusal::Draining),
            Health::Unready { reason } => return Err(Refusal::Unavailable { reason, retry_after: RETRY_AFTER }),
        }
        let snapshot = self.catalog.snapshot();
        let view = snapshot.project(submission.seen.project.id).ok_or(Refusal::UnknownProject)?;
        let Submission { seen, address, audience, idempotency_key, .. } = &submission;
        if !Arc::ptr_eq(view, seen) && !address.still_means(audience, idempotency_key, view) {
            return Err(Refusal::Overtaken);
        }
        let targets = route::targets(view, &submission);
        self.metrics.accepted.inc();
        let (event, address) = event(submission, targets);
        self.intake.commit(event, address, snapshot.version).await
    }
}

/// The id and the moment are the committer's to give: ids rise in the order of commits.
fn event(submission: Submission, targets: Vec<dacapo_model::event::Target>) -> (Event, Address) {
    let event = Event {
        id: Id::MIN,
        project_id: submission.seen.project.id,
        event_type: submission.event_type,
        data: submission.data,
        headers: submission.headers,
        source_id: submission.source_id,
        url_query: submission.url_query,
        url_path: submission.url_path,
        idempotency_key: submission.idempotency_key,
        is_duplicate: false,
        audience: submission.audience,
        fan_out: if targets.is_empty() { FanOut::NoMatch } else { FanOut::Success },
        targets,
        created_at: Timestamp::default(),
        connect: submission.connect,
    };
    (event, submission.address)
}

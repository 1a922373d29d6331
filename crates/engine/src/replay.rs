//! The two doors back in: events → route (match again), deliveries → dispatch (send again).
//!
//! - In: an event's id and who may receive it, or ids of settled deliveries.
//! - Out: new deliveries, or the same ones waiting again, handed to dispatch after the commit.
//! - Promise: `Ok` means they are on disk, and with them who asked for what; one idempotency key schedules
//!   once (design §1.3).
//! - Failure: a typed refusal; nothing was scheduled.

pub mod beside;
pub mod desk;
pub mod follow;
mod items;
mod on_heal;
mod pace;
mod page;
pub mod plan;
pub mod run;

use crate::accept::RETRY_AFTER;
use crate::dispatch::Dispatcher;
use crate::route;
use dacapo_model::replay::{Asked, Asker, Call, Said};
use dacapo_model::{Clock, Delivery, Id, IdSource};
use dacapo_store::roles::{Idempotency, NewReplay, NewResend, ReplayWritten, Resend, ResendKind};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::Arc;
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
    pub asked_by: Asker,
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

pub struct Replayer {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
}

impl Replayer {
    pub async fn replay(&self, request: ReplayRequest) -> Result<Replayed, ReplayRefusal> {
        let event = self.store.event(request.project_id, request.event_id).await.map_err(unavailable)?;
        let event = event.ok_or(ReplayRefusal::UnknownEvent)?;
        let mut targets = match self.catalog.snapshot().project(request.project_id) {
            Some(view) => route::again(view, &event, request.endpoint),
            None => return Err(ReplayRefusal::UnknownEvent),
        };
        if !request.keep_discarded {
            targets.retain(|target| target.discarded.is_none());
        }
        let nobody = targets.is_empty();
        let now = self.clock.now();
        let (replay_id, at) = self.ids.mint(now);
        // What is refused is not kept.
        let call = (!nobody || request.keep_discarded).then(|| {
            let asked = Asked::Event {
                event_id: request.event_id,
                endpoint_id: request.endpoint,
                idempotency_key: request.idempotency.as_ref().map(|(key, _)| key.clone()),
            };
            let said = Said { asked_by: request.asked_by, at, asked, items: targets.len() as u64 };
            Call { id: replay_id, project_id: request.project_id, said }
        });
        let written = self.store.replay(NewReplay {
            project_id: request.project_id,
            event_id: request.event_id,
            replay_id,
            targets: targets.into_iter().map(|target| (self.ids.mint(now).0, target)).collect(),
            idempotency: request.idempotency.map(|(key, fingerprint)| Idempotency {
                key,
                fingerprint,
                forget_before: now.minus(IDEMPOTENCY_WINDOW),
            }),
            at,
            call,
        });
        match written.await.map_err(unavailable)? {
            // A key that was used before is answered as it was, also when nobody listens any more.
            ReplayWritten::New(_) if nobody && !request.keep_discarded => Err(ReplayRefusal::NobodyListens),
            ReplayWritten::New(deliveries) => {
                self.dispatcher.stored(&deliveries);
                Ok(Replayed { deliveries, repeated: false })
            }
            ReplayWritten::Before(ids) => self.as_they_are(request.project_id, &ids).await,
            ReplayWritten::Conflict => Err(ReplayRefusal::IdempotencyConflict),
            ReplayWritten::UnknownEvent => Err(ReplayRefusal::UnknownEvent),
        }
    }

    async fn as_they_are(&self, project: Id, ids: &[Id]) -> Result<Replayed, ReplayRefusal> {
        let mut deliveries = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(view) = self.store.delivery(project, *id).await.map_err(unavailable)? {
                deliveries.push(view.delivery);
            }
        }
        Ok(Replayed { deliveries, repeated: true })
    }

    pub async fn resend(
        &self,
        project_id: Id,
        deliveries: Vec<Id>,
        kind: ResendKind,
        asked_by: Asker,
    ) -> Result<Vec<Resend>, StoreError> {
        let (call_id, at) = self.ids.mint(self.clock.now());
        let resend = NewResend { project_id, deliveries, kind, at, call_id, asked_by };
        let resent = self.store.resend(resend).await?;
        let scheduled = resent.iter().filter_map(|one| match one {
            Resend::Scheduled(delivery) => Some(delivery.clone()),
            Resend::WrongState(_) | Resend::Unknown => None,
        });
        self.dispatcher.stored(&scheduled.collect::<Vec<_>>());
        Ok(resent)
    }
}

fn unavailable(cause: StoreError) -> ReplayRefusal {
    ReplayRefusal::Unavailable { reason: cause.to_string(), retry_after: RETRY_AFTER }
}

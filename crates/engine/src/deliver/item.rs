//! An item of a replay: a delivery whose replay says whether it is still wanted, where it goes and
//! with what.
//!
//! - Promise: what the endpoint has had is not sent again unless the replay says so, looked up over
//!   the whole history at the moment of sending.
//! - Failure: a look-up that fails leaves the item for a little later; it is never sent unchecked.

use super::Courier;
use super::template::Template;
use crate::dispatch::{Exchanged, Taken, Terms};
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::Reason;
use dacapo_model::endpoint::{self, Secret};
use dacapo_model::replay::{AsOf, Elsewhere, Version};
use dacapo_model::{Endpoint, Event, Id, Status, Timestamp};
use dacapo_store::StoreError;
use dacapo_store::roles::{Replays, Report};
use std::sync::Arc;
use std::time::Duration;

/// After a look-up that failed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What to do with an item.
enum Course {
    Send(Arc<Endpoint>),
    Discard(Reason),
}

impl Courier {
    pub(super) async fn carry_item(&self, taken: &Taken, terms: &Terms) -> (Report, Exchanged) {
        let delivery = &taken.work.delivery;
        if taken.is_given_up {
            return (self.discard(delivery, Reason::ReplayEnded), Exchanged::Skipped);
        }
        let snapshot = self.catalog.snapshot();
        let Some(view) = snapshot.project(delivery.project_id).filter(|view| view.project.deleted_at.is_none()) else {
            return (self.discard(delivery, Reason::ProjectDeleted), Exchanged::Skipped);
        };
        let endpoint = match self.course(taken, terms, view).await {
            Ok(Course::Send(endpoint)) => endpoint,
            Ok(Course::Discard(reason)) => return (self.discard(delivery, reason), Exchanged::Skipped),
            Err(cause) => {
                tracing::warn!(%cause, delivery = %delivery.id, "an item of a replay could not be looked up; it is tried later");
                let mut later = delivery.clone();
                later.due_at = self.clock.now().plus(LOOK_AGAIN_AFTER);
                return (Report { delivery: later, attempt: None, meta_event: None }, Exchanged::Skipped);
            }
        };
        let template = match view.endpoints.get(&endpoint.id).is_some_and(|current| Arc::ptr_eq(current, &endpoint)) {
            true => self.templates.of(view, &endpoint, &self.settings),
            false => Template::new(view, &endpoint, &self.settings).map(Arc::new),
        };
        let (mut report, exchanged) = self.exchange(taken, &endpoint.url, template).await;
        // Nobody waits for another try of what was given up meanwhile.
        if report.delivery.status == Status::Retry && self.dispatcher.is_given_up(terms.id) {
            report.delivery.status = Status::Discarded;
            report.delivery.reason = Some(Reason::ReplayEnded);
        }
        self.tell(&mut report, view, &taken.work.event);
        // What another address, or the same one asked with another secret, answers says nothing of the
        // endpoint as it is now.
        let is_another = !view.endpoints.get(&endpoint.id).is_some_and(|current| Arc::ptr_eq(current, &endpoint));
        let is_elsewhere = is_another && !matches!(terms.definition.options.target, Some(Elsewhere::Url { .. }));
        (report, if is_elsewhere { Exchanged::Skipped } else { exchanged })
    }

    async fn has_reached(&self, taken: &Taken) -> Result<bool, StoreError> {
        if let Some(known) = taken.has_reached {
            return Ok(known);
        }
        let asked = (Arc::clone(&taken.work.event), taken.work.delivery.endpoint_id);
        let answers = self.replays.have_reached(vec![asked]).await?;
        Ok(answers.contains(&true))
    }

    async fn course(&self, taken: &Taken, terms: &Terms, view: &ProjectView) -> Result<Course, StoreError> {
        let (delivery, options) = (&taken.work.delivery, &terms.definition.options);
        if let Some(Elsewhere::Url { url, secret }) = &options.target {
            return Ok(Course::Send(Arc::new(nobodys(terms.id, delivery.project_id, url, secret, self.clock.now()))));
        }
        let Some(endpoint) = view.live_endpoint(delivery.endpoint_id) else {
            return Ok(Course::Discard(Reason::EndpointDeleted));
        };
        if endpoint.status == endpoint::Status::Inactive {
            return Ok(Course::Discard(Reason::EndpointInactive));
        }
        if !options.include_succeeded && self.has_reached(taken).await? {
            return Ok(Course::Discard(Reason::AlreadyDelivered));
        }
        as_of(&*self.replays, Arc::clone(endpoint), &taken.work.event, options.as_of).await.map(Course::Send)
    }
}

/// One that is not deleted.
pub(super) fn endpoint_for(view: &ProjectView, id: Id) -> Option<Arc<Endpoint>> {
    view.live_endpoint(id).cloned()
}

/// The endpoint as a replay wants it for an event.
pub(super) async fn as_of(
    replays: &dyn Replays,
    endpoint: Arc<Endpoint>,
    event: &Event,
    as_of: AsOf,
) -> Result<Arc<Endpoint>, StoreError> {
    if as_of.is_current() {
        return Ok(endpoint);
    }
    let then = replays.endpoint_as_of(endpoint.id, event.created_at).await?;
    Ok(Arc::new(mixed(&endpoint, then.as_ref().unwrap_or(&endpoint), as_of)))
}

/// The endpoint as it is now, with what the replay wants as it was. A secret that has expired since
/// signs again: that is what was asked for.
fn mixed(now: &Endpoint, then: &Endpoint, as_of: AsOf) -> Endpoint {
    let mut mixed = now.clone();
    if as_of.url == Version::Original {
        mixed.url.clone_from(&then.url);
    }
    if as_of.headers == Version::Original {
        mixed.authentication.clone_from(&then.authentication);
        mixed.content_type = then.content_type;
    }
    if as_of.secret == Version::Original {
        mixed.secrets = then.secrets.iter().map(|secret| Secret { expires_at: None, ..secret.clone() }).collect();
        mixed.advanced_signatures = then.advanced_signatures;
    }
    mixed
}

/// An address that is nobody's endpoint, under the replay's id.
pub(super) fn nobodys(replay: Id, project_id: Id, url: &str, secret: &str, now: Timestamp) -> Endpoint {
    let signing = Secret {
        id: replay,
        value: secret.to_owned(),
        expires_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    Endpoint {
        secrets: if secret.is_empty() { Vec::new() } else { vec![signing] },
        ..Endpoint::plain(replay, project_id, url, now)
    }
}

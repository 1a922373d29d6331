//! `PUT ~/eventdeliveries/{id}/resend` (§2.4.4): a delivery that ended without success, once more.
//! A body is not read.

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::replays::asker;
use crate::convoy::view::delivery::DeliveryView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::catalog::ProjectView;
use dacapo_model::{Id, Status, endpoint};
use dacapo_store::roles::{Resend, ResendKind};

pub async fn resend(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let unknown = || Error::bad("event delivery not found");
    let id = path.id.ok_or_else(unknown)?;
    let project = caller.project_id();
    let found = shared.store.delivery(project, id).await?.ok_or_else(unknown)?;
    if let Some(refusal) = refusal_of(found.delivery.status) {
        return Err(refusal);
    }
    check_endpoint(&caller.project, found.delivery.endpoint_id)?;
    let answers = shared.engine.resend(project, vec![id], ResendKind::Failed, asker(&caller)).await?;
    let delivery = match answers.into_iter().next() {
        Some(Resend::Scheduled(delivery)) => delivery,
        Some(Resend::WrongState(delivery)) => return Err(refusal_of(delivery.status).unwrap_or(Error::Internal)),
        Some(Resend::Unknown) | None => return Err(unknown()),
    };
    let view = DeliveryView::new(&delivery, &found.event, &caller.project, shared.now());
    Ok(envelope::ok("App event processed for retry successfully", view))
}

/// `None` for the states it may be sent again from.
fn refusal_of(status: Status) -> Option<Error> {
    match status {
        Status::Failure | Status::Discarded => None,
        Status::Success => Some(Error::bad("event already sent")),
        Status::Scheduled | Status::Processing | Status::Retry => {
            Some(Error::bad("cannot resend event that did not fail previously"))
        }
    }
}

/// Whether the endpoint takes deliveries now.
pub fn check_endpoint(project: &ProjectView, id: Id) -> Result<(), Error> {
    let endpoint = project.live_endpoint(id).ok_or(Error::bad("endpoint not found"))?;
    match endpoint.status {
        endpoint::Status::Active => Ok(()),
        endpoint::Status::Paused => Err(Error::bad("the endpoint is currently paused")),
        endpoint::Status::Inactive => Err(Error::bad("the endpoint is currently inactive")),
    }
}

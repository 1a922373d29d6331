//! `DELETE ~/subscriptions/{id}` (§4.2): an unknown one is a 404 here.

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::subscriptions::SubscriptionError;

pub async fn delete(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = path.id.ok_or(Error::NotFound("failed to find subscription"))?;
    match shared.control.delete_subscription(caller.project_id(), id).await {
        Ok(()) => Ok(envelope::ok("Subscription deleted successfully", ())),
        Err(SubscriptionError::Unknown) => Err(Error::NotFound("failed to find subscription")),
        Err(other) => Err(other.into()),
    }
}

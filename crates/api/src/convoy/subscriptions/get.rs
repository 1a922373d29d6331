//! `GET ~/subscriptions/{id}` (§4.2).

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::view::subscription::SubscriptionView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let found = path.id.and_then(|id| caller.project.live_subscription(id));
    let subscription = found.ok_or(Error::NotFound("failed to find subscription"))?;
    let view = SubscriptionView::read(subscription, &caller.project, shared.now());
    Ok(envelope::ok("Subscription fetched successfully", view))
}

//! `POST ~/subscriptions` (§4.2). `retry_config` is ignored here, as upstream.

use super::fields;
use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::view::subscription::SubscriptionView;
use crate::convoy::{Outcome, envelope};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::subscriptions::NewSubscription;
use dacapo_model::json::decode::Object;

pub async fn create(State(shared): Api, Extension(caller): Extension<Caller>, Payload(body): Payload) -> Outcome {
    let new = decode(&body)?;
    let subscription = shared.control.create_subscription(caller.project_id(), new).await?;
    Ok(envelope::created("Subscription created successfully", SubscriptionView::created(&subscription)))
}

fn decode(body: &[u8]) -> Result<NewSubscription, Error> {
    let body = Object::read(body)?;
    let filter = fields::filter_config(&body)?;
    Ok(NewSubscription {
        name: fields::text(&body, "name")?,
        endpoint_id: fields::text(&body, "endpoint_id")?,
        source_id: fields::text(&body, "source_id")?,
        event_types: filter.event_types,
        delivery_mode: fields::text(&body, "delivery_mode")?,
        conditions: filter.conditions.unwrap_or_default(),
        function: fields::text(&body, "function")?,
        rate_limit_config: fields::rate_limit_config(&body)?,
        alert_config: fields::alert_config(&body)?,
    })
}

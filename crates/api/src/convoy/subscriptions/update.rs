//! `PUT ~/subscriptions/{id}` (§4.2).

use super::fields;
use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::go_duration;
use crate::convoy::payload::Payload;
use crate::convoy::view::subscription::SubscriptionView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::subscriptions::{RetryUpdate, SubscriptionError, SubscriptionUpdate};
use dacapo_model::json::decode::Object;

pub async fn update(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    Payload(body): Payload,
) -> Outcome {
    let update = decode(&body)?;
    let id = path.id.ok_or(SubscriptionError::Unknown)?;
    let subscription = shared.control.update_subscription(caller.project_id(), id, update).await?;
    let snapshot = shared.control.snapshot();
    let project = snapshot.project(caller.project_id()).ok_or(SubscriptionError::UnknownProject)?;
    let view = SubscriptionView::read(&subscription, project, shared.now());
    Ok(envelope::accepted("Subscription updated successfully", view))
}

fn decode(body: &[u8]) -> Result<SubscriptionUpdate, Error> {
    let body = Object::read(body)?;
    let filter = fields::filter_config(&body)?;
    Ok(SubscriptionUpdate {
        name: fields::text(&body, "name")?,
        endpoint_id: fields::text(&body, "endpoint_id")?,
        source_id: fields::text(&body, "source_id")?,
        event_types: filter.event_types,
        delivery_mode: fields::text(&body, "delivery_mode")?,
        conditions: filter.conditions,
        function: fields::text(&body, "function")?,
        retry_config: body.object("retry_config")?.as_ref().map(retry_config).transpose()?,
        rate_limit_config: fields::rate_limit_config(&body)?,
        alert_config: fields::alert_config(&body)?,
    })
}

/// `duration` is a Go duration; `interval_seconds` says the same in seconds. Who sends back what he
/// read has seconds in `duration`.
fn retry_config(given: &Object<'_>) -> Result<RetryUpdate, Error> {
    let is_text = given.raw("duration").is_some_and(|raw| raw.get().starts_with('"'));
    let duration = if is_text {
        let text = fields::text(given, "duration")?;
        let invalid = || Error::bad("duration:please provide a valid time duration");
        if text.is_empty() { None } else { Some(go_duration::parse(&text).ok_or_else(invalid)?.as_secs()) }
    } else {
        given.u64("duration")?
    };
    Ok(RetryUpdate {
        kind: fields::text(given, "type")?,
        duration: duration.or(given.u64("interval_seconds")?),
        retry_count: given.u64("retry_count")?,
    })
}

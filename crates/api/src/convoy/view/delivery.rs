//! An event delivery (contracts/convoy.md §2.4.1, App. A).

use super::endpoint::EndpointView;
use super::headers::Lists;
use super::{raw_json, zero};
use dacapo_model::catalog::ProjectView;
use dacapo_model::clock::ZERO_TIME;
use dacapo_model::delivery::Reason;
use dacapo_model::retry::{MAX_RETRY_SECONDS, Policy};
use dacapo_model::{Delivery, Event, Id, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct DeliveryView<'a> {
    uid: Id,
    project_id: Id,
    event_id: Id,
    endpoint_id: Id,
    device_id: &'static str,
    subscription_id: Id,
    headers: Lists<'a>,
    url_query_params: &'a str,
    idempotency_key: &'a str,
    latency: &'static str,
    latency_seconds: f64,
    event_type: &'a str,
    delivery_mode: &'static str,
    endpoint_metadata: Option<EndpointView<'a>>,
    source_metadata: &'static RawValue,
    event_metadata: EventMetadata<'a>,
    device_metadata: &'static RawValue,
    status: &'static str,
    metadata: Metadata<'a>,
    cli_metadata: Option<()>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    acknowledged_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
    /// The replay, or the single call, that made it. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_id: Option<Id>,
}

/// The event, reduced to what upstream fills in.
#[derive(Serialize)]
pub(super) struct EventMetadata<'a> {
    uid: Id,
    event_type: &'a str,
    endpoints: Option<()>,
    headers: Option<()>,
    url_query_params: &'static str,
    url_path: &'static str,
    idempotency_key: &'static str,
    is_duplicate_event: bool,
    status: &'static str,
    acknowledged_at: Option<()>,
    created_at: Timestamp,
    updated_at: &'static str,
    deleted_at: Option<()>,
}

#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    raw: &'a str,
    strategy: &'static str,
    next_send_time: Timestamp,
    num_trials: u32,
    interval_seconds: u32,
    retry_limit: u32,
    max_retry_seconds: u32,
}

impl<'a> DeliveryView<'a> {
    pub fn new(delivery: &Delivery, event: &'a Event, project: &'a ProjectView, now: Timestamp) -> Self {
        let endpoint = project.endpoints.get(&delivery.endpoint_id);
        Self {
            uid: delivery.id,
            project_id: delivery.project_id,
            event_id: delivery.event_id,
            endpoint_id: delivery.endpoint_id,
            device_id: "",
            subscription_id: delivery.subscription_id,
            headers: Lists(&event.headers),
            url_query_params: &event.url_query,
            idempotency_key: &event.idempotency_key,
            latency: "",
            latency_seconds: delivery.latency_us as f64 / 1e6,
            event_type: &event.event_type,
            delivery_mode: delivery.mode.as_str(),
            endpoint_metadata: endpoint.map(|endpoint| EndpointView::in_delivery(endpoint, now)),
            source_metadata: zero::source(),
            event_metadata: EventMetadata::new(event),
            device_metadata: zero::device(),
            status: delivery.status.as_str(),
            metadata: Metadata::new(delivery, event),
            cli_metadata: None,
            description: description(delivery),
            acknowledged_at: delivery.created_at,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            deleted_at: None,
            replay_id: delivery.replay_id,
        }
    }
}

impl<'a> EventMetadata<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        Self {
            uid: event.id,
            event_type: &event.event_type,
            endpoints: None,
            headers: None,
            url_query_params: "",
            url_path: "",
            idempotency_key: "",
            is_duplicate_event: false,
            status: "",
            acknowledged_at: None,
            created_at: event.created_at,
            updated_at: ZERO_TIME,
            deleted_at: None,
        }
    }
}

impl<'a> Metadata<'a> {
    pub(super) fn new(delivery: &Delivery, event: &'a Event) -> Self {
        Self::of(&event.data, delivery.policy, delivery.attempts, delivery.due_at)
    }

    pub(super) fn of(data: &'a [u8], policy: Policy, attempts: u32, due_at: Timestamp) -> Self {
        Self {
            data: raw_json(data),
            raw: std::str::from_utf8(data).unwrap_or_default(),
            strategy: policy.kind.as_str(),
            next_send_time: due_at,
            num_trials: attempts,
            interval_seconds: policy.interval_s,
            retry_limit: policy.limit,
            max_retry_seconds: if attempts == 0 { 0 } else { MAX_RETRY_SECONDS },
        }
    }
}

/// A delivery that was born discarded, because its endpoint took none, says nothing, as upstream.
pub(super) fn description(delivery: &Delivery) -> String {
    match delivery.reason {
        Some(Reason::EndpointPaused | Reason::EndpointInactive) if delivery.attempts == 0 => String::new(),
        Some(reason) => reason.describe(delivery.last_status),
        None => String::new(),
    }
}

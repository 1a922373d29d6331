//! The JSON shapes of the Connect surface (contracts/connect.md, Objects). Payloads pass to the
//! byte: nothing is escaped or re-printed.

use super::status::Word;
use axum::response::{IntoResponse, Response};
use dacapo_model::{Attempt, Delivery, Event, Id, Status, Timestamp};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

/// Of the shapes below.
const API_VERSION: &str = "2026-11-01";

/// An answer with this body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            super::error::Error::Internal.into_response()
        }
    }
}

#[derive(Serialize)]
pub struct EventView<'a> {
    id: String,
    object: &'static str,
    r#type: &'a str,
    livemode: bool,
    api_version: &'static str,
    created_at: Timestamp,
    data: Option<&'a RawValue>,
    related_to: Option<String>,
    related_to_kind: Option<&'a str>,
}

impl<'a> EventView<'a> {
    pub fn new(event: &'a Event) -> Self {
        let related = event.connect.related.as_ref();
        Self {
            id: event.id.as_event().to_string(),
            object: "event",
            r#type: &event.event_type,
            livemode: event.connect.livemode,
            api_version: API_VERSION,
            created_at: event.created_at,
            data: serde_json::from_slice(&event.data).ok(),
            related_to: related.map(|related| related.to.as_uuid().to_string()),
            related_to_kind: related.map(|related| related.kind.as_str()),
        }
    }
}

/// What is frozen of a webhook delivery.
#[derive(Clone, Serialize)]
pub struct DeliveryCore {
    id: String,
    object: &'static str,
    event_id: String,
    status: &'static str,
    attempt_count: u32,
}

impl DeliveryCore {
    pub fn new(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.as_uuid().to_string(),
            object: "webhook_delivery",
            event_id: delivery.event_id.as_event().to_string(),
            status: Word::of(delivery).as_str(),
            attempt_count: delivery.attempts,
        }
    }
}

/// The answer to a replay: the first delivery, and all of them.
#[derive(Serialize)]
pub struct ReplayView {
    #[serde(flatten)]
    first: DeliveryCore,
    deliveries: Vec<DeliveryCore>,
}

impl ReplayView {
    /// `None` without any delivery.
    pub fn new(deliveries: &[Delivery]) -> Option<Self> {
        let deliveries: Vec<_> = deliveries.iter().map(DeliveryCore::new).collect();
        Some(Self { first: deliveries.first()?.clone(), deliveries })
    }
}

#[derive(Serialize)]
pub struct DeliveryView<'a> {
    #[serde(flatten)]
    core: DeliveryCore,
    endpoint_id: Id,
    trigger: &'static str,
    replay_id: Option<Id>,
    last_response_status: Option<u16>,
    last_error: Option<String>,
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptView<'a>>>,
}

#[derive(Serialize)]
struct AttemptView<'a> {
    number: u32,
    status_code: Option<u16>,
    duration_ms: u64,
    error: Option<&'a str>,
    at: Timestamp,
}

impl<'a> DeliveryView<'a> {
    pub fn listed(delivery: &Delivery) -> Self {
        Self {
            core: DeliveryCore::new(delivery),
            endpoint_id: delivery.endpoint_id,
            trigger: delivery.trigger.as_str(),
            replay_id: delivery.replay_id,
            last_response_status: delivery.last_status,
            last_error: last_error(delivery),
            next_attempt_at: (!delivery.status.is_settled()).then_some(delivery.due_at),
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            attempts: None,
        }
    }

    pub fn with_attempts(delivery: &Delivery, attempts: &'a [Attempt]) -> Self {
        let exact = attempts.last().and_then(|attempt| attempt.error.clone());
        let view = Self::listed(delivery);
        Self {
            last_error: exact.filter(|_| view.last_error.is_some()).or(view.last_error),
            attempts: Some(attempts.iter().map(AttemptView::new).collect()),
            ..view
        }
    }
}

/// Why it is not delivered, as far as the delivery itself knows.
fn last_error(delivery: &Delivery) -> Option<String> {
    if let Some(reason) = delivery.reason {
        return Some(reason.describe(delivery.last_status));
    }
    if delivery.status != Status::Retry {
        return None;
    }
    Some(match delivery.last_status {
        Some(status) => format!("Endpoint returned status code {status}"),
        None => "Endpoint did not answer".to_owned(),
    })
}

impl<'a> AttemptView<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        Self {
            number: attempt.number,
            status_code: attempt.status,
            duration_ms: attempt.duration_us / 1_000,
            error: attempt.error.as_deref(),
            at: attempt.requested_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use dacapo_model::delivery::Reason;
    use dacapo_model::event::{ConnectFace, Related, Target};
    use dacapo_model::retry::{Policy, Strategy};
    use dacapo_model::{Mode, Trigger};

    fn event() -> Event {
        Event {
            connect: ConnectFace {
                livemode: false,
                related: Some(Related { to: Id::from_u128(9), kind: "invoice".to_owned() }),
            },
            ..Event::plain(
                Id::from_u128(1),
                Id::from_u128(2),
                "invoice.paid",
                Bytes::from_static(br#"{"z":1.50,"a":"<\u00e9>"}"#),
                Timestamp::from_millis(1_767_225_600_000),
            )
        }
    }

    fn delivery() -> Delivery {
        let event = event();
        let target = Target {
            endpoint_id: Id::from_u128(3),
            subscription_id: Id::from_u128(4),
            mode: Mode::AtLeastOnce,
            policy: Policy::from(Strategy::default()),
            discarded: None,
        };
        target.delivery(&event, Id::from_u128(5), Trigger::Replay, Some(Id::from_u128(6)), event.created_at)
    }

    #[test]
    fn an_event_with_its_payload_to_the_byte() {
        let expected = concat!(
            r#"{"id":"evt_00000000000000000000000001","object":"event","type":"invoice.paid","livemode":false,"#,
            r#""api_version":"2026-11-01","created_at":"2026-01-01T00:00:00Z","data":{"z":1.50,"a":"<\u00e9>"},"#,
            r#""related_to":"00000000-0000-0000-0000-000000000009","related_to_kind":"invoice"}"#,
        );
        assert_eq!(serde_json::to_string(&EventView::new(&event())).expect("JSON"), expected);
    }

    #[test]
    fn a_replay_is_pending_with_a_fresh_budget() {
        let core = concat!(
            r#""id":"00000000-0000-0000-0000-000000000005","object":"webhook_delivery","#,
            r#""event_id":"evt_00000000000000000000000001","status":"pending","attempt_count":0"#,
        );
        let view = ReplayView::new(&[delivery()]).expect("one delivery");
        let expected = format!(r#"{{{core},"deliveries":[{{{core}}}]}}"#);
        assert_eq!(serde_json::to_string(&view).expect("JSON"), expected);
        assert!(ReplayView::new(&[]).is_none());
    }

    #[test]
    fn a_listed_delivery() {
        let expected = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000005","object":"webhook_delivery","#,
            r#""event_id":"evt_00000000000000000000000001","status":"failed","attempt_count":1,"#,
            r#""endpoint_id":"00000000000000000000000003","trigger":"replay","#,
            r#""replay_id":"00000000000000000000000006","last_response_status":503,"#,
            r#""last_error":"Endpoint returned status code 503","next_attempt_at":"2026-01-01T00:00:00Z","#,
            r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}"#,
        );
        let failed = Delivery { status: Status::Retry, attempts: 1, last_status: Some(503), ..delivery() };
        assert_eq!(serde_json::to_string(&DeliveryView::listed(&failed)).expect("JSON"), expected);
    }

    #[test]
    fn words_of_status() {
        for (status, reason, word) in [
            (Status::Scheduled, None, "pending"),
            (Status::Processing, None, "processing"),
            (Status::Retry, None, "failed"),
            (Status::Success, None, "delivered"),
            (Status::Failure, Some(Reason::RetryLimit), "exhausted"),
            (Status::Failure, Some(Reason::Gone), "failed"),
            (Status::Discarded, Some(Reason::EndpointDeleted), "failed"),
        ] {
            let shown = Word::of(&Delivery { status, reason, ..delivery() });
            assert_eq!(shown.as_str(), word);
            assert!(shown.stored().contains(&status));
            assert_eq!(Word::parse(word), Some(shown));
        }
    }
}

//! An event (contracts/convoy.md §2.3.1, App. A).

use super::headers::Lists;
use super::{raw_json, zero};
use dacapo_model::event::{Audience, Event, Target};
use dacapo_model::id::IdSet;
use dacapo_model::{Id, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct EventView<'a> {
    uid: Id,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<Id>,
    project_id: Id,
    endpoints: Vec<Id>,
    headers: Lists<'a>,
    source_metadata: &'static RawValue,
    url_query_params: &'a str,
    url_path: &'a str,
    idempotency_key: &'a str,
    is_duplicate_event: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    acknowledged_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl<'a> EventView<'a> {
    /// Of a large fan-out, `endpoints` shows those of the event's own transaction: a page of such events would be
    /// of any size.
    pub fn new(event: &'a Event) -> Self {
        Self::whole(event, &[])
    }

    /// With all endpoints; `later`: targets that lie outside of the event.
    pub fn whole(event: &'a Event, later: &[Target]) -> Self {
        Self {
            uid: event.id,
            event_type: &event.event_type,
            source_id: event.source_id,
            project_id: event.project_id,
            endpoints: endpoints(event, later),
            headers: Lists(&event.headers),
            source_metadata: zero::source(),
            url_query_params: &event.url_query,
            url_path: &event.url_path,
            idempotency_key: &event.idempotency_key,
            is_duplicate_event: event.is_duplicate,
            data: raw_json(&event.data),
            status: event.fan_out.convoy_status(),
            failure_reason: event.fan_out.failure_reason(),
            acknowledged_at: event.created_at,
            created_at: event.created_at,
            updated_at: event.created_at,
            deleted_at: None,
        }
    }

    /// As the answer to a replay shows it: taken in again just now.
    pub fn acknowledged(self, at: Timestamp) -> Self {
        Self { acknowledged_at: at, ..self }
    }
}

/// Whom it reached; while it reached nobody, whom it was for.
fn endpoints(event: &Event, later: &[Target]) -> Vec<Id> {
    let mut seen = IdSet::default();
    let reached = event.targets.iter().chain(later).map(|target| target.endpoint_id);
    let ids: Vec<Id> = reached.filter(|endpoint| seen.insert(*endpoint)).collect();
    match &event.audience {
        Audience::Endpoints(addressed) if ids.is_empty() => addressed.clone(),
        _ => ids,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bytes::Bytes;
    use dacapo_model::attempt::HeaderLines;
    use dacapo_model::event::FanOut;
    use dacapo_model::retry::{Kind, Policy};

    pub fn event() -> Event {
        Event {
            headers: HeaderLines::from_iter([("X-Trace", "a")]),
            audience: Audience::Endpoints(vec![Id::from_u128(3)]),
            fan_out: FanOut::NoMatch,
            ..Event::plain(
                Id::from_u128(1),
                Id::from_u128(2),
                "invoice.paid",
                Bytes::from_static(br#"{"z":1.50,"a":"\u00e9"}"#),
                Timestamp::from_millis(1_767_225_600_000),
            )
        }
    }

    #[test]
    fn the_whole_key_set() {
        let event = event();
        let later = Timestamp::from_millis(1_767_225_601_000);
        let text = serde_json::to_string(&EventView::new(&event).acknowledged(later)).expect("JSON");
        let head = concat!(
            r#"{"uid":"00000000000000000000000001","event_type":"invoice.paid","#,
            r#""project_id":"00000000000000000000000002","endpoints":["00000000000000000000000003"],"#,
            r#""headers":{"X-Trace":["a"]},"source_metadata":{"uid":"","#,
        );
        let tail = concat!(
            r#""url_query_params":"","url_path":"","idempotency_key":"","is_duplicate_event":false,"#,
            r#""data":{"z":1.50,"a":"\u00e9"},"status":"Failure","#,
            r#""failure_reason":"no subscription matched this event","#,
            r#""acknowledged_at":"2026-01-01T00:00:01Z","created_at":"2026-01-01T00:00:00Z","#,
            r#""updated_at":"2026-01-01T00:00:00Z","deleted_at":null}"#,
        );
        assert!(text.starts_with(head), "{text}");
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn endpoints_are_whom_it_reached_each_once() {
        let target = |endpoint: u128| Target {
            endpoint_id: Id::from_u128(endpoint),
            subscription_id: Id::from_u128(9),
            mode: dacapo_model::Mode::AtLeastOnce,
            policy: Policy { kind: Kind::Linear, interval_s: 1, limit: 1 },
            discarded: None,
        };
        let reached = Event { targets: vec![target(5), target(4), target(5)], ..event() };
        assert_eq!(EventView::new(&reached).endpoints, [5, 4].map(Id::from_u128));
        let whole = EventView::whole(&reached, &[target(4), target(7), target(5)]);
        assert_eq!(whole.endpoints, [5, 4, 7].map(Id::from_u128));
        assert_eq!(EventView::new(&event()).endpoints, [Id::from_u128(3)], "whom it was for");
    }
}

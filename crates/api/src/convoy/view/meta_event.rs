//! A meta event as its project looks at it (contracts/convoy.md §7.3, App. A).

use super::delivery::Metadata;
use super::headers::{Firsts, Joined};
use dacapo_model::{Attempt, Id, MetaEvent, Timestamp};
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
pub struct MetaEventView<'a> {
    uid: Id,
    project_id: Id,
    event_type: &'a str,
    metadata: Metadata<'a>,
    attempt: Option<AttemptView<'a>>,
    status: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

/// The last one, reduced.
#[derive(Serialize)]
struct AttemptView<'a> {
    request_http_header: Firsts<'a>,
    response_http_header: Joined<'a>,
    response_data: Cow<'a, str>,
}

impl<'a> MetaEventView<'a> {
    pub fn new(told: &'a MetaEvent) -> Self {
        Self {
            uid: told.id,
            project_id: told.project_id,
            event_type: &told.event_type,
            metadata: Metadata::of(&told.body, told.policy, told.attempts, told.due_at),
            attempt: told.last.as_ref().map(AttemptView::new),
            status: told.status.as_str(),
            created_at: told.created_at,
            updated_at: told.updated_at,
            deleted_at: None,
        }
    }
}

impl<'a> AttemptView<'a> {
    /// Where no answer came, `response_data` says why.
    fn new(attempt: &'a Attempt) -> Self {
        let said = match &attempt.error {
            Some(error) if attempt.response_body.is_empty() => Cow::Borrowed(error.as_str()),
            _ => String::from_utf8_lossy(&attempt.response_body),
        };
        Self {
            request_http_header: Firsts(&attempt.request_headers),
            response_http_header: Joined(&attempt.response_headers),
            response_data: said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::Status;
    use dacapo_model::attempt::HeaderLines;
    use dacapo_model::retry::{Kind, Policy};

    #[test]
    fn the_whole_key_set() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let mut told = MetaEvent {
            id: Id::from_u128(1),
            project_id: Id::from_u128(2),
            event_type: "endpoint.created".to_owned(),
            body: r#"{"event_type":"endpoint.created","data":{}}"#.into(),
            policy: Policy { kind: Kind::Linear, interval_s: 5, limit: 3 },
            status: Status::Scheduled,
            attempts: 0,
            due_at: at,
            created_at: at,
            updated_at: at,
            last: None,
        };
        let before = concat!(
            r#"{"uid":"00000000000000000000000001","project_id":"00000000000000000000000002","#,
            r#""event_type":"endpoint.created","metadata":{"data":{"event_type":"endpoint.created","data":{}},"#,
            r#""raw":"{\"event_type\":\"endpoint.created\",\"data\":{}}","strategy":"linear","#,
            r#""next_send_time":"2026-01-01T00:00:00Z","num_trials":0,"interval_seconds":5,"retry_limit":3,"#,
            r#""max_retry_seconds":0},"attempt":null,"status":"Scheduled","#,
            r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","deleted_at":null}"#,
        );
        assert_eq!(serde_json::to_string(&MetaEventView::new(&told)).expect("JSON"), before);
        told.last = Some(Attempt {
            id: Id::from_u128(3),
            delivery_id: told.id,
            number: 1,
            url: "https://r.example/".to_owned(),
            ip: None,
            request_headers: HeaderLines::from_iter([("x-convoy-signature", "ab")]),
            status: Some(200),
            response_headers: HeaderLines::from_iter([("server", "r")]),
            response_body: "ok".into(),
            error: None,
            succeeded: true,
            requested_at: at,
            duration_us: 1,
        });
        let text = serde_json::to_string(&MetaEventView::new(&told)).expect("JSON");
        let attempt = concat!(
            r#""attempt":{"request_http_header":{"X-Convoy-Signature":"ab"},"#,
            r#""response_http_header":{"Server":"r"},"response_data":"ok"},"#,
        );
        assert!(text.contains(attempt), "{text}");
    }
}

//! A delivery attempt (contracts/convoy.md §2.5, App. A).

use super::headers::{Firsts, Joined};
use super::replay::AsOfView;
use dacapo_model::replay::AsOf;
use dacapo_model::{Attempt, Delivery, Id, Timestamp};
use http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// The server that made the attempt.
const API_VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

#[derive(Serialize)]
pub struct AttemptView<'a> {
    uid: Id,
    url: &'a str,
    method: &'static str,
    endpoint_id: Id,
    api_version: &'static str,
    project_id: Id,
    msg_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_http_header: Option<Firsts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_http_header: Option<Joined<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    response_data: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    status: bool,
    /// Ours; of a replay's alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOfView>,
    requested_at: Timestamp,
    responded_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl<'a> AttemptView<'a> {
    pub fn new(attempt: &'a Attempt, delivery: &Delivery, as_of: Option<AsOf>) -> Self {
        let ended_at = attempt.requested_at.plus(Duration::from_micros(attempt.duration_us));
        let answered = attempt.status.is_some();
        Self {
            uid: attempt.id,
            url: &attempt.url,
            method: "POST",
            endpoint_id: delivery.endpoint_id,
            api_version: API_VERSION,
            project_id: delivery.project_id,
            msg_id: attempt.delivery_id,
            ip_address: attempt.ip.map(|ip| ip.to_string()),
            request_http_header: Some(Firsts(&attempt.request_headers)).filter(|_| !attempt.request_headers.is_empty()),
            response_http_header: answered.then_some(Joined(&attempt.response_headers)),
            http_status: attempt.status.map(status_line),
            response_data: String::from_utf8_lossy(&attempt.response_body),
            error: attempt.error.as_deref().filter(|_| !answered),
            status: attempt.succeeded,
            as_of: as_of.map(AsOfView::new),
            requested_at: attempt.requested_at,
            responded_at: attempt.responded_at(),
            created_at: ended_at,
            updated_at: ended_at,
            deleted_at: None,
        }
    }
}

/// `200 OK`; the number alone for a status without a name.
fn status_line(status: u16) -> String {
    let name = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

#[cfg(test)]
pub(in crate::convoy::view) mod tests {
    use super::*;
    use bytes::Bytes;
    use dacapo_model::attempt::HeaderLines;

    fn attempt() -> Attempt {
        Attempt {
            id: Id::from_u128(1),
            delivery_id: Id::from_u128(2),
            number: 1,
            url: "https://r.example/hook".to_owned(),
            ip: Some([203, 0, 113, 9].into()),
            request_headers: HeaderLines::from_iter([("Content-Type", "application/json")]),
            status: Some(200),
            response_headers: HeaderLines::from_iter([("X-Two", "a"), ("X-Two", "b")]),
            response_body: Bytes::from_static(b"ok"),
            error: None,
            succeeded: true,
            requested_at: Timestamp::from_millis(1_767_225_600_000),
            duration_us: 500_000,
        }
    }

    pub fn attempt_of_a_delivery() -> (Attempt, Delivery) {
        (attempt(), delivery())
    }

    fn delivery() -> Delivery {
        let event = crate::convoy::view::event::tests::event();
        let target = dacapo_model::event::Target {
            endpoint_id: Id::from_u128(3),
            subscription_id: Id::from_u128(4),
            mode: dacapo_model::Mode::AtLeastOnce,
            policy: dacapo_model::retry::Policy::from(dacapo_model::retry::Strategy::default()),
            discarded: None,
        };
        target.delivery(&event, Id::from_u128(2), dacapo_model::Trigger::Event, None, event.created_at)
    }

    #[test]
    fn an_answered_attempt() {
        let text = serde_json::to_string(&AttemptView::new(&attempt(), &delivery(), None)).expect("JSON");
        let expected = format!(
            concat!(
                r#"{{"uid":"00000000000000000000000001","url":"https://r.example/hook","method":"POST","#,
                r#""endpoint_id":"00000000000000000000000003","api_version":"{}","#,
                r#""project_id":"00000000000000000000000002","msg_id":"00000000000000000000000002","#,
                r#""ip_address":"203.0.113.9","request_http_header":{{"Content-Type":"application/json"}},"#,
                r#""response_http_header":{{"X-Two":"a b"}},"http_status":"200 OK","response_data":"ok","#,
                r#""status":true,"#,
                r#""requested_at":"2026-01-01T00:00:00Z","responded_at":"2026-01-01T00:00:00.5Z","#,
                r#""created_at":"2026-01-01T00:00:00.5Z","updated_at":"2026-01-01T00:00:00.5Z","deleted_at":null}}"#,
            ),
            API_VERSION
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_unanswered_attempt_leaves_the_answer_out() {
        let silent = Attempt {
            ip: None,
            status: None,
            response_headers: HeaderLines::new(),
            response_body: Bytes::new(),
            error: Some("no answer within 10 s".to_owned()),
            succeeded: false,
            ..attempt()
        };
        let text = serde_json::to_string(&AttemptView::new(&silent, &delivery(), None)).expect("JSON");
        for absent in ["ip_address", "response_http_header", "http_status", "response_data", "\"status\""] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
        assert!(text.contains(r#""error":"no answer within 10 s","requested_at""#), "{text}");
        assert!(text.contains(r#""responded_at":null"#), "{text}");
    }

    #[test]
    fn status_lines() {
        assert_eq!(status_line(404), "404 Not Found");
        assert_eq!(status_line(599), "599");
    }
}

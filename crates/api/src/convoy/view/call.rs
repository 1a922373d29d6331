//! A single call that sent something again, in the words of a replay (docs/replay.md).

use dacapo_model::replay::{Asked, Asker, CallKind};
use dacapo_model::{Id, Timestamp};
use dacapo_store::roles;
use serde::Serialize;

#[derive(Serialize)]
pub struct CallView<'a> {
    uid: Id,
    project_id: Id,
    kind: &'static str,
    name: &'static str,
    reason: &'static str,
    mode: &'static str,
    status: &'static str,
    selector: Meant<'a>,
    options: Options<'a>,
    asked_by: &'a Asker,
    counts: Counts,
    progress: f64,
    created_at: Timestamp,
    started_at: Timestamp,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Meant<'a> {
    Event {
        event_ids: [Id; 1],
        #[serde(skip_serializing_if = "Option::is_none")]
        endpoint_ids: Option<[Id; 1]>,
    },
    Deliveries {
        delivery_ids: &'a [Id],
    },
}

#[derive(Serialize)]
struct Options<'a> {
    include_succeeded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

#[derive(Serialize)]
struct Counts {
    /// Asked for: deliveries made or put back, and those that could not be.
    matched: u64,
    items: u64,
    waiting: u64,
    success: u64,
    failure: u64,
    discarded: u64,
    /// Not there any more: retention removed them.
    gone: u64,
    /// Deliveries that were in no state to be put back.
    refused: u64,
}

impl<'a> CallView<'a> {
    pub fn new(view: &'a roles::CallView) -> Self {
        let (call, now) = (&view.call, &view.now);
        let said = &call.said;
        let (meant, options, mode, refused) = match &said.asked {
            Asked::Event { event_id, endpoint_id, idempotency_key } => (
                Meant::Event { event_ids: [*event_id], endpoint_ids: endpoint_id.map(|id| [id]) },
                Options { include_succeeded: true, idempotency_key: idempotency_key.as_deref() },
                "all",
                0,
            ),
            Asked::Deliveries { succeeded, delivery_ids, refused } => (
                Meant::Deliveries { delivery_ids },
                Options { include_succeeded: *succeeded, idempotency_key: None },
                if *succeeded { "all" } else { "failed" },
                *refused,
            ),
        };
        let gone = said.items.saturating_sub(now.known());
        let settled = said.items.saturating_sub(now.waiting);
        Self {
            uid: call.id,
            project_id: call.project_id,
            kind: call.kind().as_str(),
            name: match call.kind() {
                CallKind::Single => "replay of an event",
                CallKind::Resend => "resend",
            },
            reason: "",
            mode,
            status: if now.waiting > 0 { "running" } else { "completed" },
            selector: meant,
            options,
            asked_by: &said.asked_by,
            counts: Counts {
                matched: said.items.saturating_add(refused),
                items: said.items,
                waiting: now.waiting,
                success: now.success,
                failure: now.failure,
                discarded: now.discarded,
                gone,
                refused,
            },
            progress: if said.items == 0 { 1.0 } else { settled as f64 / said.items as f64 },
            created_at: said.at,
            started_at: said.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::replay::{AskerKind, Call, Said, Whereabouts};

    #[test]
    fn a_call_says_who_asked_for_what_and_what_it_came_to() {
        let asked = Asked::Event {
            event_id: Id::from_u128(2),
            endpoint_id: Some(Id::from_u128(3)),
            idempotency_key: Some("k".to_owned()),
        };
        let asked_by = Asker { kind: AskerKind::ConnectKey, id: Some(Id::from_u128(4)) };
        let said = Said { asked_by, at: Timestamp::from_millis(1_767_225_600_000), asked, items: 3 };
        let call = Call { id: Id::from_u128(1), project_id: Id::from_u128(5), said };
        let now = Whereabouts { waiting: 1, success: 1, ..Whereabouts::default() };
        let expected = concat!(
            r#"{"uid":"00000000000000000000000001","project_id":"00000000000000000000000005","kind":"single","#,
            r#""name":"replay of an event","reason":"","mode":"all","status":"running","#,
            r#""selector":{"event_ids":["00000000000000000000000002"],"endpoint_ids":["00000000000000000000000003"]},"#,
            r#""options":{"include_succeeded":true,"idempotency_key":"k"},"#,
            r#""asked_by":{"kind":"connect_key","id":"00000000000000000000000004"},"#,
            r#""counts":{"matched":3,"items":3,"waiting":1,"success":1,"failure":0,"discarded":0,"gone":1,"refused":0},"#,
            r#""progress":0.6666666666666666,"created_at":"2026-01-01T00:00:00Z","started_at":"2026-01-01T00:00:00Z"}"#,
        );
        let view = roles::CallView { call, now };
        assert_eq!(serde_json::to_string(&CallView::new(&view)).expect("JSON"), expected);
    }
}

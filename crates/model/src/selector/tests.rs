mod bad_input;
mod laws;
mod meets;
mod reference;
mod written;

use super::{Frozen, Selector, SelectorError};
use crate::catalog::{Change, ProjectView, Snapshot};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, Reason, Status, Trigger};
use crate::endpoint::Endpoint;
use crate::event::{Event, FanOut};
use crate::id::Id;
use crate::project::Project;
use crate::retry::{self, Policy};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PROJECT: Id = Id::from_u128(1);
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Endpoints 10 to 13; 10 and 11 are alice's, 12 is bob's, 13 nobody's and deleted.
const ENDPOINTS: [u128; 4] = [10, 11, 12, 13];

fn view() -> Arc<ProjectView> {
    let mut changes = vec![Change::Project(Arc::new(Project {
        name: "shop".to_owned(),
        ..Project::plain(PROJECT, Id::from_u128(3), NOW)
    }))];
    changes.extend(ENDPOINTS.iter().map(|number| {
        let owner = match number {
            10 | 11 => "alice",
            12 => "bob",
            _ => "",
        };
        endpoint(*number, owner, (*number == 13).then_some(NOW))
    }));
    Arc::clone(Snapshot::default().apply(&changes, 1).project(PROJECT).expect("was made"))
}

fn endpoint(number: u128, owner: &str, deleted_at: Option<Timestamp>) -> Change {
    let document = json!({
        "id": Id::from_u128(number), "project_id": PROJECT, "owner_id": owner, "url": "https://example.test/",
        "name": "one", "secrets": [], "advanced_signatures": false, "description": "", "slack_webhook_url": "",
        "teams_webhook_url": "", "support_email": "", "status": "active", "http_timeout": 0, "rate_limit": 0,
        "rate_limit_duration": 0, "content_type": "application/json", "authentication": null, "version": 1,
        "created_at": NOW, "updated_at": NOW, "deleted_at": deleted_at,
    });
    Change::Endpoint(Arc::new(serde_json::from_value::<Endpoint>(document).expect("an endpoint")))
}

fn parse(selector: &Value) -> Result<Selector, SelectorError> {
    Selector::parse(selector)
}

fn frozen(selector: &Value) -> Frozen {
    let parsed = parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
    parsed.freeze(NOW, Id::floor_of(NOW), &view()).unwrap_or_else(|error| panic!("{selector}: {error}"))
}

/// An event so many milliseconds before now; `number` tells those of one millisecond apart.
fn event(ms_ago: u64, number: u64) -> Event {
    let at = NOW.minus(Duration::from_millis(ms_ago));
    Event::plain(
        Id::from_parts(Id::floor_of(at).order() + number, 7),
        PROJECT,
        "order.paid",
        Bytes::from_static(b"{\"amount\":5}"),
        at,
    )
}

/// The `index`-th delivery of an event.
fn delivery(event: &Event, index: u32, endpoint: u128, status: Status) -> Delivery {
    Delivery {
        id: event.id.child(index),
        project_id: PROJECT,
        event_id: event.id,
        endpoint_id: Id::from_u128(endpoint),
        subscription_id: Id::from_u128(endpoint + 100),
        trigger: Trigger::Event,
        replay_id: None,
        mode: crate::delivery::Mode::AtLeastOnce,
        policy: Policy { kind: retry::Kind::Linear, interval_s: 10, limit: 3 },
        attempts: u32::from(!matches!(status, Status::Scheduled | Status::Discarded)),
        manual: false,
        status,
        reason: None,
        last_status: match status {
            Status::Success => Some(200),
            Status::Failure | Status::Retry => Some(503),
            _ => None,
        },
        due_at: event.created_at,
        created_at: event.created_at,
        updated_at: event.created_at,
        latency_us: 0,
    }
}

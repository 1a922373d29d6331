use super::*;
use crate::attempt::HeaderLines;
use crate::catalog::{Change, Snapshot};
use crate::clock::Timestamp;
use crate::filter::scopes::Conditions;
use crate::project::Project;
use serde_json::{Value, json};
use std::sync::Arc;

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn project() -> Change {
    Change::Project(Arc::new(Project { name: "shop".to_owned(), ..Project::plain(PROJECT, Id::from_u128(3), AT) }))
}

fn endpoint() -> Change {
    Change::Endpoint(Arc::new(Endpoint {
        name: "one".to_owned(),
        ..Endpoint::plain(ENDPOINT, PROJECT, "https://example.test/", AT)
    }))
}

fn subscription(id: u128, conditions: &Value) -> Change {
    Change::Subscription(Arc::new(Subscription {
        event_types: vec!["order.*".to_owned()],
        conditions: serde_json::from_value::<Conditions>(conditions.clone()).expect("four scopes"),
        ..Subscription::catch_all(Id::from_u128(id), PROJECT, ENDPOINT, AT)
    }))
}

/// The numbers of the subscriptions an event goes to.
fn matched(subscriptions: &[Change], event_type: &str, data: &Value, headers: &HeaderLines) -> Vec<u128> {
    let changes = [&[project(), endpoint()], subscriptions].concat();
    let snapshot = Snapshot::default().apply(&changes, 1);
    let data = data.to_string();
    let content = Event { data: data.as_bytes(), headers, url_query: "n=1", url_path: "/ingest/x" };
    let audience = &Audience::Endpoints(vec![ENDPOINT]);
    let targets =
        route(snapshot.project(PROJECT).expect("there"), Question { audience, event_type, source_id: None, content });
    targets.iter().map(|target| target.subscription_id.as_u128()).collect()
}

#[test]
fn type_and_every_scope_must_match() {
    let all = json!({"body": {"total": {"$gte": 10}}, "headers": {"X-Kind": "test"}, "query": {"n": 1},
        "path": {"path": "/ingest/x"}});
    let subscriptions = [subscription(11, &json!({})), subscription(12, &all)];
    let headers = HeaderLines::from_iter([("x-kind", "test")]);
    let large = json!({"total": 10});
    assert_eq!(matched(&subscriptions, "order.paid", &large, &headers), [11, 12]);
    assert_eq!(matched(&subscriptions, "order.paid", &json!({"total": 9}), &headers), [11]);
    assert_eq!(matched(&subscriptions, "order.paid", &large, &HeaderLines::new()), [11]);
    assert_eq!(matched(&subscriptions, "invoice.paid", &large, &headers), []);
    for (scope, other) in [("query", json!({"n": 2})), ("path", json!({"path": "/ingest/y"}))] {
        let mut changed = all.clone();
        changed[scope] = other;
        assert_eq!(matched(&[subscription(12, &changed)], "order.paid", &large, &headers), []);
    }
}

#[test]
fn what_cannot_be_evaluated_or_compiled_leaves_only_its_own_subscription_out() {
    let subscriptions = [
        subscription(11, &json!({"body": {"total": {"$gt": 1}}})),
        subscription(12, &json!({"body": {"total": {"$like": 1}}})),
        subscription(13, &json!({"body": {"total": "many"}})),
    ];
    assert_eq!(matched(&subscriptions, "order.paid", &json!({"total": "many"}), &HeaderLines::new()), [13]);
}

#[test]
fn a_change_replaces_the_filter_and_a_deletion_removes_it() {
    let first = subscription(11, &json!({"body": {"a": 1}}));
    let second = subscription(11, &json!({"body": {"a": 2}}));
    let none = subscription(11, &json!({}));
    let after = |changes: &[Change], a: u64| matched(changes, "order.paid", &json!({"a": a}), &HeaderLines::new());
    let alone = std::slice::from_ref(&first);
    assert_eq!((after(alone, 1), after(alone, 2)), (vec![11], vec![]));
    assert_eq!((after(&[first.clone(), second.clone()], 1), after(&[first.clone(), second], 2)), (vec![], vec![11]));
    assert_eq!(after(&[first, none], 2), [11]);
}

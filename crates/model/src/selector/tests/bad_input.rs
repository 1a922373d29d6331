//! What is refused, under which field, and with which words.

use super::*;
use crate::selector::{EVENT_TYPES_MAX, IDS_MAX, TEXT_BYTES_MAX};

/// Refused by its text alone.
#[test]
fn what_cannot_be_read_is_named() {
    let id = Id::from_u128(10).to_string();
    let many_ids = vec![Value::from(id.clone()); IDS_MAX + 1];
    let many_types = vec![Value::from("a"); EVENT_TYPES_MAX + 1];
    let long = "a".repeat(TEXT_BYTES_MAX + 1);
    for (selector, field, says) in [
        (json!([]), "selector", "a JSON object"),
        (json!("failed"), "selector", "a JSON object"),
        (json!({"since": "-2h"}), "since", "use mode, from, to"),
        (json!({"From": "-2h"}), "From", "no field of a selector"),
        (json!({"mode": "broken"}), "mode", "failed, missing, all or discarded"),
        (json!({"mode": 1}), "mode", "a text"),
        (json!({"from": "yesterday"}), "from", "RFC 3339"),
        (json!({"from": 5}), "from", "a text"),
        (json!({"to": "2026-01-02"}), "to", "such as -2h"),
        (json!({"to": null}), "to", "a text"),
        (json!({"event_types": []}), "event_types", "leave the field out"),
        (json!({"event_types": ["a.*.b"]}), "event_types", "only at the end"),
        (json!({"event_types": [""]}), "event_types", "is empty"),
        (json!({"event_types": {"a": 1}}), "event_types", "an array of texts"),
        (json!({"event_types": [5]}), "event_types", "a text"),
        (json!({"event_types": many_types}), "event_types", "use a wildcard"),
        (json!({"event_types": [long]}), "event_types", "bytes"),
        (json!({"endpoint_ids": ["x"]}), "endpoint_ids", "\"x\" is no id"),
        (json!({"endpoint_ids": [id.to_lowercase()]}), "endpoint_ids", "is no id"),
        (json!({"endpoint_ids": true}), "endpoint_ids", "an array of ids"),
        (json!({"owner_ids": [""]}), "owner_ids", "is empty"),
        (json!({"source_ids": [7]}), "source_ids", "a text"),
        (json!({"event_ids": many_ids}), "event_ids", "more than 1000"),
        (json!({"event_ids": []}), "event_ids", "is empty"),
        (json!({"idempotency_key": ""}), "idempotency_key", "is empty"),
        (json!({"event_status": ["Pending"]}), "event_status", "Success, Failure or Processing"),
        (json!({"delivery_status": ["Failed"]}), "delivery_status", "Failure or Discarded"),
        (json!({"http_status": ["6xx"]}), "http_status", "5xx"),
        (json!({"http_status": [99]}), "http_status", "\"99\" is no HTTP status"),
        (json!({"http_status": [-1]}), "http_status", "is no HTTP status"),
        (json!({"http_status": ["0404"]}), "http_status", "is no HTTP status"),
        (json!({"attempts_min": 0}), "attempts_min", "at least 1"),
        (json!({"attempts_min": "3"}), "attempts_min", "at least 1"),
        (json!({"replay_id": "x"}), "replay_id", "is no id"),
        (json!({"filter": {"amount": {"$gt": 5}}}), "filter", "use headers, body, query or path"),
        (json!({"filter": {}}), "filter", "is empty"),
        (json!({"filter": {"body": 5}}), "filter", "a JSON object for each scope"),
        (json!({"filter": {"body": {"a": {"$near": 1}}}}), "filter", "body: a: $near"),
        (json!({"filter": "amount > 5"}), "filter", "an object with body"),
    ] {
        expect(parse(&selector).map(|_| ()), &selector, field, says);
    }
}

/// Refused because it could only ever mean nothing.
#[test]
fn what_contradicts_itself_is_named() {
    for (selector, field, says) in [
        (json!({"mode": "missing", "delivery_status": ["Failure"]}), "delivery_status", "mode missing"),
        (json!({"mode": "missing", "http_status": ["5xx"]}), "http_status", "no deliveries"),
        (json!({"attempts_min": 2, "mode": "missing"}), "attempts_min", "mode missing"),
        (json!({"mode": "missing", "replay_id": Id::from_u128(1)}), "replay_id", "mode missing"),
        (json!({"mode": "failed", "delivery_status": ["Success", "Retry"]}), "delivery_status", "leaves out Failure"),
        (json!({"mode": "discarded", "delivery_status": ["Failure"]}), "delivery_status", "leaves out Discarded"),
        (json!({"mode": "failed", "event_status": ["Failure"]}), "event_status", "have deliveries"),
        (json!({"http_status": [500], "event_status": ["Processing"]}), "event_status", "have deliveries"),
    ] {
        expect(parse(&selector).map(|_| ()), &selector, field, says);
    }
    let mut selector = parse(&json!({"attempts_min": 2})).expect("reads");
    selector.mode = crate::selector::SetMode::Missing;
    expect(selector.freeze(NOW, Id::MAX, &view()).map(|_| ()), &json!("changed"), "attempts_min", "mode missing");
}

/// Refused at this time, in this project.
#[test]
fn what_cannot_be_frozen_is_named() {
    for (selector, field, says) in [
        (json!({"from": "2030-01-01T00:00:00Z"}), "from", "in the future"),
        (json!({"from": "-1h", "to": "-2h"}), "from", "later than `to`"),
        (json!({"from": "-1h", "to": "2020-01-01T00:00:00Z"}), "from", "later than `to`"),
        (json!({"endpoint_ids": [Id::from_u128(99)]}), "endpoint_ids", "is no endpoint of this project"),
        (json!({"owner_ids": ["alice", "carol"]}), "owner_ids", "the owner \"carol\""),
        (json!({"owner_ids": ["alice"], "endpoint_ids": [Id::from_u128(13)]}), "endpoint_ids", "of the `owner_ids`"),
    ] {
        let parsed = parse(&selector).expect("reads");
        expect(parsed.freeze(NOW, Id::MAX, &view()).map(|_| ()), &selector, field, says);
    }
}

fn expect(outcome: Result<(), SelectorError>, selector: &Value, field: &str, says: &str) {
    let error = outcome.expect_err(&selector.to_string());
    assert_eq!(error.field, field, "{selector}");
    assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
    assert!(error.to_string().contains(says), "{selector}: {error}");
}

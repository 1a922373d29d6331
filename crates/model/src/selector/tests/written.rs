//! What is written reads back, and what each field means on one event.

use super::*;
use crate::selector::{IDS_MAX, SetMode};

#[test]
fn a_selector_reads_back_as_it_prints() {
    let written = json!({
        "mode": "failed",
        "from": "-1h30m",
        "to": "2025-12-31T23:59:59.5Z",
        "event_types": ["order.*", "refund"],
        "endpoint_ids": [Id::from_u128(10), Id::from_u128(11)],
        "owner_ids": ["bob"],
        "source_ids": [Id::from_u128(70)],
        "event_ids": [Id::from_u128(80)],
        "idempotency_key": "k",
        "event_status": ["Success"],
        "delivery_status": ["Failure"],
        "http_status": ["5xx", 404, "none"],
        "attempts_min": 2,
        "replay_id": Id::from_u128(90),
        "subscription_ids": [Id::from_u128(91)],
        "filter": {"body": {"amount": {"$gte": 5}}, "headers": {"x-a": "b"}},
    });
    let selector = parse(&written).expect("reads");
    let printed = serde_json::to_value(&selector).expect("prints");
    assert_eq!(parse(&printed), Ok(selector));
    assert_eq!(printed["from"], "-5400s");
    assert_eq!(printed["http_status"], json!(["5xx", "404", "none"]));
    assert_eq!(serde_json::to_value(parse(&json!({})).expect("reads")).expect("prints"), json!({"mode": "all"}));
}

#[test]
fn one_value_stands_for_a_list_of_it() {
    let one = json!({"event_types": "a", "http_status": 500, "delivery_status": "failure", "owner_ids": "bob"});
    let list =
        json!({"event_types": ["a"], "http_status": ["500"], "delivery_status": ["Failure"], "owner_ids": ["bob"]});
    assert_eq!(parse(&one), parse(&list));
}

#[test]
fn ids_are_sorted_and_counted_as_written() {
    let ids: Vec<Id> = (0..IDS_MAX as u128).rev().map(Id::from_u128).collect();
    let selector = parse(&json!({"event_ids": ids})).expect("as many as are allowed");
    assert!(selector.event_ids.is_sorted());
    let event = Id::from_u128(5);
    let spelt_twice = parse(&json!({"event_ids": [event, event.as_event().to_string()]})).expect("both spellings");
    assert_eq!(spelt_twice.event_ids, [event]);
}

#[test]
fn without_a_start_or_ids_it_is_unbounded() {
    for (selector, unbounded) in [
        (json!({}), true),
        (json!({"to": "now", "endpoint_ids": [Id::from_u128(10)]}), true),
        (json!({"from": "-1h"}), false),
        (json!({"event_ids": [Id::from_u128(1)]}), false),
    ] {
        assert_eq!(parse(&selector).expect("reads").is_unbounded(), unbounded, "{selector}");
    }
}

#[test]
fn each_field_admits_what_it_says() {
    let mut one = event(3_600_000, 0);
    one.source_id = Some(Id::from_u128(70));
    one.idempotency_key = "k".to_owned();
    one.headers = [("X-A", "b")].into_iter().collect();
    for (selector, admitted) in [
        (json!({}), true),
        (json!({"from": "-1h"}), true),
        (json!({"from": "-3599s"}), false),
        (json!({"to": "-1h"}), true),
        (json!({"to": "-3601s"}), false),
        (json!({"to": "2030-01-01T00:00:00Z"}), true),
        (json!({"event_types": ["order.*"]}), true),
        (json!({"event_types": ["*"]}), true),
        (json!({"event_types": ["order.paid", "x"]}), true),
        (json!({"event_types": ["order"]}), false),
        (json!({"source_ids": [Id::from_u128(70)]}), true),
        (json!({"source_ids": [Id::from_u128(71)]}), false),
        (json!({"event_ids": [one.id, Id::MAX]}), true),
        (json!({"event_ids": [Id::MAX]}), false),
        (json!({"idempotency_key": "k"}), true),
        (json!({"idempotency_key": "K"}), false),
        (json!({"event_status": ["success"]}), true),
        (json!({"event_status": ["Failure", "Processing"]}), false),
        (json!({"filter": {"body": {"amount": {"$gte": 5}}}}), true),
        (json!({"filter": {"body": {"amount": {"$gt": 5}}}}), false),
        (json!({"filter": {"body": {"amount": {"$regex": "5"}}}}), false),
        (json!({"filter": {"headers": {"X-A": "b"}}}), true),
    ] {
        assert_eq!(frozen(&selector).admits(&one), admitted, "{selector}");
    }
}

#[test]
fn owners_become_their_endpoints() {
    let of_alice = frozen(&json!({"owner_ids": ["alice"]}));
    let one_of_hers = frozen(&json!({"owner_ids": ["alice"], "endpoint_ids": [Id::from_u128(11), Id::from_u128(13)]}));
    for (endpoint, wanted, named) in [(10, true, false), (11, true, true), (12, false, false), (13, false, false)] {
        assert_eq!(of_alice.wants_endpoint(Id::from_u128(endpoint)), wanted, "{endpoint}");
        assert_eq!(one_of_hers.wants_endpoint(Id::from_u128(endpoint)), named, "{endpoint}");
    }
}

#[test]
fn an_item_that_was_never_tried_hides_nothing() {
    let one = event(1_000, 0);
    let item = |number, endpoint, subscription, replay| {
        let mut item = delivery(&one, number, endpoint, Status::Discarded);
        item.subscription_id = Id::from_u128(subscription);
        (item.trigger, item.attempts, item.replay_id) = (Trigger::Replay, 0, Some(Id::from_u128(replay)));
        item
    };
    let failed = delivery(&one, 0, 10, Status::Failure);
    let way = failed.subscription_id.as_u128();
    let all = [failed, item(1, 10, way, 77), item(2, 11, way, 77)];
    let meant = |selector: Value| -> Vec<u128> {
        frozen(&selector).pairs(&one, &all, Vec::new).iter().map(|pair| pair.endpoint_id.as_u128()).collect()
    };
    assert_eq!(meant(json!({"mode": "failed"})), [10], "what was cancelled before its turn has failed still");
    assert_eq!(meant(json!({"mode": "discarded"})), [10, 11], "both were given up");
    assert_eq!(meant(json!({"mode": "all", "delivery_status": ["Discarded"]})), [11], "it got nothing else");
    let of_it = json!({"mode": "discarded", "replay_id": Id::from_u128(77)});
    assert_eq!(meant(of_it), [10, 11], "where its replay is asked for");
}

#[test]
fn each_mode_means_its_endpoints() {
    let one = event(1_000, 0);
    let mut tried_later = delivery(&one, 4, 12, Status::Success);
    tried_later.trigger = Trigger::Replay;
    let all = [
        delivery(&one, 0, 10, Status::Failure),
        delivery(&one, 1, 11, Status::Discarded),
        delivery(&one, 2, 12, Status::Failure),
        tried_later,
    ];
    let matching = || [11, 12, 13, 13].map(Id::from_u128).to_vec();
    for (selector, endpoints) in [
        (json!({"mode": "failed"}), vec![10]),
        (json!({"mode": "discarded"}), vec![11]),
        (json!({"mode": "missing"}), vec![11, 13]),
        (json!({"mode": "all"}), vec![11, 12, 13]),
        (json!({"mode": "all", "endpoint_ids": [Id::from_u128(12)]}), vec![12]),
        (json!({"mode": "all", "delivery_status": ["Success", "Failure"]}), vec![10, 12]),
        (json!({"mode": "all", "http_status": ["5xx"]}), vec![10]),
        (json!({"mode": "all", "http_status": ["none"]}), vec![]),
        (json!({"mode": "all", "attempts_min": 1}), vec![10, 12]),
        (json!({"mode": "all", "attempts_min": 2}), vec![]),
        (json!({"mode": "missing", "endpoint_ids": [Id::from_u128(12)]}), vec![]),
        (json!({"mode": "failed", "subscription_ids": [Id::from_u128(110)]}), vec![10]),
        (json!({"mode": "failed", "subscription_ids": [Id::from_u128(111)]}), vec![]),
    ] {
        let pairs = frozen(&selector).pairs(&one, &all, matching);
        let found: Vec<u128> = pairs.iter().map(|pair| pair.endpoint_id.as_u128()).collect();
        assert_eq!(found, endpoints, "{selector}");
        let reached: Vec<u128> =
            pairs.iter().filter(|pair| pair.already_succeeded).map(|pair| pair.endpoint_id.as_u128()).collect();
        assert!(reached.iter().all(|endpoint| *endpoint == 12), "{selector}: {reached:?}");
    }
}

#[test]
fn two_subscriptions_of_one_endpoint_are_looked_at_one_by_one() {
    let one = event(1_000, 0);
    let failed = delivery(&one, 0, 10, Status::Failure);
    let mut other = delivery(&one, 1, 10, Status::Success);
    other.subscription_id = Id::from_u128(999);
    let pairs = frozen(&json!({"mode": "failed"})).pairs(&one, &[other, failed.clone()], Vec::new);
    assert_eq!(pairs.len(), 1);
    assert_eq!((pairs[0].delivery_id, pairs[0].already_succeeded), (Some(failed.id), true));
}

#[test]
fn what_a_replay_left_failed_is_a_selector() {
    let one = event(1_000, 0);
    let replay = Id::from_u128(500);
    let mut again = delivery(&one, 1, 10, Status::Failure);
    again.replay_id = Some(replay);
    let others = delivery(&one, 2, 11, Status::Failure);
    let all = [delivery(&one, 0, 10, Status::Failure), again.clone(), others];
    let selector = json!({"mode": "failed", "replay_id": replay});
    let pairs = frozen(&selector).pairs(&one, &all, Vec::new);
    assert_eq!(pairs.iter().map(|pair| pair.delivery_id).collect::<Vec<_>>(), [Some(again.id)]);
}

#[test]
fn a_duplicate_is_not_missing_anywhere() {
    let duplicate = Event { is_duplicate: true, fan_out: FanOut::Skipped, ..event(1_000, 0) };
    let matching = || vec![Id::from_u128(10)];
    assert_eq!(frozen(&json!({"mode": "missing"})).pairs(&duplicate, &[], matching), []);
    assert_eq!(frozen(&json!({"mode": "all"})).pairs(&duplicate, &[], matching).len(), 1);
    assert!(SetMode::ALL.into_iter().all(|mode| SetMode::parse(mode.as_str()) == Some(mode)));
}

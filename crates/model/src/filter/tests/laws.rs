//! What holds for all filters and payloads.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, json};

/// Few names, so that filters and payloads meet.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[abc]",
        2 => "[abc]\\.[abc]",
        1 => "[012]",
        1 => "(a|b)\\.[01]\\.[ab]",
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![6 => name(), 3 => "[ab]\\.\\$\\.[abc]", 1 => "\\$\\.[ab]", 1 => "a\\.\\$\\.b\\.\\$\\.c"]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        4 => (-2i64..4).prop_map(Value::from),
        1 => (-4i64..8).prop_map(|half| json!(half as f64 / 2.0)),
        2 => "[ab]".prop_map(Value::from),
        2 => "[0-3]".prop_map(Value::from),
    ]
}

fn list() -> impl Strategy<Value = Value> {
    prop::collection::vec(value(), 0..4).prop_map(Value::from)
}

fn object(inner: impl Strategy<Value = (String, Value)>, most: usize) -> impl Strategy<Value = Value> {
    prop::collection::vec(inner, 0..=most).prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => value(), 1 => list()];
    leaf.prop_recursive(4, 48, 4, |inner| {
        prop_oneof![
            3 => object((name(), inner.clone()), 4),
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => prop::collection::vec(object((name(), inner), 3), 0..3).prop_map(Value::from),
        ]
    })
}

fn operator() -> impl Strategy<Value = (String, Value)> {
    let any_value = || prop_oneof![value(), list()];
    prop_oneof![
        ("\\$(eq|neq|in|nin)", any_value()),
        ("\\$(gt|gte|lt|lte)", value()),
        (Just("$exist".to_owned()), any::<bool>().prop_map(Value::from)),
        (Just("$regex".to_owned()), "\\^?[a0](\\||\\+)?".prop_map(Value::from)),
    ]
}

fn condition() -> impl Strategy<Value = (String, Value)> {
    let tests = prop::collection::vec(operator(), 1..3).prop_map(|tests| Value::Object(tests.into_iter().collect()));
    let tested = prop_oneof![2 => value(), 1 => list(), 4 => tests, 1 => Just(json!({}))];
    let nested = tested.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            object((key(), inner.clone()), 2),
            prop::collection::vec(object((key(), inner), 2), 0..2).prop_map(Value::from),
        ]
    });
    (key(), nested)
}

fn filter() -> impl Strategy<Value = Value> {
    object(condition(), 3).prop_recursive(3, 12, 3, |inner| {
        let parts = prop::collection::vec(inner, 0..3).prop_map(Value::from);
        let logic = prop_oneof!["\\$or", "\\$and"];
        object(prop_oneof![condition(), (logic, parts)], 3)
    })
}

/// `None` when it does not compile.
fn outcome(filter: &Value, payload: &Value) -> Option<Result<bool, ()>> {
    both(filter, payload).map(|(ours, _)| ours)
}

fn negated(operator: &str) -> &'static str {
    match operator {
        "$eq" => "$neq",
        "$in" => "$nin",
        "$gte" => "$lt",
        _ => "$lte",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_agrees_with_the_reference(filter in filter(), payload in payload()) {
        if let Some((ours, expected)) = both(&filter, &payload) {
            prop_assert_eq!(ours, expected, "{} on {}", filter, payload);
        }
    }

    #[test]
    fn a_filter_in_or_or_and_alone_is_itself(filter in filter(), payload in payload()) {
        let alone = outcome(&filter, &payload);
        if alone.is_some() {
            prop_assert_eq!(outcome(&json!({"$or": [filter]}), &payload), alone);
            prop_assert_eq!(outcome(&json!({"$and": [filter]}), &payload), alone);
            prop_assert_eq!(outcome(&json!({"$or": [filter, filter]}), &payload), alone);
        }
    }

    #[test]
    fn order_and_grouping_do_not_count(f in filter(), g in filter(), h in filter(), payload in payload()) {
        for logic in ["$or", "$and"] {
            let one = outcome(&json!({logic: [f, g, h]}), &payload);
            prop_assert_eq!(outcome(&json!({logic: [h, f, g]}), &payload), one);
            prop_assert_eq!(outcome(&json!({logic: [f, {logic: [g, h]}]}), &payload), one);
        }
        let spread = outcome(&json!({"$and": [f, {"$or": [g, h]}]}), &payload);
        let multiplied = outcome(&json!({"$or": [{"$and": [f, g]}, {"$and": [f, h]}]}), &payload);
        prop_assert_eq!(spread, multiplied);
    }

    /// not (p or q) = not p and not q, for keys that are there.
    #[test]
    fn de_morgan(
        p in ("\\$(eq|in|gte|gt)", value()),
        q in ("\\$(eq|in|gte|gt)", value()),
        a in value(),
        b in value(),
    ) {
        let payload = json!({"a": a, "b": b});
        let either = json!({"$or": [{"a": {&p.0: &p.1}}, {"b": {&q.0: &q.1}}]});
        let neither = json!({"$and": [{"a": {negated(&p.0): &p.1}}, {"b": {negated(&q.0): &q.1}}]});
        if let (Some(either), Some(neither)) = (outcome(&either, &payload), outcome(&neither, &payload)) {
            prop_assert_eq!(either.map(|holds| !holds), neither);
        }
    }

    /// Whatever stands in it: an answer or an error, and neither a panic nor a long wait.
    #[test]
    fn anything_is_answered(filter in payload(), operators in filter(), text in "[\\[\\]{}\",:a0\\\\.$ ]{0,24}") {
        for filter in [filter, operators] {
            if let Ok(compiled) = Filter::compile(&filter) {
                let _ = compiled.matches(&Document::body(text.as_bytes()));
                let _ = compiled.matches(&Document::headers_json(text.as_bytes()));
                let _ = compiled.matches(&Document::query(&text));
            }
        }
    }

    #[test]
    fn any_expression_is_answered(pattern in "[\\[\\]^\\\\QEdDbB<>&~a:()?*{}0-9,-]{0,16}", text in ".{0,8}") {
        if let Ok(compiled) = Filter::compile(&json!({"a": {"$regex": pattern}})) {
            let payload = json!({"a": text}).to_string();
            prop_assert!(compiled.matches(&Document::body(payload.as_bytes())).is_ok());
        }
    }
}

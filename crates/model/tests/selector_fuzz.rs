//! The body of the fuzz target `selector`, on inputs that are often selectors.

#[path = "../../../fuzz/bodies/selector.rs"]
mod body;

use proptest::prelude::*;

fn field() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "mode",
        "from",
        "to",
        "event_types",
        "endpoint_ids",
        "owner_ids",
        "source_ids",
        "event_ids",
        "idempotency_key",
        "event_status",
        "delivery_status",
        "http_status",
        "attempts_min",
        "replay_id",
        "subscription_ids",
        "filter",
        "other",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "\"failed\"",
            "\"missing\"",
            "\"-2h\"",
            "\"now\"",
            "\"2026-01-02T15:04:05.25+02:00\"",
            "\"0000-01-01T00:00:00Z\"",
            "\"00000000000000000000000001\"",
            "[\"7ZZZZZZZZZZZZZZZZZZZZZZZZZ\"]",
            "[\"order.*\",\"*\"]",
            "[\"Failure\",\"success\"]",
            "[\"5xx\",404,\"none\"]",
            "3",
            "null",
            "[]",
            "{\"body\":{\"a\":{\"$gt\":1}}}",
            "{\"headers\":{\"a\":[1,\"b\"]}}",
        ])
        .prop_map(str::to_owned),
        "-?[0-9]{1,5}[smhdw]{1,2}".prop_map(|text| format!("\"{text}\"")),
        "[ -~]{0,6}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
        body::run(&input);
    }

    #[test]
    fn selectors(fields in prop::collection::vec(field(), 0..4)) {
        body::run(format!("{{{}}}", fields.join(",")).as_bytes());
    }
}

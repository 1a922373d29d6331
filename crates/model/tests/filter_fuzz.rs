//! The body of the fuzz target `filter`, on inputs that are often filters.

#[path = "../../../fuzz/bodies/filter.rs"]
mod body;

use proptest::prelude::*;

/// Pieces that filters are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"a.$.b\"",
        "\"$or\"",
        "\"$and\"",
        "\"$regex\"",
        "\"$gt\"",
        "\"$in\"",
        "\"$exist\"",
        "\"(a|\\\\d)\"",
        "1",
        "-1.5e3",
        "null",
        "true",
        "\"\\ud800\"",
        "{\"a\":",
        "{\"$or\":[",
        "{\"a\":1}",
        "]}",
        "\n",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Whole filters, whose payloads are not.
fn filters() -> impl Strategy<Value = String> {
    let operand = prop_oneof!["[0-9]{1,3}", "\"[a-c]{0,2}\"", Just("[1,2]".to_owned()), Just("true".to_owned())];
    let condition = ("[a-c](\\.(\\$\\.[a-c]|[01]))?", "eq|neq|gt|gte|lt|lte|in|nin|regex|exist", operand)
        .prop_map(|(key, operator, operand)| format!(r#"{{"{key}":{{"${operator}":{operand}}}}}"#));
    condition.prop_recursive(3, 8, 2, |inner| {
        ("or|and", inner.clone(), inner).prop_map(|(logic, one, two)| format!(r#"{{"${logic}":[{one},{two}]}}"#))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
        body::run(&input);
    }

    #[test]
    fn pieces_of_filters_and_payloads(filter in pieces(), payload in pieces()) {
        body::run(format!("{filter}\n{payload}").as_bytes());
    }

    #[test]
    fn filters_on_nearly_payloads(
        filter in filters(),
        payload in r#"\{"[abc]":(\[?\{"[abc]":)?("[abc]{0,2}"|[0-9]|\[1,2\]|null)\}?\]?\}?"#,
    ) {
        body::run(format!("{filter}\n{payload}").as_bytes());
    }
}

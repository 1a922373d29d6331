//! Any filter on any payload: an answer or an error, the same each time, and what must follow from it.
//! Shared by the fuzz target and by `crates/model/tests/filter_fuzz.rs`.

use dacapo_model::filter::{Document, Filter};
use serde_json::{Value, json};

/// Parts the filter from the payload.
pub const SEPARATOR: u8 = b'\n';

/// `input`: a filter, [`SEPARATOR`], a payload. Neither needs to be JSON.
pub fn run(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == SEPARATOR).unwrap_or(input.len());
    let (filter, rest) = input.split_at(at);
    let payload = rest.get(1..).unwrap_or_default();
    let Ok(filter) = serde_json::from_slice::<Value>(filter) else { return };
    let Ok(compiled) = Filter::compile(&filter) else { return };

    let document = Document::body(payload);
    let outcome = compiled.matches(&document);
    assert_eq!(compiled.matches(&document), outcome, "a document that was read answers otherwise");
    for other in [Document::headers_json(payload), Document::parameters_json(payload)] {
        let _ = compiled.matches(&other);
    }
    if let Ok(text) = std::str::from_utf8(payload) {
        let _ = compiled.matches(&Document::query(text));
        let _ = compiled.matches(&Document::headers([(text, text)]));
    }
    for alone in [json!({"$or": [filter]}), json!({"$and": [filter]})] {
        // A filter at the limits does not fit into another.
        if let Ok(wrapped) = Filter::compile(&alone) {
            assert_eq!(wrapped.matches(&document).ok(), outcome.clone().ok(), "{alone}");
        }
    }
}

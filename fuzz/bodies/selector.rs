//! Any text as a selector: an error that names a field, or a selector that prints and reads back.
//! Shared by the fuzz target and by `crates/model/tests/selector_fuzz.rs`.

use dacapo_model::selector::Selector;
use serde_json::Value;

/// `input` need not be JSON.
pub fn run(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    match Selector::parse(&value) {
        Ok(selector) => {
            let printed = serde_json::to_value(&selector).expect("a selector prints");
            assert_eq!(Selector::parse(&printed).as_ref(), Ok(&selector), "{printed}");
        }
        Err(error) => {
            let known = value.as_object().is_some_and(|fields| fields.contains_key(&error.field));
            assert!(known || error.field == "selector" || error.field == "event_status", "{error}");
            assert!(error.to_string().starts_with(&error.field), "{error}");
        }
    }
}

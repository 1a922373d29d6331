//! What Convoy prints for things that are not there: whole objects of zero values.

use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::LazyLock;

/// Text of this file as JSON; what cannot be read would print as `null`.
fn fixed(text: &'static str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}

/// A source that is none, as events and deliveries carry it. Enums are empty and lists are lists:
/// the generated Python client reads nothing else (§11.1).
pub fn source() -> &'static RawValue {
    static SOURCE: LazyLock<Box<RawValue>> = LazyLock::new(|| {
        fixed(concat!(
            r#"{"uid":"","project_id":"","mask_id":"","name":"","url":"","type":"","provider":"","is_disabled":false,"#,
            r#""verifier":null,"custom_response":{"body":"","content_type":""},"provider_config":null,"#,
            r#""forward_headers":[],"#,
            r#""pub_sub":{"type":"","workers":0,"sqs":null,"google":null,"kafka":null,"amqp":null},"#,
            r#""idempotency_keys":[],"event_type_location":"","body_function":null,"header_function":null,"#,
            r#""created_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z","deleted_at":null}"#,
        ))
    });
    &SOURCE
}

/// A device that is none: devices are gone, their place in deliveries is not.
pub fn device() -> &'static RawValue {
    static DEVICE: LazyLock<Box<RawValue>> = LazyLock::new(|| {
        fixed(concat!(
            r#"{"uid":"","last_seen_at":"0001-01-01T00:00:00Z","created_at":"0001-01-01T00:00:00Z","#,
            r#""updated_at":"0001-01-01T00:00:00Z","deleted_at":null}"#,
        ))
    });
    &DEVICE
}

/// `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_json() {
        for text in [source().get(), device().get()] {
            assert!(text.starts_with("{\"uid\":\"\""), "{text}");
        }
        assert_eq!(serde_json::to_string(&Empty {}).expect("JSON"), "{}");
    }
}

//! `application/x-www-form-urlencoded` bodies for endpoints that ask for them
//! (contracts/convoy.md §6.1): top-level keys become fields, sorted; numbers are printed exactly.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `None` when the payload is no JSON object.
pub fn encode(payload: &[u8]) -> Option<Vec<u8>> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(payload).ok()?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(&name, &text(value));
    }
    Some(form.finish().into_bytes())
}

/// Strings as they read, null as nothing, everything else as its JSON text.
fn text(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn fields_are_sorted_and_numbers_exact() {
        let payload = br#"{"b":2.5,"a":"x y","n":123456789012345678,"z":null,"o":{"k":[1]}}"#;
        let form = String::from_utf8(encode(payload).expect("an object")).expect("text");
        assert_eq!(form, "a=x+y&b=2.5&n=123456789012345678&o=%7B%22k%22%3A%5B1%5D%7D&z=");
        assert_eq!(encode(b"[1]"), None);
    }
}

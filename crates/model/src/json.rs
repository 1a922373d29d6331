//! JSON as text: the exact bytes matter here, because they are what is signed and sent
//! (contracts/convoy.md §6.2), so nothing is parsed into a tree and printed again.
//!
//! Request bodies are read by [`decode::Object`].

use bytes::Bytes;

pub mod decode;

/// Removes the insignificant whitespace of one JSON value; everything else (key order, spelling of
/// numbers, escapes) stays byte for byte (contracts/convoy.md §6.2).
///
/// `value` is the text of one valid JSON value. When there is nothing to remove inside it, the result
/// shares its memory. Text that is not JSON gives some text, never a panic.
pub fn compact(value: &Bytes) -> Bytes {
    let text: &[u8] = value;
    let Some(start) = text.iter().position(|byte| !is_whitespace(*byte)) else { return Bytes::new() };
    let end = text.iter().rposition(|byte| !is_whitespace(*byte)).map_or(start, |last| last + 1);
    let text = &text[start..end];
    let Some(first) = next_whitespace(text, 0) else { return value.slice(start..end) };

    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut from = skip_whitespace(text, first);
    while let Some(to) = next_whitespace(text, from) {
        out.extend_from_slice(&text[from..to]);
        from = skip_whitespace(text, to);
    }
    out.extend_from_slice(&text[from..]);
    Bytes::from(out)
}

/// JSON's four, no others (RFC 8259 §2).
const fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the next whitespace outside a string is, from a place outside a string.
fn next_whitespace(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == b'"' {
            at = end_of_string(text, at);
            continue;
        }
        if is_whitespace(byte) {
            return Some(at - 1);
        }
    }
    None
}

fn skip_whitespace(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_whitespace(**byte)).count()
}

/// The place after the closing quote of the string whose content starts at `from`.
fn end_of_string(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => return at,
            b'\\' => at += 1,
            _ => {}
        }
    }
    text.len()
}

/// What surfaces accept: Go's decoder, and so Convoy and many receivers, reads no deeper.
pub const NESTING_MAX: usize = 10_000;

/// Whether arrays and objects lie in each other deeper than `levels`, in a valid JSON text.
pub fn is_nested_deeper(value: &[u8], levels: usize) -> bool {
    // Each level takes a byte to open it.
    if value.len() <= levels {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

/// Appends `json` the way Go's encoder would have written it: `<`, `>`, `&`, U+2028 and U+2029 as
/// `\u` escapes, everything else as it is. The result means the same, since in JSON these characters
/// occur in strings only.
pub fn escape_html(json: &str, out: &mut Vec<u8>) {
    let bytes = json.as_bytes();
    out.reserve(bytes.len());
    let mut from = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (escape, width): (&[u8], usize) = match byte {
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0xE2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
            0xE2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(escape);
        at += width;
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn compacted(text: &str) -> String {
        String::from_utf8(compact(&Bytes::copy_from_slice(text.as_bytes())).to_vec()).expect("UTF-8 stays UTF-8")
    }

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape_html(text, &mut out);
        String::from_utf8(out).expect("UTF-8 stays UTF-8")
    }

    #[test]
    fn compact_removes_whitespace_between_tokens_only() {
        assert_eq!(compacted("{\"z\": 1, \"a\" :\t\"x y\"\r\n}"), r#"{"z":1,"a":"x y"}"#);
        assert_eq!(compacted(" [ 1.50 , 1e3,\n-0 ] "), "[1.50,1e3,-0]");
        assert_eq!(compacted(r#"{ "a\" b" : "\\" , "c" : "\\\" d" }"#), r#"{"a\" b":"\\","c":"\\\" d"}"#);
        assert_eq!(compacted(r#"{"e": "\u00e9 <é>"}"#), r#"{"e":"\u00e9 <é>"}"#);
        assert_eq!(compacted("  null\n"), "null");
        assert_eq!(compacted(" \n "), "");
    }

    #[test]
    fn compact_shares_the_memory_when_only_the_ends_are_cut() {
        let text = Bytes::from_static(b" {\"a\":\"b c\"}\n");
        let result = compact(&text);
        assert_eq!(&result[..], br#"{"a":"b c"}"#);
        assert_eq!(result.as_ptr(), text[1..].as_ptr());
    }

    #[test]
    fn escape_html_is_gos() {
        let text = "{\"<a>\":\"x & y\u{2028}\u{2029}\u{2027}é\"}";
        assert_eq!(escaped(text), "{\"\\u003ca\\u003e\":\"x \\u0026 y\\u2028\\u2029\u{2027}é\"}");
        let mut out = b"kept ".to_vec();
        escape_html("[1]", &mut out);
        assert_eq!(out, b"kept [1]");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ \\t\"\\\\a<>&\u{2028}é\\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[ \"\\\\a:,]{0,4}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_of_pretty_text_is_the_compact_text(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("a value prints");
            prop_assert_eq!(compacted(&pretty), value.to_string());
            prop_assert_eq!(compacted(&value.to_string()), value.to_string());
        }

        #[test]
        fn escaped_json_means_the_same_and_holds_no_markup(value in json()) {
            let text = escaped(&value.to_string());
            let has_markup = text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(!has_markup);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("still JSON"), value);
        }

        #[test]
        fn compact_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), quotes in "[\"\\\\ a]{0,12}") {
            compact(&Bytes::from(bytes));
            compact(&Bytes::from(quotes));
        }
    }
}

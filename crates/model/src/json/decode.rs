//! Reads request bodies the way Convoy does (Go's `encoding/json`; contracts/convoy.md §1.4), without
//! building a tree: an [`Object`] is a list of names and the untouched text of their values.
//!
//! - Only the first JSON value is read; what follows it is ignored.
//! - Names match without regard to ASCII case; of duplicates the last wins; unknown names are ignored.
//! - `null` leaves a field unset; a body `null` is an empty object.
//! - Half a surrogate pair (`\ud800`) becomes U+FFFD, as in Go.
//! - Invalid UTF-8 is a syntax error (Go would repair it, and so change what is signed).

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Why a body was refused. Prints the answer's `message` (HTTP 400; contracts/convoy.md §1.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing but whitespace.
    #[error("body must not be empty")]
    Empty,
    /// `offset`: bytes read when the mistake was seen, the offending byte included.
    #[error("body contains badly-formed JSON (at character {offset})")]
    Syntax { offset: usize },
    #[error("body contains badly-formed JSON")]
    Truncated,
    /// `field`: the documented name, with the names of the objects around it (`authentication.type`).
    #[error("body contains incorrect JSON type for field \"{field}\"")]
    WrongField { field: String },
    /// Not an object. `offset`: bytes read when that was seen.
    #[error("body contains incorrect JSON type (at character {offset})")]
    WrongType { offset: usize },
}

/// Most bodies have fewer fields: one allocation.
const FIELDS_EXPECTED: usize = 8;

/// A JSON object whose values are still text. Getters take the documented snake_case name.
#[derive(Debug, Default)]
pub struct Object<'a> {
    fields: Fields<'a>,
    /// Names of the objects around this one, each with a final dot; empty at the top.
    path: String,
}

impl<'a> Object<'a> {
    /// Reads the first JSON value of `body`, which must be an object or `null`.
    ///
    /// Errors: every [`BodyError`] but `WrongField`. Time and memory are linear in `body`, whatever it
    /// is; depth is not limited, since values stay text.
    pub fn read(body: &'a [u8]) -> Result<Self, BodyError> {
        let start = body.iter().position(|byte| !super::is_whitespace(*byte)).ok_or(BodyError::Empty)?;
        if body[start] == b'{' {
            let fields = parse::<Fields<'a>>(body).map_err(|error| locate(body, &error))?;
            return Ok(Self { fields, path: String::new() });
        }
        let value = parse::<&RawValue>(body).map_err(|error| locate(body, &error))?.get();
        match value.as_bytes() {
            b"null" => Ok(Self::default()),
            [b'[', ..] => Err(BodyError::WrongType { offset: start + 1 }),
            text => Err(BodyError::WrongType { offset: start + text.len() }),
        }
    }

    /// The first of its fields that is none of these.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        let is_known = |key: &str| known.iter().any(|name| key.eq_ignore_ascii_case(name));
        self.fields.0.iter().map(|(key, _)| key.as_ref()).find(|key| !is_known(key))
    }

    /// Whether the field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The text of the value as sent; `None` when absent or `null`. A slice of the body, so that
    /// `Bytes::slice_ref` makes it owned without a copy.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.raw_or_null(name).filter(|value| value.get() != "null")
    }

    /// As [`Self::raw`], but an explicit `null` is `Some`.
    pub fn raw_or_null(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Borrowed from the body unless the string contains an escape.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'a, str>>, BodyError> {
        self.typed(name, string)
    }

    pub fn bool(&self, name: &str) -> Result<Option<bool>, BodyError> {
        self.typed(name, |text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// An integer written as one: `1.0`, `1e3`, `-1` and what exceeds 64 bits are of the wrong type.
    pub fn u64(&self, name: &str) -> Result<Option<u64>, BodyError> {
        self.typed(name, |text| text.parse().ok())
    }

    /// An integer written as one: `1.0`, `1e3` and what exceeds 64 bits are of the wrong type.
    pub fn i64(&self, name: &str) -> Result<Option<i64>, BodyError> {
        self.typed(name, |text| text.parse().ok())
    }

    /// An array of strings; a `null` in it is the empty string.
    pub fn string_list(&self, name: &str) -> Result<Option<Vec<String>>, BodyError> {
        self.typed(name, |text| items(text)?.into_iter().map(|item| string_or_null(item.get())).collect())
    }

    /// An object of strings in the order sent; of duplicates (exact names) the last is kept; a `null`
    /// in it is the empty string. A wrong type inside names the outer field.
    pub fn string_map(&self, name: &str) -> Result<Option<Vec<(String, String)>>, BodyError> {
        self.typed(name, |text| {
            let fields = fields(text)?;
            let mut seen = HashSet::new();
            let last_of_each: Vec<_> = fields.iter().rev().filter(|(key, _)| seen.insert(key.as_ref())).collect();
            let pairs = last_of_each.into_iter().rev();
            pairs.map(|(key, value)| Some((key.clone().into_owned(), string_or_null(value.get())?))).collect()
        })
    }

    /// A nested object; errors of its getters name the path (`authentication.type`).
    pub fn object(&self, name: &str) -> Result<Option<Object<'a>>, BodyError> {
        let fields = self.typed(name, fields)?;
        Ok(fields.map(|fields| Object { fields: Fields(fields), path: format!("{}{name}.", self.path) }))
    }

    /// `None` from `read` means: of the wrong type.
    fn typed<T>(&self, name: &str, read: impl FnOnce(&'a str) -> Option<T>) -> Result<Option<T>, BodyError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let wrong = || BodyError::WrongField { field: format!("{}{name}", self.path) };
        read(value.get()).map(Some).ok_or_else(wrong)
    }
}

/// In the order sent, duplicates included.
#[derive(Debug, Default)]
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(FIELDS_EXPECTED);
                // The key is taken raw, because serde_json refuses half surrogate pairs and Go does not.
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let key = string(key.get()).ok_or_else(|| serde::de::Error::custom("a key is a string"))?;
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The first value of `body`; what follows it is not looked at.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(body))
}

/// The fields of an object in the order sent, duplicates included; `None` when `text` is none.
pub(crate) fn fields(text: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let Fields(fields) = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    Some(fields)
}

/// The items of an array; `None` when `text` is none.
pub(crate) fn items(text: &str) -> Option<Vec<&RawValue>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok())?
}

/// `null` elements and values leave Go's zero value.
fn string_or_null(text: &str) -> Option<String> {
    match text {
        "null" => Some(String::new()),
        text => string(text).map(Cow::into_owned),
    }
}

/// The meaning of a JSON string; `None` when `text`, a valid JSON value, is none.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        if escape.starts_with('u') {
            rest = unescape_unicode(rest.get(plain.len()..)?, &mut out)?;
            continue;
        }
        out.push(match escape.as_bytes().first()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            other => char::from(*other),
        });
        rest = escape.get(1..)?;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Reads the run of `\uXXXX` at the start of `text`; returns what follows it.
fn unescape_unicode<'t>(text: &'t str, out: &mut String) -> Option<&'t str> {
    let mut rest = text;
    let units = std::iter::from_fn(|| {
        let digits = rest.strip_prefix("\\u")?.get(..4)?;
        rest = rest.get(6..)?;
        u16::from_str_radix(digits, 16).ok()
    });
    let chars = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    let before = out.len();
    out.extend(chars);
    (out.len() > before).then_some(rest)
}

/// Turns serde_json's complaint into Go's: cut off, or wrong after so many bytes. Compared with Go on
/// 140,000 made-up bodies, two things differ: inside a broken `\u` escape the count is up to 3 higher
/// (or the body called cut off when it ends there), and a bare `01` is a syntax error, not a number.
#[cold]
fn locate(body: &[u8], error: &serde_json::Error) -> BodyError {
    if error.is_eof() {
        return BodyError::Truncated;
    }
    let line_start = match error.line() {
        0 | 1 => 0,
        line => body.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line - 2).map_or(0, |(at, _)| at + 1),
    };
    let offset = (line_start + error.column()).min(body.len());
    // A number cut off in the middle is "invalid" to serde_json: it is not if a digit would mend it.
    if offset == body.len() && matches!(body.last(), Some(b'-' | b'+' | b'.' | b'e' | b'E')) {
        let mended = [body, b"0"].concat();
        if parse::<&RawValue>(&mended).is_ok() || is_cut_off(&mended) {
            return BodyError::Truncated;
        }
    }
    // A control character in a string is seen without being counted: then what was counted has no mistake yet.
    if body.get(offset).is_some_and(u8::is_ascii_control) && is_cut_off(&body[..offset]) {
        return BodyError::Syntax { offset: offset + 1 };
    }
    BodyError::Syntax { offset }
}

fn is_cut_off(body: &[u8]) -> bool {
    parse::<&RawValue>(body).is_err_and(|error| error.is_eof())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(body: impl AsRef<[u8]>) -> String {
        Object::read(body.as_ref()).expect_err("must be refused").to_string()
    }

    fn read(body: &str) -> Object<'_> {
        Object::read(body.as_bytes()).expect("must be read")
    }

    fn wrong<T>(field: &str) -> Result<T, BodyError> {
        Err(BodyError::WrongField { field: field.to_owned() })
    }

    #[test]
    fn texts_of_contract_1_4() {
        assert_eq!(refusal(""), "body must not be empty");
        assert_eq!(refusal(" \r\n\t"), "body must not be empty");
        assert_eq!(refusal(r#""{}""#), "body contains incorrect JSON type (at character 4)");
        assert_eq!(refusal("[1]"), "body contains incorrect JSON type (at character 1)");
        assert_eq!(refusal(" [1]"), "body contains incorrect JSON type (at character 2)");
        assert_eq!(refusal("true"), "body contains incorrect JSON type (at character 4)");
        assert_eq!(refusal(r#"{"a":1"#), "body contains badly-formed JSON");
        assert_eq!(refusal("{a}"), "body contains badly-formed JSON (at character 2)");
        let error = read(r#"{"name":1}"#).string("name").expect_err("a number");
        assert_eq!(error.to_string(), r#"body contains incorrect JSON type for field "name""#);
    }

    #[test]
    fn syntax_errors_count_the_bytes_read() {
        for (body, offset) in [
            (&br#"{"a":1,}"#[..], 8),
            (br#"{"a" 1}"#, 6),
            (br#"{"a":nul}"#, 9),
            (b"{\n\"a\":1,\n x}", 11),
            (b"{\"a\":\"x\ny\"}", 8),
            (b"{\"a\":\"\xff\"}", 7),
            (b"{\"\xff\":1}", 3),
            (br#"{"a":-x"#, 7),
            (br#"{"a":1.e"#, 8),
            (br#"{"a":01}"#, 7),
            (b"\xef\xbb\xbf{}", 1),
            (b"[1,]", 4),
            (b"x", 1),
        ] {
            let expected = Err(BodyError::Syntax { offset });
            assert_eq!(Object::read(body).map(|_| ()), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn every_proper_prefix_is_truncated() {
        let body = r#"{"a":[-1.5e+3,true,null,{"b":"\u00e9\n"}],"c":""}"#;
        for end in 1..body.len() {
            assert_eq!(refusal(&body[..end]), "body contains badly-formed JSON", "{}", &body[..end]);
        }
        assert_eq!(read(body).string("c"), Ok(Some(Cow::Borrowed(""))));
        for body in ["-", "1.", "1e", "1e+"] {
            assert_eq!(refusal(body), "body contains badly-formed JSON", "{body}");
        }
    }

    #[test]
    fn names_match_as_in_go() {
        let object = read(r#"{"App_ID":"1","unknown":{},"SSL":true,"app_id":"2"} trailing"#);
        assert_eq!(object.string("app_id"), Ok(Some("2".into())));
        assert_eq!(object.bool("ssl"), Ok(Some(true)));
        assert_eq!(object.string("absent"), Ok(None));
        assert!(!object.has("absent"));
        assert_eq!(read(r#"{"\u0061":1}"#).u64("a"), Ok(Some(1)));
    }

    #[test]
    fn null_is_absent() {
        let object = read(r#"{"a": null}"#);
        assert_eq!(object.string("a"), Ok(None));
        assert_eq!(object.u64("a"), Ok(None));
        assert!(object.object("a").expect("null").is_none());
        assert!(object.raw("a").is_none() && !object.has("a"));
        assert_eq!(object.raw_or_null("a").map(RawValue::get), Some("null"));
        assert!(!read(" null x").has("a"));
    }

    #[test]
    fn raw_is_the_text_as_sent() {
        let body = r#"{"data" :  {"z": 1.50, "a":"\u00e9"} ,"b":1}"#;
        let data = read(body).raw("data").expect("there").get();
        assert_eq!(data, r#"{"z": 1.50, "a":"\u00e9"}"#);
        assert_eq!(data.as_ptr(), body[11..].as_ptr());
    }

    #[test]
    fn strings_are_unescaped_and_borrowed_when_they_can_be() {
        let object =
            read(r#"{"p":"plain é","e":"\"\\\/\b\f\n\r\t\u00e9","s":"\ud83d\ude00","h":"a\ud800\u0041\udc00z"}"#);
        assert!(matches!(object.string("p"), Ok(Some(Cow::Borrowed("plain é")))));
        assert_eq!(object.string("e"), Ok(Some("\"\\/\u{8}\u{c}\n\r\té".into())));
        assert_eq!(object.string("s"), Ok(Some("😀".into())));
        assert_eq!(object.string("h"), Ok(Some("a\u{fffd}A\u{fffd}z".into())));
    }

    #[test]
    fn numbers_are_integers_written_as_integers() {
        let object = read(r#"{"n":-1,"f":1.0,"e":1e3,"s":"1","big":18446744073709551615,"huge":18446744073709551616}"#);
        assert_eq!(object.i64("n"), Ok(Some(-1)));
        assert_eq!(object.u64("n"), wrong("n"));
        assert_eq!(object.u64("big"), Ok(Some(u64::MAX)));
        for name in ["f", "e", "s", "huge"] {
            assert_eq!(object.u64(name), wrong(name));
            assert_eq!(object.i64(name), wrong(name));
        }
        assert_eq!(object.bool("n"), wrong("n"));
    }

    #[test]
    fn lists_and_maps_of_strings() {
        let object = read(
            r#"{"l":["a",null,"\u0062"],"x":["a",1],"m":{"B":"1","a":"2","B":"3","n":null},"bad":{"a":{}},"s":"x","e":[]}"#,
        );
        assert_eq!(object.string_list("l"), Ok(Some(vec!["a".to_owned(), String::new(), "b".to_owned()])));
        assert_eq!(object.string_list("e"), Ok(Some(Vec::new())));
        assert_eq!(object.string_list("x"), wrong("x"));
        assert_eq!(object.string_list("m"), wrong("m"));
        assert_eq!(object.string_list("s"), wrong("s"));
        let pairs = [("a", "2"), ("B", "3"), ("n", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(object.string_map("m"), Ok(Some(pairs.to_vec())));
        assert_eq!(object.string_map("bad"), wrong("bad"));
        assert_eq!(object.string_map("l"), wrong("l"));
    }

    #[test]
    fn nested_objects_name_their_path() {
        let object = read(r#"{"authentication":{"type":1,"api_key":{"header_name":[]}},"config":"x"}"#);
        let authentication = object.object("authentication").expect("an object").expect("there");
        assert_eq!(authentication.string("type"), wrong("authentication.type"));
        let key = authentication.object("api_key").expect("an object").expect("there");
        assert_eq!(key.string("header_name"), wrong("authentication.api_key.header_name"));
        assert_eq!(object.object("config").map(|_| ()), wrong("config"));
    }

    #[test]
    fn hostile_nesting_costs_no_stack() {
        let open = "[".repeat(100_000);
        assert_eq!(refusal(&open), "body contains badly-formed JSON");
        assert_eq!(refusal(r#"{"a":"#.repeat(100_000)), "body contains badly-formed JSON");
        let closed = format!(r#"{{"a":{open}{}}}"#, "]".repeat(100_000));
        assert_eq!(read(&closed).string_list("a"), wrong("a"));
    }

    fn every_getter(body: &[u8]) {
        let Ok(object) = Object::read(body) else { return };
        let _ = (object.string("a"), object.bool("a"), object.u64("a"), object.i64("a"));
        let _ = (object.string_list("a"), object.string_map("a"), object.object("a"));
    }

    proptest! {
        #[test]
        fn bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            every_getter(&body);
        }

        #[test]
        fn nearly_json_never_panics(body in r#"[ \n]?\{("a":)?[\[\]{}":,a\\u0-9dD.eE+\-tfn\x00é]{0,16}\}?"#) {
            every_getter(body.as_bytes());
        }

        #[test]
        fn syntax_errors_lie_inside_the_body(body in r#"\{"a"[\[\]{}":,a\\u0-9.eE+\- \n]{0,16}"#) {
            if let Err(BodyError::Syntax { offset }) = Object::read(body.as_bytes()) {
                prop_assert!((1..=body.len()).contains(&offset), "{} in {:?}", offset, body);
            }
        }

        #[test]
        fn strings_come_back(text in ".{0,24}", list in prop::collection::vec(".{0,6}", 0..4)) {
            let body = serde_json::json!({ "text": text, "list": list }).to_string();
            prop_assert_eq!(read(&body).string("TEXT"), Ok(Some(text.into())));
            prop_assert_eq!(read(&body).string_list("list"), Ok(Some(list)));
        }
    }
}

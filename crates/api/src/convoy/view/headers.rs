//! Headers as JSON: a list per name on events and deliveries, one text per name on attempts.

use dacapo_model::attempt::{HeaderLines, canonical_name};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::collections::BTreeMap;

/// `{"X-Trace":["a","b"]}`.
pub struct Lists<'a>(pub &'a HeaderLines);

impl Serialize for Lists<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.0.iter() {
            lists.entry(name).or_default().push(value);
        }
        serializer.collect_map(lists)
    }
}

/// `{"X-Trace":"a"}`: the first value of each name, as attempts show what was sent.
pub struct Firsts<'a>(pub &'a HeaderLines);

impl Serialize for Firsts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut firsts: BTreeMap<String, &str> = BTreeMap::new();
        for (name, value) in self.0.iter() {
            firsts.entry(canonical_name(name)).or_insert(value);
        }
        serializer.collect_map(firsts)
    }
}

/// `{"X-Two":"a b"}`: all values of a name joined by a space, as attempts show what came back.
pub struct Joined<'a>(pub &'a HeaderLines);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lists: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.0.iter() {
            lists.entry(canonical_name(name)).or_default().push(value);
        }
        let mut map = serializer.serialize_map(Some(lists.len()))?;
        for (name, values) in &lists {
            map.serialize_entry(name, &values.join(" "))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_print_headers() {
        let lines = HeaderLines::from_iter([("X-B", "1"), ("X-A", "2"), ("X-B", "3")]);
        assert_eq!(serde_json::to_string(&Lists(&lines)).expect("JSON"), r#"{"X-A":["2"],"X-B":["1","3"]}"#);
        assert_eq!(serde_json::to_string(&Firsts(&lines)).expect("JSON"), r#"{"X-A":"2","X-B":"1"}"#);
        assert_eq!(serde_json::to_string(&Joined(&lines)).expect("JSON"), r#"{"X-A":"2","X-B":"1 3"}"#);
        assert_eq!(serde_json::to_string(&Lists(&HeaderLines::new())).expect("JSON"), "{}");
        let recorded = HeaderLines::from_iter([("x-two", "a")]);
        assert_eq!(serde_json::to_string(&Firsts(&recorded)).expect("JSON"), r#"{"X-Two":"a"}"#);
    }
}

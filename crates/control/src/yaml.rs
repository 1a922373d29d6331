//! YAML as the JSON it stands for (core schema; JSON is YAML too). Not trusted: what aliases would blow up, and
//! what is nested too deep, is refused.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// Values in a document, those that aliases repeat included.
const NODES_MAX: usize = 200_000;
const DEPTH_MAX: usize = 128;
/// A key that takes its fields over from another mapping.
const MERGE: &str = "<<";

/// What is open while a document is read.
enum Open {
    List { anchor: usize, items: Vec<Value> },
    Map { anchor: usize, fields: Map<String, Value>, key: Option<String> },
}

#[derive(Clone, Copy)]
struct Extent {
    nodes: usize,
    depth: usize,
}

struct Reader {
    open: Vec<Open>,
    /// By anchor, with how many values each is, and how deep.
    anchors: Vec<Option<(Value, Extent)>>,
    nodes: usize,
    whole: Option<Value>,
}

/// The first document of `text`; why not, with the place where that is known.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { open: Vec::new(), anchors: Vec::new(), nodes: 0, whole: None };
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        if let Event::DocumentEnd = event {
            break;
        }
        reader.take(event)?;
    }
    reader.whole.ok_or_else(|| "it is empty".to_owned())
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::SequenceStart(anchor, _) => self.begin(Open::List { anchor, items: Vec::new() }),
            Event::MappingStart(anchor, _) => self.begin(Open::Map { anchor, fields: Map::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, tag) => self.put(scalar(&text, style, tag.as_deref()), anchor),
            Event::Alias(anchor) => {
                let (value, extent) =
                    self.anchors.get(anchor).cloned().flatten().ok_or("an alias names nothing whole")?;
                self.nodes = self.nodes.saturating_add(extent.nodes);
                self.check_depth(extent.depth)?;
                self.put(value, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        self.check_depth(1)?;
        self.open.push(open);
        Ok(())
    }

    /// Of so many levels more.
    fn check_depth(&self, more: usize) -> Result<(), String> {
        if self.open.len().saturating_add(more) > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.open.pop() {
            Some(Open::List { anchor, items }) => self.put(Value::Array(items), anchor),
            Some(Open::Map { anchor, fields, .. }) => self.put(Value::Object(fields), anchor),
            None => Err("it ends more than it begins".to_owned()),
        }
    }

    fn put(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} values"));
        }
        if anchor > 0 {
            self.anchors.resize(self.anchors.len().max(anchor + 1), None);
            self.anchors[anchor] = Some((value.clone(), extent(&value)));
        }
        match self.open.last_mut() {
            None => self.whole = Some(value),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { fields, key, .. }) => match key.take() {
                None => *key = Some(name(value)?),
                Some(key) if key == MERGE => merge(fields, value),
                Some(key) => {
                    fields.insert(key, value);
                }
            },
        }
        Ok(())
    }
}

/// Fields that are there already stay.
fn merge(fields: &mut Map<String, Value>, from: Value) {
    match from {
        Value::Object(more) => more.into_iter().for_each(|(key, value)| {
            fields.entry(key).or_insert(value);
        }),
        Value::Array(several) => several.into_iter().for_each(|one| merge(fields, one)),
        _ => {}
    }
}

fn name(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        Value::Null => Ok("null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("a key is no text".to_owned()),
    }
}

fn extent(value: &Value) -> Extent {
    let within = |inner: Extent, one: &Value| {
        let of_one = extent(one);
        Extent { nodes: inner.nodes + of_one.nodes, depth: inner.depth.max(of_one.depth + 1) }
    };
    let alone = Extent { nodes: 1, depth: 1 };
    match value {
        Value::Array(items) => items.iter().fold(alone, within),
        Value::Object(fields) => fields.values().fold(alone, within),
        _ => Extent { depth: 0, ..alone },
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if style != ScalarStyle::Plain || is_text {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let plain: Cow<'_, str> = text.strip_prefix('+').unwrap_or(text).into();
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(whole.into());
    }
    plain.parse::<u64>().map(Number::from).ok().or_else(|| Number::from_f64(plain.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "openapi: 3.1.0\nwebhooks:\n  order.paid: &paid\n    post:\n      deprecated: true\n      n: [1, -2, 1.5, 0x1F, ~]\n\
                    \x20     text: |\n        two\n        lines\n  order.sent:\n    <<: *paid\n    get: {}\n  '200': \"007\"\n\
                    \x20 again: *paid\n";
        let paid = json!({"post": {"deprecated": true, "n": [1, -2, 1.5, 31, null], "text": "two\nlines\n"}});
        let mut sent = paid.clone();
        sent["get"] = json!({});
        let value = json!({"openapi": "3.1.0", "webhooks": {
            "order.paid": paid, "order.sent": sent, "200": "007", "again": paid}});
        assert_eq!(read(yaml), Ok(value.clone()));
        assert_eq!(read(&value.to_string()), Ok(value), "JSON is YAML");
        assert_eq!(read("a: 1.2.3\nb: 1e3\nc: no\n"), Ok(json!({"a": "1.2.3", "b": 1000.0, "c": "no"})));
    }

    #[test]
    fn what_would_blow_up_is_refused() {
        let mut laughs = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(read(&laughs).is_err_and(|why| why.contains("values")));
        let mut tower = "t0: &t0 [[[[[[[[[[1]]]]]]]]]]\n".to_owned();
        for level in 1..30 {
            tower.push_str(&format!("t{level}: &t{level} [[[[[[[[[[*t{}]]]]]]]]]]\n", level - 1));
        }
        assert!(read(&tower).is_err_and(|why| why.contains("deep")));
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&"- ".repeat(1_000)).is_err_and(|why| why.contains("deep")));
        for bad in ["", "# only a comment", "a: *nobody", "a: &me [*me]", "{a: 1", "? [1]\n: 2"] {
            assert!(read(bad).is_err(), "{bad:?}: {:?}", read(bad));
        }
    }
}

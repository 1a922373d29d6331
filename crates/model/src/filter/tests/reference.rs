//! §4.4 again, slow and plain: the payload is really flattened, and every condition is evaluated.
//! For filters that compile; numbers are integers below 2^53 here, so floats are exact.

use serde_json::Value;

/// A flattened key: dotted names and positions of arrays.
type Key = Vec<Segment>;

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Name(String),
    Position(usize),
}

/// `None`: skipped.
type Verdict = Result<Option<bool>, ()>;

pub fn matches(filter: &Value, payload: &Value) -> Result<bool, ()> {
    let mut flat = Vec::new();
    flatten(&mut Vec::new(), payload, true, &mut flat);
    branch(filter, &flat)
}

fn flatten(key: &mut Key, value: &Value, top: bool, flat: &mut Vec<(Key, Value)>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                let length = key.len();
                key.extend(name.split('.').map(|part| Segment::Name(part.to_owned())));
                flatten(key, value, false, flat);
                key.truncate(length);
            }
        }
        Value::Array(items) if !is_list(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                key.push(Segment::Position(at));
                flatten(key, item, false, flat);
                key.pop();
            }
        }
        _ if top => {}
        leaf => flat.push((key.clone(), leaf.clone())),
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn is_list(items: &[Value]) -> bool {
    items.iter().all(|item| kind(item) < 4 && kind(item) == kind(&items[0]))
}

fn branch(filter: &Value, flat: &[(Key, Value)]) -> Result<bool, ()> {
    let object = filter.as_object().expect("a filter that compiles");
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (key, value) in object {
        match key.as_str() {
            "$or" | "$and" => {
                let parts = value.as_array().expect("parts").iter().map(|part| branch(part, flat));
                verdicts.push(join(parts.collect(), key == "$or").map(Some));
            }
            key => conditions(key, value, flat, &mut verdicts),
        }
    }
    let decided: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.transpose()).collect();
    if decided.is_empty() { Ok(object.is_empty()) } else { join(decided, false) }
}

/// Three-valued: an error is what could be either.
fn join(parts: Vec<Result<bool, ()>>, any: bool) -> Result<bool, ()> {
    if parts.contains(&Ok(any)) {
        return Ok(any);
    }
    if parts.contains(&Err(())) { Err(()) } else { Ok(!any) }
}

fn conditions(path: &str, value: &Value, flat: &[(Key, Value)], verdicts: &mut Vec<Verdict>) {
    match value {
        Value::Object(object)
            if object.keys().any(|key| key.starts_with('$') && key.len() > 1 && !key.starts_with("$.")) =>
        {
            let at =
                |leaf: &Value| join(object.iter().map(|(name, operand)| test(name, operand, leaf)).collect(), false);
            verdicts.push(look(path, flat, &at));
        }
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                conditions(&format!("{path}.{key}"), value, flat, verdicts);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                conditions(&format!("{path}.{at}"), item, flat, verdicts);
            }
        }
        value => verdicts.push(look(path, flat, &|leaf: &Value| match leaf {
            Value::Array(items) if !value.is_array() => Ok(items.iter().any(|item| strictly(item, value))),
            leaf => Ok(equals(leaf, value)),
        })),
    }
}

fn look(path: &str, flat: &[(Key, Value)], test: &dyn Fn(&Value) -> Result<bool, ()>) -> Verdict {
    let wanted: Vec<&str> = path.split('.').collect();
    let mut hits = flat.iter().filter(|(key, _)| key.len() == wanted.len()).filter(|(key, _)| {
        key.iter().zip(&wanted).all(|(segment, wanted)| match segment {
            Segment::Name(name) => name == wanted,
            Segment::Position(at) => *wanted == "$" || *wanted == at.to_string(),
        })
    });
    if wanted.contains(&"$") {
        return join(hits.map(|(_, leaf)| test(leaf)).collect(), true).map(Some);
    }
    hits.next_back().map(|(_, leaf)| test(leaf)).transpose()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|float: &f64| float.is_finite()),
        _ => None,
    }
}

fn equals(one: &Value, two: &Value) -> bool {
    match (number(one), number(two)) {
        (Some(one), Some(two)) => one == two,
        _ => strictly(one, two),
    }
}

fn strictly(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => one.as_f64() == two.as_f64(),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| strictly(one, two))
        }
        _ => one == two,
    }
}

fn test(operator: &str, operand: &Value, leaf: &Value) -> Result<bool, ()> {
    let numbers = number(leaf).zip(number(operand));
    let is_in = || match (operand, leaf) {
        (Value::Array(list), leaf) => list.iter().any(|one| strictly(one, leaf)),
        (single, Value::Array(list)) => list.iter().any(|one| strictly(one, single)),
        (single, leaf) => strictly(single, leaf),
    };
    Ok(match operator {
        "$eq" => equals(leaf, operand),
        "$neq" => !equals(leaf, operand),
        "$gt" => numbers.map(|(leaf, bound)| leaf > bound).ok_or(())?,
        "$lte" => numbers.map(|(leaf, bound)| leaf <= bound).ok_or(())?,
        "$gte" => numbers.is_some_and(|(leaf, bound)| leaf >= bound),
        "$lt" => !numbers.is_some_and(|(leaf, bound)| leaf >= bound),
        "$in" => is_in(),
        "$nin" => !is_in(),
        "$exist" => operand == &Value::Bool(true),
        "$regex" => {
            let pattern = operand.as_str().expect("a pattern");
            regex::Regex::new(pattern).expect("compiled before").is_match(leaf.as_str().ok_or(())?)
        }
        other => panic!("{other} did not compile"),
    })
}
